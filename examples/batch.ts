// SPDX-License-Identifier: Apache-2.0
// Several generations at once on one model, as in a server: they share its steps, join and leave as they come and go, and each
// gives what it gives alone.
//   npx tsx examples/batch.ts [model.gguf]
// In a project of your own, import from 'pagewarp'.
import { load } from '../lib/index.js';

const [path = 'models/demo/target-Q4_0.gguf'] = process.argv.slice(2);
const prompts = ['The President', 'Fellow-citizens of the', 'Every nation', 'In the year', 'Our country', 'Peace and'];
const options = { maxTokens: 80, temperature: 0.7, speculate: 'off' } as const;

await using model = await load(path, { maxBatch: 16 });
const rate = (tokens: number, start: number): string => ((1000 * tokens) / (performance.now() - start)).toFixed(0);

let start = performance.now();
let tokens = 0;
const alone: string[] = [];
for (const [seed, prompt] of prompts.entries()) {
  const result = await model.generate(prompt, { ...options, seed }).complete();
  alone.push(result.text);
  tokens += result.tokens.length;
}
console.log(`one after another: ${rate(tokens, start)} tokens/s`);

start = performance.now();
const before = model.batchStatistics.steps;
const together = await Promise.all(
  prompts.map((prompt, seed) => model.generate(prompt, { ...options, seed }).complete()),
);
const { steps, largest } = model.batchStatistics;
console.log(`at once: ${rate(tokens, start)} tokens/s, in ${steps - before} steps of up to ${largest} generations`);
console.log(`the same texts: ${together.every(({ text }, i) => text === alone[i])}`);
