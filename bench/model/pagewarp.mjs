// SPDX-License-Identifier: Apache-2.0
// This library as a benchmark runner, compiled and in plain Node as its users run it; protocol.ts says what it answers.
import { createInterface } from 'node:readline';
import { Device, load } from '../../dist/index.js';

const [modelPath, threads, context] = process.argv.slice(2);
const started = performance.now();
const device = Device.cpu({ threads: Number(threads) });
const model = await load(modelPath, {
  device,
  contextLength: Number(context),
  cacheTokens: Number(context),
  prefixCache: false, // the same prompt again and again is to be computed each time
});
const loadMilliseconds = performance.now() - started;

/** Token after token: random weights repeat themselves, which speculation would make much of. */
const plain = { temperature: 0, ignoreEnd: true, speculate: 'off' };

const info = () => ({
  name: `pagewarp (${device.isa}, ${device.threads} threads)`,
  loadMilliseconds,
  rss: process.memoryUsage().rss,
});

async function greedy(ids, count) {
  const tokens = [];
  const milliseconds = [];
  let last = performance.now();
  // stopTokens: none, so that both libraries produce the same number of tokens.
  for await (const chunk of model.generate(ids, { maxTokens: count, ...plain })) {
    const now = performance.now();
    for (const token of chunk.tokens) {
      tokens.push(token);
      milliseconds.push((now - last) / chunk.tokens.length);
    }
    last = now;
  }
  return { tokens, milliseconds };
}

async function prefill(ids) {
  const start = performance.now();
  for await (const _ of model.generate(ids, { maxTokens: 1, ...plain }));
  return { milliseconds: performance.now() - start };
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.op === 'exit') break;
  const answers = {
    info,
    greedy: () => greedy(request.ids, request.count),
    prefill: () => prefill(request.ids),
  };
  process.stdout.write(`${JSON.stringify(await answers[request.op]?.())}\n`);
}
model.dispose();
device.dispose();
