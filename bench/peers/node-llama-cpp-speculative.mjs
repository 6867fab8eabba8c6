// SPDX-License-Identifier: Apache-2.0
// node-llama-cpp's speculative decoding as a benchmark runner: started as
//   node node-llama-cpp-speculative.mjs target.gguf THREADS CONTEXT draft.gguf
// it answers { op: 'generate', ids, count, predictor: 'none' | 'draft' | 'lookup', tokens } with greedy tokens and the time.
import { createInterface } from 'node:readline';
import { DraftSequenceTokenPredictor, InputLookupTokenPredictor } from 'node-llama-cpp';
import { openLlama } from './llama.mjs';

const [targetPath, threadCount, contextSize, draftPath] = process.argv.slice(2);
const threads = Number(threadCount);
const llama = await openLlama(threads);
const target = await llama.loadModel({ modelPath: targetPath, gpuLayers: 0 });
const draft = await llama.loadModel({ modelPath: draftPath, gpuLayers: 0 });
const contextOptions = { contextSize: Number(contextSize), threads, batchSize: 64 };

async function generate({ ids, count, predictor, tokens: most }) {
  const context = await target.createContext(contextOptions);
  const draftContext = predictor === 'draft' ? await draft.createContext(contextOptions) : undefined;
  const predict = { minTokens: most, maxTokens: most, minConfidence: 0 };
  const tokenPredictor = {
    none: () => undefined,
    draft: () => new DraftSequenceTokenPredictor(draftContext.getSequence(), predict),
    lookup: () => new InputLookupTokenPredictor({ patternLength: { min: 1 }, predictionLength: { max: most } }),
  }[predictor]();
  const sequence = context.getSequence(tokenPredictor ? { tokenPredictor } : {});
  const tokens = [];
  let started = 0;
  for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogTokens: true })) {
    if (tokens.length === 0) started = performance.now();
    tokens.push(token);
    if (tokens.length === count) break;
  }
  const milliseconds = performance.now() - started;
  await context.dispose();
  await draftContext?.dispose();
  return { tokens, milliseconds };
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.op === 'exit') break;
  process.stdout.write(`${JSON.stringify(await generate(request))}\n`);
}
await llama.dispose();
