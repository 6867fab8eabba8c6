// SPDX-License-Identifier: Apache-2.0
/**
 * Attention over a past, with the new tokens appended to the cache, through the public API beside onnxruntime-node's
 * GroupQueryAttention: the same numbers, f32, in turns. (The peer's operator returns the whole cache as a new tensor.)
 *
 *     npm run bench:attention:peers -- [--threads 1] [--repeats 7] [--past 2047,8191]
 *
 * `--past` takes the cases with these numbers of past tokens.
 * Milliseconds per run from JavaScript, medians [range].
 */
import { parseArgs } from 'node:util';
import { appendKv, attention, Device, PagedKvCache, planAttention, Tensor } from '../../lib/index.js';
import { attentionNumbers } from '../peers/inputs.mjs';
import type { Child } from '../support/child.js';
import { compareInTurns, describeComparison, relativeDifference, startOnnxRuntime } from '../support/operator.js';

const { values: options } = parseArgs({
  options: {
    threads: { type: 'string', default: '1' },
    repeats: { type: 'string', default: '7' },
    past: { type: 'string', default: '511,2047,8191,2044,2040,0,1536' },
  },
});
const threads = Number(options.threads);
const wanted = options.past.split(',').map(Number);
const [heads, kvHeads] = [32, 8];

/** [kvHeads, tokens, headDim], as the peer keeps its past, to [tokens, kvHeads, headDim]. */
function byToken(values: Float32Array, tokens: number, headDim: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let h = 0; h < kvHeads; h++) {
    for (let t = 0; t < tokens; t++) {
      const from = (h * tokens + t) * headDim;
      result.set(values.subarray(from, from + headDim), (t * kvHeads + h) * headDim);
    }
  }
  return result;
}

/** Checks the results of both, then times both. */
async function measure(
  device: Device,
  headDim: number,
  rows: number,
  past: number,
  peer: Child | undefined,
): Promise<string> {
  const stream = device.defaultStream;
  const pages = Math.ceil((past + rows) / 16);
  using cache = new PagedKvCache(device, { layers: 1, kvHeads, headDim, pages, dtype: 'f32' });
  using sequence = cache.sequence();
  const append = (k: Tensor<'f32'>, v: Tensor<'f32'>): void => {
    sequence.reserve(k.shape[0] as number, stream);
    const { slots } = cache.batch([{ sequence, queryLength: k.shape[0] as number }]);
    using onDevice = Tensor.from(device, slots, [slots.length], 'i32');
    appendKv(stream, { cache, layer: 0, k, v, slots: onDevice });
  };
  const tensor = (values: Float32Array, tokens: number, count: number): Tensor<'f32'> =>
    Tensor.from(device, values, [tokens, count, headDim], 'f32');
  const size = kvHeads * headDim;
  if (past > 0) {
    using k = tensor(byToken(attentionNumbers('pastK', past * size), past, headDim), past, kvHeads);
    using v = tensor(byToken(attentionNumbers('pastV', past * size), past, headDim), past, kvHeads);
    append(k, v);
  }
  using q = tensor(attentionNumbers('q', rows * heads * headDim), rows, heads);
  using k = tensor(attentionNumbers('k', rows * size), rows, kvHeads);
  using v = tensor(attentionNumbers('v', rows * size), rows, kvHeads);
  sequence.reserve(rows, stream);
  const batch = cache.batch([{ sequence, queryLength: rows }]);
  using slots = Tensor.from(device, batch.slots, [rows], 'i32');
  using out = Tensor.empty(device, [rows, heads, headDim], 'f32');
  using plan = planAttention({ batch, heads });
  const run = (): void => {
    appendKv(stream, { cache, layer: 0, k, v, slots });
    attention(stream, { cache, layer: 0, q, plan, out, lse: false });
  };
  run();
  if (peer) {
    await peer.ask({ op: 'attention', heads, kvHeads, headDim, rows, past });
    const ours = (await out.read()).subarray(0, heads * headDim);
    const { values } = await peer.ask<{ values: number[] }>({ op: 'output', count: ours.length });
    const difference = relativeDifference(ours, values);
    if (!(difference < 1e-3)) throw new Error(`the results differ by ${difference.toFixed(5)} of their deviation`);
  }
  return describeComparison(await compareInTurns(stream, run, peer, Number(options.repeats)));
}

const peer = startOnnxRuntime(threads);
using device = Device.cpu({ threads });
console.log(`${device.name}, ${device.isa}, ${threads} thread(s); ${heads} query heads, ${kvHeads} kv heads, f32`);
console.log('head dim | new tokens | past | pagewarp ms | onnxruntime ms | times faster');
for (const headDim of [64, 128]) {
  for (const [rows, past] of [
    [1, 511],
    [1, 2047],
    [1, 8191],
    [4, 2044],
    [8, 2040],
    [512, 0],
    [512, 1536],
  ] as const) {
    if (!wanted.includes(past)) continue;
    console.log(`${headDim} | ${rows} | ${past} | ${await measure(device, headDim, rows, past, peer)}`);
  }
}
peer?.close();
