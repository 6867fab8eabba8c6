// SPDX-License-Identifier: Apache-2.0
// Writes text with a model, greedily, with drafts from the text itself, and prints how it went.
//   npx tsx examples/generate.ts [model.gguf] [prompt]
// In a project of your own, import from 'pagewarp'.
import { load, promptLookup } from '../lib/index.js';

const [path = 'models/demo/target-Q4_0.gguf', prompt = 'Fellow-citizens of the Senate'] = process.argv.slice(2);

await using model = await load(path);
const generation = model.generate(prompt, { maxTokens: 120, speculate: promptLookup() });
process.stdout.write(prompt);
for await (const { text } of generation) process.stdout.write(text);

const { usage, timings, speculation } = await generation.result;
console.log(
  `\n\n${usage.completionTokens} tokens, ${timings.decodeRate.toFixed(0)} per second; ` +
    `${speculation?.accepted} of ${speculation?.drafted} drafted tokens accepted`,
);

// Several continuations of one prompt: it is computed once, the forks share its pages in the cache.
using trunk = model.createSequence();
await model.generate(prompt, { maxTokens: 1, sequence: trunk }).complete();
const continuations = [1, 2, 3].map(async (seed) => {
  using branch = trunk.fork();
  const result = await model.generate([], { maxTokens: 20, temperature: 0.9, seed, sequence: branch }).complete();
  return `seed ${seed} (${result.usage.cachedTokens} tokens from the cache): ${JSON.stringify(result.text)}`;
});
for (const line of await Promise.all(continuations)) console.log(line);
