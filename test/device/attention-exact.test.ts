// SPDX-License-Identifier: Apache-2.0
/** With splits of a fixed length, rows of a chain or a tree are computed bit by bit as decoding computes them. */
import { describe, expect, it } from 'vitest';
import { appendKv, attention, Device, PagedKvCache, planAttention, Tensor, treeMask } from '../../lib/index.js';
import { availableIsas } from '../support/isa.js';
import { randomNumbers } from '../support/random.js';

const [kvHeads, headDim, split] = [2, 64, 64];
const trees: Record<string, number[]> = {
  'a chain': [-1, 0, 1, 2, 3, 4],
  'a tree': [-1, 0, 0, 0, 1, 1, 2, 3, 6, 6, 8, 9],
};

/** The last rows of a sequence of these tokens, each of which has keys, values and a query of its own. */
async function lastRows(device: Device, heads: number, tokens: readonly number[], rows: number, parents?: number[]) {
  const stream = device.defaultStream;
  using cache = new PagedKvCache(device, { layers: 1, kvHeads, headDim, pages: 32, pageSize: 16, dtype: 'f16' });
  using sequence = cache.sequence();
  sequence.reserve(tokens.length, stream);
  const of = (list: readonly number[], width: number, stream: number): Float32Array =>
    Float32Array.from(list.flatMap((seed) => Array.from(randomNumbers(width, { seed, stream }))));
  const all = cache.batch([{ sequence, queryLength: tokens.length }]);
  using k = Tensor.from(device, of(tokens, kvHeads * headDim, 1), [tokens.length, kvHeads, headDim], 'f32');
  using v = Tensor.from(device, of(tokens, kvHeads * headDim, 2), [tokens.length, kvHeads, headDim], 'f32');
  using slots = Tensor.from(device, all.slots, undefined, 'i32');
  appendKv(stream, { cache, layer: 0, k, v, slots });
  using q = Tensor.from(device, of(tokens.slice(-rows), heads * headDim, 3), [rows, heads, headDim], 'f32');
  const batch = cache.batch([{ sequence, queryLength: rows }]);
  using plan = planAttention({ batch, heads, split, ...(parents ? { mask: treeMask(parents) } : {}) });
  const { out, lse } = attention(stream, { q, cache, layer: 0, plan });
  const values = [await out.read(stream), await (lse as Tensor<'f32'>).read(stream)] as const;
  out.dispose();
  lse?.dispose();
  return values;
}

describe.each(availableIsas())('attention over splits of a fixed length on %s', (isa) => {
  for (const [name, parents] of Object.entries(trees)) {
    it.each([
      [2, 40],
      [8, 60],
      [16, 126],
    ])(`gives rows of ${name} what decoding gives: %i heads, %i tokens before`, async (heads, length) => {
      using device = Device.cpu({ isa, threads: 2 });
      const context = Array.from({ length }, (_, i) => i + 1);
      const nodes = parents.map((_, node) => 1000 + node);
      const [out, lse] = await lastRows(device, heads, [...context, ...nodes], nodes.length, parents);
      for (let node = 0; node < nodes.length; node++) {
        const path: number[] = [];
        for (let at = node; at >= 0; at = parents[at] as number) path.unshift(1000 + at);
        const [alone, aloneLse] = await lastRows(device, heads, [...context, ...path], 1);
        const width = heads * headDim;
        expect(out.slice(node * width, (node + 1) * width)).toEqual(alone);
        expect(lse.slice(node * heads, (node + 1) * heads)).toEqual(aloneLse);
      }
    });
  }
});
