// SPDX-License-Identifier: Apache-2.0
// Terminates workers in the middle of a generation, again and again; afterwards the process still generates.
//   generation-worker.mjs <model> <repeats>
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const [model, repeats] = isMainThread ? process.argv.slice(2) : workerData;
const { load, promptLookup } = await import(process.env.PAGEWARP_TEST_LIBRARY);

if (isMainThread) {
  for (let i = 0; i < Number(repeats); i++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: [model, i] });
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await new Promise((resolve) => setTimeout(resolve, i % 5));
    await worker.terminate();
  }
  const loaded = await load(model);
  const { tokens } = await loaded.generate('abc', { maxTokens: 20, ignoreEnd: true }).complete();
  await loaded[Symbol.asyncDispose]();
  console.log(tokens.length === 20 ? 'done' : `${tokens.length} tokens`);
} else {
  const loaded = await load(model, { device: { threads: 1 + (repeats % 2) } });
  const speculate = repeats % 3 === 0 ? promptLookup() : 'off';
  for (;;) {
    for await (const { tokens } of loaded.generate('abc abc', { maxTokens: 100, ignoreEnd: true, speculate })) {
      parentPort?.postMessage(tokens);
    }
  }
}
