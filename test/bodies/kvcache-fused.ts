// SPDX-License-Identifier: Apache-2.0
/**
 * Cache operations that do several things at once, against the operations that do one; what pages are copied, moved and
 * summed up by, whatever they hold.
 */
import { describe, expect, it } from 'vitest';
import {
  appendKv,
  type Device,
  type FloatDType,
  gatherKv,
  type KvSequence,
  keyBounds,
  PagedKvCache,
  type RopePairing,
  rope,
  ropeAppendKv,
  ropeFrequencies,
  ropeFrequencyTensor,
  ropeTable,
  type StoredCacheDType,
  Tensor,
} from '../../lib/index.js';
import type { NamedDevice } from '../support/devices.js';
import { codeOf } from '../support/errors.js';
import { describeCombination, type GridRecord, readCases, selectCombinations } from '../support/grid.js';
import { randomNumbers, randomTensor } from '../support/random.js';

interface FusedCase {
  rows: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  rotaryDim: number;
  pairing: RopePairing;
  dtype: FloatDType;
  cache: StoredCacheDType;
  layout: 'NHD' | 'HND';
  /** q, k and v are views into one projection. */
  strided: boolean;
  inPlace: boolean;
}

/** Everything that a cache holds. */
async function contents(cache: PagedKvCache): Promise<unknown[]> {
  const { k, v, kScale, vScale } = cache.layer(0);
  const tensors = [k, v, kScale, vScale].filter((tensor) => tensor !== undefined);
  return Promise.all(tensors.map((tensor) => (tensor as Tensor).read()));
}

async function checkFused(device: Device, c: FusedCase, seed: number): Promise<void> {
  const stream = device.defaultStream;
  const { rows, heads, kvHeads, headDim, dtype } = c;
  const shape = { layers: 1, kvHeads, headDim, pageSize: 4, pages: Math.ceil(rows / 4) + 1, layout: c.layout };
  using separate = new PagedKvCache(device, { ...shape, dtype: c.cache });
  using fused = new PagedKvCache(device, { ...shape, dtype: c.cache });
  for (const cache of [separate, fused]) {
    const { k, v, kScale, vScale } = cache.layer(0);
    for (const tensor of [k, v, kScale, vScale]) (tensor as Tensor | undefined)?.fill(3);
  }
  const all = heads + 2 * kvHeads;
  const heldTensors: Tensor[] = [];
  const hold = <D extends FloatDType>(tensor: Tensor<D>): Tensor<D> => {
    heldTensors.push(tensor as Tensor);
    return tensor;
  };
  /** q, k and v, the same for every call. */
  const inputs = (): Tensor<FloatDType>[] => {
    const whole = hold(randomTensor(device, [rows, all, headDim], dtype, { seed }));
    const parts = [0, heads, heads + kvHeads, all];
    return [0, 1, 2].map((i) => {
      const part = hold(whole.slice(1, parts[i] as number, parts[i + 1] as number));
      return c.strided ? part : hold(part.to(dtype));
    });
  };
  using positions = Tensor.from(
    device,
    Array.from({ length: rows }, (_, i) => 5 + 3 * i),
    [rows],
    'i32',
  );
  using frequencies = ropeFrequencyTensor(device, ropeFrequencies({ rotaryDim: c.rotaryDim, theta: 1e4 }));
  using table = ropeTable(stream, { positions, frequencies });
  const places = Array.from({ length: rows }, (_, i) => (i % 5 === 3 ? -1 : rows - i));
  using slots = Tensor.from(device, places, [rows], 'i32');
  const { pairing } = c;

  const [q1, k1, v1] = inputs() as [Tensor<FloatDType>, Tensor<FloatDType>, Tensor<FloatDType>];
  rope(stream, { q: q1, k: k1, table, pairing });
  appendKv(stream, { k: k1, v: v1, slots, cache: separate, layer: 0 });
  const [q2, k2, v2] = inputs() as [Tensor<FloatDType>, Tensor<FloatDType>, Tensor<FloatDType>];
  const before = await k2.read();
  const out = c.inPlace ? {} : { qOut: hold(Tensor.full(device, q2.shape, dtype, Number.NaN)) };
  const turned = ropeAppendKv(stream, { q: q2, ...out, k: k2, v: v2, slots, table, pairing, cache: fused, layer: 0 });
  expect(await turned?.read()).toEqual(await q1.read());
  expect(await contents(fused)).toEqual(await contents(separate));
  expect(await k2.read()).toEqual(before);
  for (const tensor of heldTensors) tensor.dispose();
}

