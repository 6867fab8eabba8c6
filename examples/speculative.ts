// SPDX-License-Identifier: Apache-2.0
// Speculative decoding: a cheap guess of the next tokens, checked by the model in one pass. The text never changes; what differs
// is how many tokens each pass of the model gives, and what guessing and checking cost.
//   npx tsx examples/speculative.ts [target.gguf] [draft.gguf] [prompt]
// In a project of your own, import from 'pagewarp'.
import {
  type Drafter,
  draftModel,
  firstOf,
  load,
  lookahead,
  optimalTree,
  promptLookup,
  selfSpeculation,
  suffixLookup,
  tokenRecycling,
} from '../lib/index.js';

const [
  target = 'models/demo/target-Q4_0.gguf',
  small = 'models/demo/draft-Q4_0.gguf',
  prompt = 'Fellow-citizens of the',
] = process.argv.slice(2);

await using model = await load(target);
await using draft = await load(small, { device: model.device });

// What `generate` does by default: it measures whether guessing pays, and does as much of it.
const start = await model.generate(prompt, { maxTokens: 120 }).complete();
console.log(`${prompt}${start.text}\n`);
console.log(`by default: ${start.timings.decodeRate.toFixed(0)} tokens/s`, start.speculation, '\n');

// The same with one drafter after the other, always guessing (adaptive: false), to see what each is good for.
const drafters: Record<string, () => Drafter | 'off'> = {
  'no drafts': () => 'off',
  // Copy what followed the last words when they occurred before.
  'prompt lookup': () => promptLookup(),
  'suffix lookup': () => suffixLookup(),
  // What the model itself found probable after each token, the last time.
  'token recycling': () => tokenRecycling(),
  // Guess several positions in parallel, and collect n-grams of the guesses.
  lookahead: () => lookahead(),
  // Half of the model's layers.
  'early exit': () => selfSpeculation({ exitLayer: Math.ceil(model.config.layers / 2) }),
  // A smaller model: one guess after the other; a tree of the most probable guesses; a tree of a fixed, optimal shape.
  'draft model, chain': () => draftModel(draft, { tree: 'chain', depth: 4 }),
  'draft model, growing tree': () => draftModel(draft),
  'draft model, optimal tree': () => draftModel(draft, { tree: optimalTree([0.6, 0.15, 0.06], { nodes: 12 }) }),
  // The first one that has an idea.
  'lookup, else the draft model': () => firstOf(suffixLookup({ minMatch: 4 }), draftModel(draft)),
};

for (const [name, make] of Object.entries(drafters)) {
  const speculate = make();
  const result = await model.generate(prompt, { maxTokens: 120, speculate, adaptive: false }).complete();
  const { passes = 0, plainSteps = 0, accepted = 0, drafted = 0 } = result.speculation ?? {};
  const steps = passes + plainSteps || result.tokens.length;
  console.log(
    `${name.padEnd(30)} ${result.timings.decodeRate.toFixed(0).padStart(5)} tokens/s, ` +
      `${((steps + accepted) / steps).toFixed(2)} tokens per step, ${accepted} of ${drafted} guesses right` +
      `${result.text === start.text ? '' : ' - another text?!'}`,
  );
  if (speculate !== 'off') speculate.dispose();
}

// With a temperature, guesses can be drawn by chance and judged by rejection sampling: the distribution stays what it is.
using sampling = draftModel(draft, { sampled: true });
const drawn = await model
  .generate(prompt, { maxTokens: 40, temperature: 0.8, seed: 7, speculate: sampling })
  .complete();
console.log(`\nat temperature 0.8: ${JSON.stringify(drawn.text)}`);
