// SPDX-License-Identifier: Apache-2.0
/**
 * Time of `verify` alone, over a vocabulary of 128,256: batches of 1 to 64 requests, chains of 1 to 15 and a tree of 15 drafted
 * tokens, all accepted (the dearest case: every row is read) or none. Next to it, how fast the rows that had to be read were.
 *
 *     npm run bench:verify -- [--threads 1] [--vocabulary 128256]
 */
import { parseArgs } from 'node:util';
import { Device, Tensor, type VerifyOptions, verify } from '../../lib/index.js';
import { median } from '../support/statistics.js';

const { values: options } = parseArgs({
  options: { threads: { type: 'string', default: '1' }, vocabulary: { type: 'string', default: '128256' } },
});
const [threads, vocabulary] = [Number(options.threads), Number(options.vocabulary)];
const device = Device.cpu({ threads });
const stream = device.defaultStream;
const token = 7;

/** Rows whose first token is certain, so that it is accepted, and any other is not. */
function logits(rows: number): Tensor<'f32'> {
  const tensor = Tensor.empty(device, [rows, vocabulary], 'f32');
  tensor.fill(-3);
  using column = tensor.slice(1, token, token + 1);
  column.fill(40);
  return tensor;
}

async function time(run: () => { [name: string]: Tensor | undefined }): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 6; i++) {
    const started = performance.now();
    const result = run();
    await stream.synchronize();
    times.push(performance.now() - started);
    for (const tensor of Object.values(result)) tensor?.dispose();
  }
  return median(times.slice(1));
}

console.log(`${device.name} (${device.isa}), ${threads} thread(s), vocabulary ${vocabulary}`);
console.log('\n| batch | drafted | rule | all accepted | GB/s | none accepted |\n|---|---|---|---|---|---|');
for (const requests of [1, 4, 16, 64]) {
  for (const [name, parents] of [
    ['1', undefined],
    ['3', undefined],
    ['7', undefined],
    ['15', undefined],
    ['tree of 15', Array.from({ length: 15 }, (_, i) => (i - 1) >> 1)],
  ] as [string, number[] | undefined][]) {
    const drafted = parents?.length ?? Number(name);
    const total = requests * drafted;
    if ((total + requests) * vocabulary * 4 > 700e6) {
      console.log(`| ${requests} | ${name} | | left out: more than 700 MB of logits | | |`);
      continue;
    }
    using target = logits(total + requests);
    using draft = Tensor.zeros(device, [1, vocabulary], 'f32'); // one token is as likely as another
    using rows = Tensor.zeros(device, [total], 'i32');
    using right = Tensor.full(device, [total], 'i32', token);
    using wrong = Tensor.full(device, [total], 'i32', token + 1);
    const shape = parents ? { parents: Array.from({ length: requests }, () => parents) } : {};
    const depth = parents ? 4 : drafted;
    for (const rule of ['match', 'rejection'] as const) {
      const call = (draftTokens: Tensor<'i32'>): VerifyOptions => ({
        targetLogits: target,
        draftTokens,
        draftLengths: new Array<number>(requests).fill(drafted),
        ...shape,
        ...(rule === 'rejection' ? { draft: { kind: 'sampled', logits: draft, rows } } : {}),
        rule,
      });
      const all = await time(() => ({ ...verify(stream, call(right)) }));
      const none = await time(() => ({ ...verify(stream, call(wrong)) }));
      const read = (requests * (depth + 1) * vocabulary * 4) / 1e9;
      console.log(
        `| ${requests} | ${name} | ${rule} | ${all.toFixed(2)} ms | ${((1000 * read) / all).toFixed(1)} | ${none.toFixed(2)} ms |`,
      );
    }
  }
}
device.dispose();
