// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import {
  appendKv,
  type Device,
  type FloatDType,
  gatherKv,
  PagedKvCache,
  type StoredCacheDType,
  Tensor,
} from '../../lib/index.js';
import { type CodeType, isCodeType, storedAsCodes } from '../support/cache-codes.js';
import type { NamedDevice } from '../support/devices.js';
import {
  type Combination,
  describeCombination,
  type GridRecord,
  generator,
  readCases,
  selectCombinations,
} from '../support/grid.js';
import { randomNumbers } from '../support/random.js';
import { rounding } from '../support/rounding.js';

interface AppendCase {
  rows: number;
  headDim: number;
  kvHeads: number;
  pageSize: number;
  layout: 'NHD' | 'HND';
  slots: 'i32' | 'i64';
  strided: boolean;
  holes: boolean;
  dtype: FloatDType;
  cache: StoredCacheDType;
}

/** What a stored row of one head reads as. */
function stored(row: number[], cache: StoredCacheDType): number[] {
  return isCodeType(cache) ? storedAsCodes(cache, row) : row.map(rounding[cache]);
}

function distinctSlots(count: number, available: number, seed: number, holes: boolean): number[] {
  const random = generator(seed);
  const all = Array.from({ length: available }, (_, i) => i);
  return Array.from({ length: count }, (_, i) =>
    holes && i % 3 === 1 ? -1 : (all.splice(Math.floor(random() * all.length), 1)[0] as number),
  );
}

async function appendAndGather(device: Device, c: AppendCase, seed: number): Promise<void> {
  const pages = Math.ceil(c.rows / c.pageSize) + 2;
  using cache = new PagedKvCache(device, { layers: 2, pages, ...c, dtype: c.cache });
  const rowLength = c.kvHeads * c.headDim;
  const numbers = [1, 2].map((stream) => randomNumbers(c.rows * rowLength, { seed, stream }).map(rounding[c.dtype]));
  const [kNumbers, vNumbers] = numbers as [Float32Array, Float32Array];
  const chosen = distinctSlots(c.rows, pages * c.pageSize, seed, c.holes);
  const fusedHeads = 2 * c.kvHeads + 1;
  const rowsOf = (source: Float32Array, head: number): Tensor<FloatDType> => {
    const shape = [c.rows, c.kvHeads, c.headDim];
    if (!c.strided) return Tensor.from(device, Array.from(source), shape, c.dtype);
    const numbers = new Array<number>(c.rows * fusedHeads * c.headDim).fill(Number.NaN);
    for (const [i, x] of source.entries()) {
      const row = Math.floor(i / rowLength);
      numbers[(row * fusedHeads + head) * c.headDim + (i % rowLength)] = x;
    }
    using fused = Tensor.from(device, numbers, [c.rows, fusedHeads, c.headDim], c.dtype);
    return fused.slice(1, head, head + c.kvHeads);
  };
  using k = rowsOf(kNumbers, 0);
  using v = rowsOf(vNumbers, c.kvHeads + 1);
  using slots = Tensor.from(device, chosen, undefined, c.slots);
  appendKv(device.defaultStream, { k, v, slots, cache, layer: 1 });

  using kBack = Tensor.full(device, [c.rows, c.kvHeads, c.headDim], 'f32', Number.NaN);
  using vBack = Tensor.full(device, [c.rows, c.kvHeads, c.headDim], 'f32', Number.NaN);
  gatherKv(device.defaultStream, { k: kBack, v: vBack, slots, cache, layer: 1 });
  for (const [source, back] of [
    [kNumbers, kBack],
    [vNumbers, vBack],
  ] as const) {
    const expected: number[] = [];
    for (let row = 0; row < c.rows; row++) {
      for (let head = 0; head < c.kvHeads; head++) {
        const at = row * rowLength + head * c.headDim;
        const values = Array.from(source.subarray(at, at + c.headDim));
        expected.push(...(chosen[row] === -1 ? values.map(() => 0) : stored(values, c.cache)));
      }
    }
    // A code of E4M3 has a sign even where it is zero.
    const plainZero = (x: number): number => x + 0;
    expect(Float32Array.from(await back.read(), plainZero)).toEqual(Float32Array.from(expected, plainZero));
  }
}

