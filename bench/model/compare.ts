// SPDX-License-Identifier: Apache-2.0
/**
 * Decode, prefill, load time and memory beside node-llama-cpp: the same GGUF file, threads and prompts, interleaved
 * (A B A B ...) in one run, medians, next to what the machine could do in that very minute (int8: with vector instructions, which
 * AMX tiles may exceed).
 *
 *     npm run bench:model -- --shape tinyllama-1.1b --threads 1,2 --repeats 7
 *     npm run bench:model -- --model some.gguf
 */
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { GgufFile } from '../../lib/index.js';
import { hasPeer, peers } from '../support/peers.js';
import { probe } from '../support/probe.js';
import { median, spread } from '../support/statistics.js';
import { modelFile, prompt } from './inputs.js';
import { Runner, type RunnerInfo } from './protocol.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    shape: { type: 'string', default: 'tinyllama-1.1b' },
    threads: { type: 'string', default: '1' },
    repeats: { type: 'string', default: '7' },
    prompt: { type: 'string', default: '512' },
    generate: { type: 'string', default: '48' },
  },
});
const repeats = Number(options.repeats);
const promptLength = Number(options.prompt);
const generateLength = Number(options.generate);
const context = promptLength + generateLength + 64;

const mebibytes = (count: number): string => (count / 2 ** 20).toFixed(0);

/**
 * What a step costs at least: the bytes that decoding a token reads (of an embedding that is not the output layer, too, only a row)
 * and the multiply-adds that a token of a prompt takes in the layers (only the last one goes through the output layer).
 */
function work(path: string): { bytes: number; weights: number } {
  using file = GgufFile.open(path);
  const tensors = [...file.tensors.values()];
  const read = tensors.filter(({ name }) => name !== 'token_embd.weight' || !file.tensors.has('output.weight'));
  const layers = tensors.filter(({ name, shape }) => name.startsWith('blk.') && shape.length === 2);
  return {
    bytes: read.reduce((sum, tensor) => sum + tensor.bytes, 0),
    weights: layers.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0),
  };
}

interface Series {
  decode: number[];
  prefill: number[];
}

async function measure(runner: Runner, series: Series | undefined): Promise<number[]> {
  const { milliseconds: total } = await runner.prefill(prompt(promptLength));
  const { tokens, milliseconds } = await runner.greedy(prompt(8), generateLength + 1);
  const decoding = milliseconds.slice(1);
  series?.prefill.push((1000 * promptLength) / total);
  series?.decode.push((1000 * decoding.length) / decoding.reduce((a, b) => a + b, 0));
  return tokens;
}

const path = modelFile(options.model, options.shape);
const size = statSync(path).size;
const { bytes, weights } = work(path);
const isBeside = hasPeer('node-llama-cpp');

for (const threads of options.threads.split(',').map(Number)) {
  const machine = probe(threads);
  const limits = machine.limits.at(-1);
  if (!limits) throw new Error('the probe measured nothing');
  console.log(
    `\n${machine.cpu} (${machine.isa}), ${threads} thread(s): reads ${limits.readGBs.toFixed(1)} GB/s, ` +
      `int8 ${limits.int8Gops.toFixed(0)} GOP/s, f32 ${limits.fmaGflops.toFixed(0)} GFLOP/s`,
  );
  const argv = [path, String(threads), String(context)];
  const runners = [new Runner([process.execPath, join(here, 'pagewarp.mjs'), ...argv], root)];
  if (isBeside) runners.push(new Runner([process.execPath, 'node-llama-cpp.mjs', ...argv], peers));
  const all = runners.map((): Series => ({ decode: [], prefill: [] }));
  const loaded: RunnerInfo[] = [];
  for (const runner of runners) loaded.push(await runner.info());
  // The warm-up is also the correctness check: with different tokens there is no speed to compare.
  const warm: number[][] = [];
  for (const runner of runners) warm.push(await measure(runner, undefined));
  const [ours, theirs] = warm;
  if (ours && theirs) {
    const first = ours.findIndex((token, i) => token !== theirs[i]);
    console.log(first < 0 ? 'greedy tokens agree' : `greedy tokens agree up to token ${first}`);
  }
  for (let round = 0; round < repeats; round++) {
    for (const [i, runner] of runners.entries()) await measure(runner, all[i]);
  }
  for (const [i, runner] of runners.entries()) {
    const info = await runner.info();
    const { decode, prefill } = all[i] as Series;
    const read = (median(decode) * bytes) / 1e9;
    const multiplied = (2 * median(prefill) * weights) / 1e9;
    console.log(
      `${info.name}\n  decode  ${spread(decode)} tokens/s, ${read.toFixed(1)} GB/s of weights, ` +
        `${((100 * read) / limits.readGBs).toFixed(0)} % of what the machine reads\n` +
        `  prefill ${spread(prefill)} tokens/s (${promptLength} tokens), ${multiplied.toFixed(0)} GOP/s in linear layers, ` +
        `${((100 * multiplied) / limits.int8Gops).toFixed(0)} % of its int8 peak\n` +
        `  load ${info.loadMilliseconds.toFixed(0)} ms, resident ${mebibytes(loaded[i]?.rss ?? 0)} MiB after it, ` +
        `${mebibytes(info.rss)} MiB at the end (file ${mebibytes(size)} MiB)`,
    );
    runner.close();
  }
  if (all[1]) {
    const ratios = (key: keyof Series): number[] =>
      (all[0] as Series)[key].map((value, i) => value / ((all[1] as Series)[key][i] as number));
    console.log(
      `ratio, pair by pair (${repeats}): decode ${spread(ratios('decode'), 2)}, prefill ${spread(ratios('prefill'), 2)}`,
    );
  }
}
