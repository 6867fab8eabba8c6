// SPDX-License-Identifier: Apache-2.0
/**
 * Several generations at once, greedy, with and without speculation: tokens per second of all together, taking turns. The model
 * is that of run.ts, a small one with real text and acceptance in the shape of TinyLlama 1.1B.
 *
 *     npm run bench:speculate:batch -- --source small-F32.gguf --draft draft-F32.gguf [--generations 1,2,4,8] [--repeats 3]
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Device, draftModel, type GenerateOptions, load } from '../../lib/index.js';
import { probe } from '../support/probe.js';
import { median, spread } from '../support/statistics.js';
import { inflatedFile } from './inflate.js';

const { values: options } = parseArgs({
  options: {
    source: { type: 'string' },
    draft: { type: 'string' },
    threads: { type: 'string', default: '1' },
    generations: { type: 'string', default: '1,2,4,8' },
    repeats: { type: 'string', default: '3' },
    tokens: { type: 'string', default: '64' },
  },
});
if (!options.source || !options.draft) throw new Error('usage: --source small-F32.gguf --draft draft-F32.gguf');
const [threads, repeats, count] = [options.threads, options.repeats, options.tokens].map(Number) as [
  number,
  number,
  number,
];
const counts = options.generations.split(',').map(Number);
const context = count + 64;
const cacheTokens = 2 * context * Math.max(...counts);
const device = Device.cpu({ threads });
const draftPath = resolve(options.draft);
const model = await load(inflatedFile(options.source), {
  device,
  contextLength: context,
  cacheTokens,
  draft: draftPath,
});
const draft = await load(draftPath, { device, cacheTokens });
const beginnings = ['Once upon a time', 'One day, Tom and his dog', 'Lily saw a big red', 'There was a little boy'];

interface Outcome {
  /** Of all generations together. */
  rate: number;
  /** Steps of the model, and tokens that drafts have added. */
  steps: number;
  accepted: number;
  tokens: number[][];
}

const ways: Record<string, () => { options: GenerateOptions; end?: () => void }> = {
  plain: () => ({ options: { speculate: 'off' } }),
  auto: () => ({ options: {} }),
  'draft model, chain of 4, not adaptive': () => {
    const speculate = draftModel(draft, { tree: 'chain', depth: 4 });
    return { options: { speculate, adaptive: false }, end: () => speculate.dispose() };
  },
};

async function measure(make: (typeof ways)[string], generations: number): Promise<Outcome> {
  const before = model.batchStatistics;
  const start = performance.now();
  const results = await Promise.all(
    Array.from({ length: generations }, async (_, i) => {
      const prompt = `${beginnings[i % beginnings.length]}${' and'.repeat(Math.floor(i / beginnings.length))}`;
      const { options: own, end } = make();
      const result = await model.generate(prompt, { maxTokens: count, ignoreEnd: true, ...own }).complete();
      end?.();
      return result.tokens;
    }),
  );
  const milliseconds = performance.now() - start;
  const after = model.batchStatistics;
  const rate = (1000 * generations * count) / milliseconds;
  return { rate, steps: after.steps - before.steps, accepted: after.accepted - before.accepted, tokens: results };
}

const { cpu, isa } = probe(threads);
console.log(`${cpu} (${isa}), ${threads} thread(s), ${count} tokens each`);
for (const generations of counts) {
  const outcomes: Outcome[][] = Object.keys(ways).map(() => []);
  for (let round = 0; round < repeats; round++) {
    for (const [i, make] of Object.values(ways).entries()) outcomes[i]?.push(await measure(make, generations));
  }
  const [plain] = outcomes as [Outcome[]];
  const text = JSON.stringify(plain[0]?.tokens);
  if (outcomes.flat().some(({ tokens }) => JSON.stringify(tokens) !== text)) throw new Error('tokens differ');
  console.log(`${generations} generation(s)`);
  for (const [i, name] of Object.keys(ways).entries()) {
    const own = outcomes[i] as Outcome[];
    const ratios = own.map(({ rate }, round) => rate / (plain[round] as Outcome).rate);
    const steps = median(own.map((outcome) => outcome.steps));
    const accepted = median(own.map((outcome) => outcome.accepted));
    console.log(
      `  ${name}: ${spread(own.map(({ rate }) => rate))} tokens/s, ${spread(ratios, 2)} x plain; ` +
        `${steps} steps, ${accepted} drafted tokens accepted`,
    );
  }
}
for (const resource of [draft, model, device]) resource.dispose();