async function checkBounds(device: Device, dtype: StoredCacheDType, headDim: number): Promise<void> {
  const stream = device.defaultStream;
  const [pageSize, kvHeads] = [4, 3];
  using cache = new PagedKvCache(device, { layers: 1, kvHeads, headDim, pageSize, pages: 6, dtype });
  using first = cache.sequence();
  using second = cache.sequence();
  const width = kvHeads * headDim;
  const keys = new Map<number, number[]>();
  for (const [sequence, count] of [
    [first, 10],
    [second, 5],
  ] as const) {
    sequence.reserve(count);
    using k = randomTensor(device, [count, kvHeads, headDim], 'f32', { seed: count });
    using slots = Tensor.from(
      device,
      Array.from({ length: count }, (_, i) => sequence.slot(i)),
      [count],
      'i32',
    );
    appendKv(stream, { k, v: k, slots, cache, layer: 0 });
    using back = Tensor.empty(device, [count, kvHeads, headDim], 'f32');
    using other = Tensor.empty(device, [count, kvHeads, headDim], 'f32');
    gatherKv(stream, { k: back, v: other, slots, cache, layer: 0 });
    const numbers = await back.readNumbers();
    for (let i = 0; i < count; i++) keys.set(sequence.slot(i), Array.from(numbers.slice(i * width, (i + 1) * width)));
  }
  const batch = cache.batch([
    { sequence: first, queryLength: 3 },
    { sequence: second, queryLength: 5 },
  ]);
  const touched = batch.touchedPages();
  expect([...touched.pages].sort()).toEqual([first.pages[1], first.pages[2], ...second.pages].sort());
  using pages = Tensor.from(device, [...touched.pages, -1], undefined, 'i32');
  using tokens = Tensor.from(device, [...touched.tokens, 0], undefined, 'i32');
  using low = Tensor.full(device, [6, kvHeads, headDim], 'f32', 77);
  using high = Tensor.full(device, [6, kvHeads, headDim], 'f32', 77);
  keyBounds(stream, { cache, layer: 0, pages, tokens, low, high });
  const expected = (pick: (...xs: number[]) => number): number[] =>
    Array.from({ length: 6 }, (_, page) => {
      const at = touched.pages.indexOf(page);
      if (at < 0) return new Array<number>(width).fill(77);
      const rows = Array.from({ length: touched.tokens[at] as number }, (_, i) => keys.get(page * pageSize + i) ?? []);
      return Array.from({ length: width }, (_, d) => pick(...rows.map((row) => row[d] as number)));
    }).flat();
  expect(Array.from(await low.readNumbers())).toEqual(expected(Math.min));
  expect(Array.from(await high.readNumbers())).toEqual(expected(Math.max));
}

/** Keys and values of a sequence, a list of numbers for each token. */
async function tokensOf(sequence: KvSequence): Promise<number[][]> {
  const { cache, length } = sequence;
  const shape = [length, cache.kvHeads, cache.headDim];
  const { device } = cache;
  using slots = Tensor.from(
    device,
    Array.from({ length }, (_, i) => sequence.slot(i)),
    [length],
    'i32',
  );
  using k = Tensor.empty(device, shape, 'f32');
  using v = Tensor.empty(device, shape, 'f32');
  gatherKv(device.defaultStream, { k, v, slots, cache, layer: 0 });
  const [keys, values] = [await k.readNumbers(), await v.readNumbers()];
  const width = cache.kvHeads * cache.headDim;
  const part = (all: number[], i: number): number[] => Array.from(all.slice(i * width, (i + 1) * width));
  return Array.from({ length }, (_, i) => [...part(keys, i), ...part(values, i)]);
}

