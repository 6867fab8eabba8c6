// SPDX-License-Identifier: Apache-2.0
// This library with several generations at once, in plain Node as its users run it; compare.ts says what it answers.
import { createInterface } from 'node:readline';
import { Device, load } from '../../dist/index.js';

const [modelPath, threads, context, sequences, maxBatch] = process.argv.slice(2);
const device = Device.cpu({ threads: Number(threads) });
const model = await load(modelPath, {
  prefixCache: false, // as in bench/model
  device,
  contextLength: Number(context),
  cacheTokens: Number(context) * Number(sequences),
  maxBatch: Number(maxBatch),
});
const name = Number(maxBatch) > 1 ? 'pagewarp' : 'pagewarp, one in a step';

async function batch({ prompts, count }) {
  const start = performance.now();
  const results = await Promise.all(
    prompts.map((ids) =>
      model.generate(ids, { maxTokens: count, temperature: 0, ignoreEnd: true, speculate: 'off' }).complete(),
    ),
  );
  return { milliseconds: performance.now() - start, tokens: results.map(({ tokens }) => tokens) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.op === 'exit') break;
  const answer = request.op === 'info' ? { name: `${name} (${device.isa})` } : await batch(request);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
model.dispose();
device.dispose();
