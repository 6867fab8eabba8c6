// SPDX-License-Identifier: Apache-2.0
/**
 * Tokens per second of several generations at once, all together: this library, the same with one generation in a step, and
 * node-llama-cpp with as many sequences in one context. The same GGUF file, threads and prompts, interleaved (A B C A B C ...) in
 * one run, medians.
 *
 *     npm run bench:batch -- --shape tinyllama-1.1b --threads 1,2 --sequences 1,2,4,8,16 --repeats 5
 *     npm run bench:batch -- --model some.gguf
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { modelFile, prompt } from '../model/inputs.js';
import { Child } from '../support/child.js';
import { hasPeer, peers } from '../support/peers.js';
import { probe } from '../support/probe.js';
import { median, spread } from '../support/statistics.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    shape: { type: 'string', default: 'tinyllama-1.1b' },
    threads: { type: 'string', default: '1' },
    sequences: { type: 'string', default: '1,2,4,8,16' },
    repeats: { type: 'string', default: '5' },
    prompt: { type: 'string', default: '8' },
    generate: { type: 'string', default: '24' },
  },
});
const repeats = Number(options.repeats);
const count = Number(options.generate);
const counts = options.sequences.split(',').map(Number);
const most = Math.max(...counts);
const context = Number(options.prompt) + count + 64;
const isBeside = hasPeer('node-llama-cpp');

interface Answer {
  /** From the first request to the last token. */
  milliseconds: number;
  /** Of each generation. */
  tokens: number[][];
}

/** @returns tokens per second of all together */
async function measure(runner: Child, sequences: number): Promise<{ rate: number; tokens: number[][] }> {
  const prompts = Array.from({ length: sequences }, (_, i) => prompt(Number(options.prompt), i));
  const { milliseconds, tokens } = await runner.ask<Answer>({ op: 'batch', prompts, count });
  return { rate: (1000 * tokens.flat().length) / milliseconds, tokens };
}

const path = modelFile(options.model, options.shape);
for (const threads of options.threads.split(',').map(Number)) {
  const { cpu, isa, limits } = probe(threads);
  console.log(`\n${cpu} (${isa}), ${threads} thread(s): reads ${limits.at(-1)?.readGBs.toFixed(1)} GB/s`);
  const argv = [path, String(threads), String(context), String(most)];
  const own = (maxBatch: number) =>
    new Child([process.execPath, join(here, 'pagewarp.mjs'), ...argv, String(maxBatch)], root);
  const runners = [own(Math.min(64, most)), own(1)];
  if (isBeside) runners.push(new Child([process.execPath, 'node-llama-cpp-batch.mjs', ...argv], peers));
  const names: string[] = [];
  for (const runner of runners) names.push((await runner.ask<{ name: string }>({ op: 'info' })).name);
  const alone: number[] = [];
  for (const sequences of counts) {
    // The warm-up is also the correctness check: a generation's tokens are the same in every company.
    const warm: number[][][] = [];
    for (const runner of runners) warm.push((await measure(runner, sequences)).tokens);
    if (JSON.stringify(warm[0]) !== JSON.stringify(warm[1])) throw new Error('tokens depend on the batch');
    const rates: number[][] = runners.map(() => []);
    for (let round = 0; round < repeats; round++) {
      for (const [i, runner] of runners.entries()) rates[i]?.push((await measure(runner, sequences)).rate);
    }
    console.log(`${sequences} generation(s) of ${count} tokens`);
    for (const [i, rate] of rates.entries()) {
      if (alone.length <= i) alone.push(median(rate) / sequences);
      const gain = median(rate) / (alone[i] as number);
      const ratios = (rates[0] as number[]).map((value, round) => value / (rate[round] as number));
      const beside = i === 0 ? '' : `; pagewarp is ${spread(ratios, 2)} times as fast`;
      console.log(`  ${names[i]}: ${spread(rate)} tokens/s, ${gain.toFixed(2)} x of one alone${beside}`);
    }
  }
  for (const runner of runners) runner.close();
}