async function checkMoves(device: Device, dtype: StoredCacheDType, layout: 'NHD' | 'HND'): Promise<void> {
  const [kvHeads, headDim, count] = [3, 22, 10];
  using cache = new PagedKvCache(device, { layers: 1, kvHeads, headDim, pageSize: 4, pages: 8, dtype, layout });
  using sequence = cache.sequence();
  sequence.reserve(count);
  using k = randomTensor(device, [count, kvHeads, headDim], 'f32', { seed: 1 });
  using v = randomTensor(device, [count, kvHeads, headDim], 'f32', { seed: 2 });
  using slots = Tensor.from(
    device,
    Array.from({ length: count }, (_, i) => sequence.slot(i)),
    [count],
    'i32',
  );
  appendKv(device.defaultStream, { k, v, slots, cache, layer: 0 });
  const tokens = await tokensOf(sequence);
  using fork = sequence.fork();
  fork.reserve(1);
  expect((await tokensOf(fork)).slice(0, count)).toEqual(tokens);
  sequence.keep([1, 2, 5], 6); // of tokens 4 to 9
  expect(await tokensOf(sequence)).toEqual([0, 1, 2, 3, 5, 6, 9].map((i) => tokens[i]));
  sequence.truncate(5);
  expect(await tokensOf(sequence)).toEqual([0, 1, 2, 3, 5].map((i) => tokens[i]));
  expect((await tokensOf(fork)).slice(0, count)).toEqual(tokens);
}

/** @param most elements of a case; larger ones are left out */
export function fusedCacheTests(devices: readonly NamedDevice[], most = Number.POSITIVE_INFINITY): void {
  for (const record of readCases<GridRecord>('kvcache_fused')) {
    describe(`KV cache ${record.group}: ${record.name}`, () => {
      const meant = (c: FusedCase): boolean => c.rotaryDim <= c.headDim && c.rows * c.headDim * c.heads <= most;
      for (const combination of selectCombinations(
        record,
        () => 1,
        (c) => meant(c as unknown as FusedCase),
      )) {
        it(describeCombination(combination), async () => {
          for (const { device } of devices) await checkFused(device, combination as unknown as FusedCase, record.seed);
        });
      }
    });
  }

  describe.each(devices)('pages of codes: $name', ({ device }) => {
    it.each([
      ['i8', 'HND'],
      ['fp8e4m3', 'NHD'],
      ['i4', 'HND'],
      ['i4', 'NHD'],
    ] as const)('%s in %s are copied and moved with their scales', (dtype, layout) =>
      checkMoves(device, dtype, layout),
    );
  });

  describe.each(devices)('bounds of keys: $name', ({ device }) => {
    it.each([
      ['f32', 33],
      ['f16', 64],
      ['bf16', 10],
      ['i8', 72],
      ['fp8e4m3', 9],
      ['i4', 66],
    ] as const)('%s of %i columns', (dtype, headDim) => checkBounds(device, dtype, headDim));

    it('a NaN shows in its column, a page without tokens has no bounds, and what is no page is reported', async () => {
      using cache = new PagedKvCache(device, {
        layers: 1,
        kvHeads: 1,
        headDim: 4,
        pageSize: 2,
        pages: 2,
        dtype: 'f32',
      });
      cache
        .layer(0)
        .k.write(Float32Array.of(1, 2, Number.NaN, 4, -1, 5, 6, Number.NaN, ...randomNumbers(8, { seed: 1 })));
      using pages = Tensor.from(device, [0, 1, 2], undefined, 'i32');
      using tokens = Tensor.from(device, [2, 0, 1], undefined, 'i32');
      using low = Tensor.zeros(device, [2, 1, 4], 'f32');
      using high = Tensor.zeros(device, [2, 1, 4], 'f32');
      keyBounds(device.defaultStream, { cache, layer: 0, pages, tokens, low, high });
      await expect(device.defaultStream.synchronize()).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
      const infinity = new Array<number>(4).fill(Number.POSITIVE_INFINITY);
      expect(Array.from(await low.read())).toEqual([-1, 2, Number.NaN, Number.NaN, ...infinity]);
      expect(Array.from(await high.read())).toEqual([1, 5, Number.NaN, Number.NaN, ...infinity.map((x) => -x)]);
    });

    it('refuses bounds of another shape', () => {
      using cache = new PagedKvCache(device, { layers: 1, kvHeads: 1, headDim: 8, pageSize: 2, pages: 2, dtype: 'i4' });
      using list = Tensor.zeros(device, [1], 'i32');
      using narrow = Tensor.zeros(device, [2, 1, 4], 'f32');
      const options = { cache, layer: 0, pages: list, tokens: list, low: narrow, high: narrow };
      expect(codeOf(() => keyBounds(device.defaultStream, options))).toBe('ERR_SHAPE_MISMATCH');
    });
  });
}
