// SPDX-License-Identifier: Apache-2.0
/** The cache: tokens written, turned and rounded on the way, and read back; bounds of keys; pages copied and slots moved. */
import {
  appendKv,
  type Device,
  gatherKv,
  keyBounds,
  PagedKvCache,
  ropeAppendKv,
  type StoredCacheDType,
  Tensor,
} from '../../lib/index.js';
import { cacheRowBytes } from '../../lib/kv/layer.js';
import {
  headDim,
  heads,
  type KernelCase,
  keep,
  kvHeads,
  numbers,
  type Owned,
  prepared,
  ropeTableFor,
  running,
} from './kernel.js';

const pageSize = 16;

/** A cache of so many tokens and some empty pages, keys and values of the tokens, and slots out of order. */
function tokensFor(device: Device, owned: Owned, rows: number, dtype: StoredCacheDType, emptyPages = 0) {
  const shape = { layers: 1, kvHeads, headDim, pageSize, pages: Math.ceil(rows / pageSize) + emptyPages, dtype };
  const cache = keep(owned, new PagedKvCache(device, shape));
  const k = keep(owned, numbers(device, [rows, kvHeads, headDim], 'f16', 8));
  const v = keep(owned, numbers(device, [rows, kvHeads, headDim], 'f16', 9));
  const places = Int32Array.from({ length: rows }, (_, i) => i ^ (rows > 8 ? 7 : 0));
  const slots = keep(owned, Tensor.from(device, places, [rows], 'i32'));
  return { cache, layer: 0, k, v, slots };
}

/** Such a cache with the tokens written to it. */
function filledCache(...of: Parameters<typeof tokensFor>): PagedKvCache {
  const [device] = of;
  const tokens = tokensFor(...of);
  appendKv(device.defaultStream, tokens);
  return tokens.cache;
}

export function appendCase(rows: number): KernelCase {
  return {
    name: `appendKv f16, ${rows} tokens of ${kvHeads} heads`,
    bytes: 4 * 2 * rows * kvHeads * headDim + 4 * rows,
    operations: 0,
    tolerance: 1e-6,
    prepare: (device) =>
      prepared((owned) => {
        const tokens = tokensFor(device, owned, rows, 'f16');
        return running(() => appendKv(device.defaultStream, tokens), tokens.cache.layer(0).k);
      }),
  };
}

export function ropeAppendCase(rows: number, dtype: StoredCacheDType): KernelCase {
  return {
    name: `ropeAppendKv to ${dtype}, ${rows} tokens of ${heads} + ${kvHeads} heads`,
    bytes: rows * (2 * 2 * heads * headDim + 2 * kvHeads * (2 * headDim + cacheRowBytes(dtype, headDim)) + 4 * headDim),
    operations: 0,
    tolerance: 0.02,
    prepare: (device) =>
      prepared((owned) => {
        const stream = device.defaultStream;
        const tokens = tokensFor(device, owned, rows, dtype);
        const table = ropeTableFor(device, owned, rows);
        const q = keep(owned, numbers(device, [rows, heads, headDim], 'f16', 6));
        const qOut = keep(owned, Tensor.empty(device, [rows, heads, headDim], 'f16'));
        const enqueue = (): void => void ropeAppendKv(stream, { ...tokens, q, qOut, table, pairing: 'halves' });
        return running(enqueue, qOut);
      }),
  };
}

export function gatherCase(rows: number): KernelCase {
  return {
    name: `gatherKv f16, ${rows} tokens of ${kvHeads} heads`,
    bytes: 4 * 2 * rows * kvHeads * headDim + 4 * rows,
    operations: 0,
    tolerance: 1e-6,
    prepare: (device) =>
      prepared((owned) => {
        const stream = device.defaultStream;
        const tokens = tokensFor(device, owned, rows, 'f16');
        appendKv(stream, tokens);
        const k = keep(owned, Tensor.empty(device, tokens.k.shape, 'f16'));
        const v = keep(owned, Tensor.empty(device, tokens.v.shape, 'f16'));
        return running(() => gatherKv(stream, { ...tokens, k, v }), k);
      }),
  };
}

export function boundsCase(pages: number): KernelCase {
  const width = kvHeads * headDim;
  return {
    name: `keyBounds f16, ${pages} pages of ${pageSize} tokens`,
    bytes: pages * (2 * pageSize * width + 2 * 4 * width + 8),
    operations: 0,
    tolerance: 1e-6,
    prepare: (device) =>
      prepared((owned) => {
        const stream = device.defaultStream;
        const cache = filledCache(device, owned, pages * pageSize, 'f16');
        const list = Int32Array.from({ length: pages }, (_, i) => i);
        const options = {
          cache,
          layer: 0,
          pages: keep(owned, Tensor.from(device, list, [pages], 'i32')),
          tokens: keep(owned, Tensor.full(device, [pages], 'i32', pageSize)),
          low: keep(owned, Tensor.empty(device, [pages, kvHeads, headDim], 'f32')),
          high: keep(owned, Tensor.empty(device, [pages, kvHeads, headDim], 'f32')),
        };
        return running(() => keyBounds(stream, options), options.low);
      }),
  };
}

/** Bytes that a token's keys and values take, read and written. */
const bytesPerToken = 2 * 2 * 2 * kvHeads * headDim;

/** Whole pages to as many empty ones, as a sequence does that is forked. */
export function copyPagesCase(pages: number): KernelCase {
  return {
    name: `copyPages f16, ${pages} pages of ${pageSize} tokens, launched one by one`,
    bytes: pages * (pageSize * bytesPerToken + 2 * 4),
    operations: 0,
    tolerance: 0,
    isDirect: true,
    prepare: (device) =>
      prepared((owned) => {
        const stream = device.defaultStream;
        const cache = filledCache(device, owned, pages * pageSize, 'f16', pages);
        const from = Array.from({ length: pages }, (_, i) => i);
        const to = from.map((i) => 2 * pages - 1 - i);
        return running(() => cache.copyPages(from, to, stream), cache.layer(0).k);
      }),
  };
}

/** The second half of the tokens in place of the first, as after a verification that keeps them. */
export function moveSlotsCase(rows: number): KernelCase {
  return {
    name: `moveSlots f16, ${rows} tokens of ${kvHeads} heads, launched one by one`,
    bytes: rows * (bytesPerToken + 2 * 8),
    operations: 0,
    tolerance: 0,
    isDirect: true,
    prepare: (device) =>
      prepared((owned) => {
        const stream = device.defaultStream;
        const cache = filledCache(device, owned, 2 * rows, 'f16');
        const to = Array.from({ length: rows }, (_, i) => i);
        const from = to.map((i) => 2 * rows - 1 - i);
        return running(() => cache.moveSlots(from, to, stream), cache.layer(0).k);
      }),
  };
}
