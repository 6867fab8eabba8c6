// SPDX-License-Identifier: Apache-2.0
// node-llama-cpp as a benchmark runner; bench/model/protocol.ts says what it answers.
import { createInterface } from 'node:readline';
import { openLlama } from './llama.mjs';

const [modelPath, threadCount, contextSize] = process.argv.slice(2);
const threads = Number(threadCount);
const started = performance.now();
const llama = await openLlama(threads);
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: Number(contextSize),
  threads,
  batchSize: 512,
  flashAttention: true,
});
const sequence = context.getSequence();
const loadMilliseconds = performance.now() - started;

/** Greedy tokens after `ids`, with the time of each since the one before. */
async function generate(ids, count) {
  const tokens = [];
  const milliseconds = [];
  let last = performance.now();
  for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogTokens: true })) {
    const now = performance.now();
    tokens.push(token);
    milliseconds.push(now - last);
    last = now;
    if (tokens.length === count) break;
  }
  return { tokens, milliseconds };
}

const operations = {
  tokenize: async ({ text }) => ({ tokens: [...model.tokenize(text)] }),
  info: async () => ({
    name: `node-llama-cpp 3.22.1 (${llama.buildType})`,
    loadMilliseconds,
    rss: process.memoryUsage().rss,
  }),
  greedy: async ({ ids, count }) => {
    await sequence.clearHistory();
    return generate(ids, count);
  },
  prefill: async ({ ids }) => {
    await sequence.clearHistory();
    const start = performance.now();
    await sequence.evaluateWithoutGeneratingNewTokens(ids);
    return { milliseconds: performance.now() - start };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.op === 'exit') break;
  process.stdout.write(`${JSON.stringify(await operations[request.op](request))}\n`);
}
await llama.dispose();
