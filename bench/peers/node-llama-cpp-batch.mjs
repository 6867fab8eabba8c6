// SPDX-License-Identifier: Apache-2.0
// node-llama-cpp with several sequences of one context at once; bench/batch/compare.ts says what it answers.
import { createInterface } from 'node:readline';
import { openLlama } from './llama.mjs';

const [modelPath, threadCount, contextSize, sequenceCount] = process.argv.slice(2);
const threads = Number(threadCount);
const llama = await openLlama(threads);
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: Number(contextSize),
  sequences: Number(sequenceCount),
  threads,
  batchSize: 512,
  flashAttention: true,
});
const sequences = Array.from({ length: Number(sequenceCount) }, () => context.getSequence());

async function generate(sequence, ids, count) {
  const tokens = [];
  for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogTokens: true })) {
    tokens.push(token);
    if (tokens.length === count) break;
  }
  return tokens;
}

async function batch({ prompts, count }) {
  const chosen = sequences.slice(0, prompts.length);
  for (const sequence of chosen) await sequence.clearHistory();
  const start = performance.now();
  const tokens = await Promise.all(chosen.map((sequence, i) => generate(sequence, prompts[i], count)));
  return { milliseconds: performance.now() - start, tokens };
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.op === 'exit') break;
  const answer = request.op === 'info' ? { name: `node-llama-cpp 3.22.1 (${llama.buildType})` } : await batch(request);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await llama.dispose();