/**
 * @param forCase the devices of the next case
 * @param most elements of a case's keys; larger cases are left out
 */
export function kvCacheTests(
  devices: readonly NamedDevice[],
  forCase: () => readonly NamedDevice[] = () => devices,
  most = Number.POSITIVE_INFINITY,
): void {
  for (const record of readCases<GridRecord>('kvcache')) {
    describe(`KV cache ${record.group}: ${record.name}`, () => {
      const cost = (c: Combination): number =>
        (c['rows'] as number) * (c['kvHeads'] as number) * (c['headDim'] as number);
      for (const combination of selectCombinations(
        record,
        () => 1,
        (c) => cost(c) <= most,
      )) {
        it(describeCombination(combination), async () => {
          for (const { device } of forCase())
            await appendAndGather(device, combination as unknown as AppendCase, record.seed);
        });
      }
    });
  }

  describe.each(devices)('KV cache: $name', ({ device }) => {
    it('leaves every other slot and layer alone', async () => {
      using cache = new PagedKvCache(device, {
        layers: 2,
        kvHeads: 2,
        headDim: 8,
        pageSize: 4,
        pages: 3,
        dtype: 'f32',
      });
      for (const i of [0, 1]) for (const pool of [cache.layer(i).k, cache.layer(i).v]) pool.fill(7);
      using rows = Tensor.from(device, randomNumbers(2 * 16, { seed: 1 }), [2, 2, 8], 'f32');
      using slots = Tensor.from(device, [5, -1], undefined, 'i32');
      appendKv(device.defaultStream, { k: rows, v: rows, slots, cache, layer: 0 });
      const written = await cache.layer(0).k.readNumbers();
      const differing = written.filter((x) => x !== 7).length;
      expect(differing).toBe(16);
      expect((await cache.layer(1).k.readNumbers()).every((x) => x === 7)).toBe(true);
    });

    it.each<CodeType>(['i8', 'fp8e4m3', 'i4'])(
      'a row of %s with a NaN or infinity reads as NaN, one of zeros as zeros',
      async (dtype) => {
        using cache = new PagedKvCache(device, { layers: 1, kvHeads: 1, headDim: 8, pageSize: 4, pages: 1, dtype });
        const values = [
          new Array(8).fill(0),
          [1, Number.NaN, 3, 4, 5, 6, 7, 8],
          [1, 2, Number.POSITIVE_INFINITY, 0, 0, 0, 0, 0],
        ];
        using k = Tensor.from(device, values.flat() as number[], [3, 1, 8], 'f32');
        using slots = Tensor.from(device, [0, 1, 2], undefined, 'i64');
        appendKv(device.defaultStream, { k, v: k, slots, cache, layer: 0 });
        using back = Tensor.empty(device, [3, 1, 8], 'f32');
        using other = Tensor.empty(device, [3, 1, 8], 'f32');
        gatherKv(device.defaultStream, { k: back, v: other, slots, cache, layer: 0 });
        const read = Array.from(await back.read());
        expect(read.slice(0, 8)).toEqual(new Array(8).fill(0));
        expect(read.slice(8).every(Number.isNaN)).toBe(true);
      },
    );

    it('skips and reports slots outside the pool', async () => {
      using cache = new PagedKvCache(device, {
        layers: 1,
        kvHeads: 1,
        headDim: 4,
        pageSize: 4,
        pages: 2,
        dtype: 'f32',
      });
      cache.layer(0).k.fill(1);
      using k = Tensor.from(device, [1, 2, 3, 4, 5, 6, 7, 8], [2, 1, 4], 'f32');
      for (const bad of [8, -2, 2 ** 31 - 1]) {
        using slots = Tensor.from(device, [bad, 3], undefined, 'i32');
        appendKv(device.defaultStream, { k, v: k, slots, cache, layer: 0 });
        await expect(device.defaultStream.synchronize()).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
        expect((await cache.layer(0).k.readNumbers()).slice(12, 16)).toEqual([5, 6, 7, 8]);
      }
    });
  });
}
