// SPDX-License-Identifier: Apache-2.0
/** Group J: extreme inputs. Some must be exact, none may leak from places that a row does not see. */
import { describe, expect, it } from 'vitest';
import { attention, type Device, type FloatDType, type KvLayer, planAttention, Tensor } from '../../lib/index.js';
import { AttentionBench, makeInputs } from '../support/attention.js';
import { isSimulated } from '../support/cuda.js';
import type { NamedDevice } from '../support/devices.js';
import { sampleSize } from '../support/grid.js';
import { randomNumbers } from '../support/random.js';
import { rounding, roundingStep } from '../support/rounding.js';
import { announceSkip } from '../support/skip.js';
import { expectClose } from '../support/tolerance.js';

const headDim = 64;

interface Pools {
  /** Of queries, cache and results. */
  dtype: FloatDType;
  k: Float32Array;
  v: Float32Array;
  pages: number;
  pageSize: number;
  kvHeads: number;
}

function makePools(dtype: FloatDType, pages: number, pageSize: number, kvHeads: number, seed = 9): Pools {
  const count = pages * pageSize * kvHeads * headDim;
  return {
    dtype,
    k: randomNumbers(count, { seed, stream: 1 }),
    v: randomNumbers(count, { seed, stream: 2 }),
    pages,
    pageSize,
    kvHeads,
  };
}

function numbersOn(
  device: Device,
  numbers: Float32Array,
  shape: readonly number[],
  dtype: FloatDType,
): Tensor<FloatDType> {
  return Tensor.from(device, Array.from(numbers), shape, dtype);
}

async function numbersOf(tensor: Tensor): Promise<Float32Array> {
  return Float32Array.from(await tensor.readNumbers());
}

/** One sequence over pages 0, 1, ... unless told otherwise. */
async function run(
  device: Device,
  pools: Pools,
  options: {
    queries: number;
    keys: number;
    heads: number;
    q: Float32Array;
    indices?: number[];
    window?: number;
    split?: 'auto' | 'none' | number;
    custom?: Uint8Array;
  },
): Promise<{ out: Float32Array; lse: Float32Array }> {
  const { dtype, pages, pageSize, kvHeads } = pools;
  const { queries, keys, heads } = options;
  const shape = [pages, pageSize, kvHeads, headDim];
  using k = numbersOn(device, pools.k, shape, dtype);
  using v = numbersOn(device, pools.v, shape, dtype);
  using q = numbersOn(device, options.q, [queries, heads, headDim], dtype);
  const indices = Int32Array.from(options.indices ?? Array.from({ length: Math.ceil(keys / pageSize) }, (_, i) => i));
  using plan = planAttention({
    queryLengths: [queries],
    pageTable: {
      lengths: Int32Array.of(keys),
      indptr: Int32Array.of(0, indices.length),
      indices,
      pageSize,
      pages,
      kvHeads,
      headDim,
    },
    heads,
    device,
    split: options.split ?? 'auto',
    ...(options.window === undefined ? {} : { window: options.window }),
    ...(options.custom ? { mask: { kind: 'custom', bits: options.custom } } : {}),
  });
  const { out, lse } = attention(device.defaultStream, { q, kv: { k, v } as KvLayer, plan });
  const results = { out: await numbersOf(out), lse: (await lse?.read()) as Float32Array };
  out.dispose();
  lse?.dispose();
  return results;
}

/** With f32 everywhere; on a GPU, which has other kernels for these, with 16 bits as well: simulated ones take turns. */
export function attentionEdges(devices: readonly NamedDevice[], reference: Device): void {
  const narrow = ['f16', 'bf16'] as const;
  const typed = devices.flatMap(({ name, device }, i) => {
    const some = isSimulated && sampleSize === 1 ? narrow.filter((_, j) => j === i % 2) : narrow;
    const dtypes: FloatDType[] = device.kind === 'cuda' ? ['f32', ...some] : ['f32'];
    return dtypes.map((dtype) => ({ name, device, dtype }));
  });
  describe.each(typed)('attention on extreme inputs: $name, $dtype', ({ name, device, dtype }) => {
    // 1 and 4 query rows of a group of 2 take the path for few rows, 16 the one for many.
    it.each([1, 4, 16])('one visible key gives exactly its value (%i rows)', async (queries) => {
      const pools = makePools(dtype, 2, 16, 2);
      const q = randomNumbers(queries * 4 * headDim, { seed: 3 });
      const { out, lse } = await run(device, pools, { queries, keys: 20, heads: 4, q, window: 1 });
      for (let row = 0; row < queries; row++) {
        const key = 20 - queries + row;
        for (let head = 0; head < 4; head++) {
          const at = (key * 2 + Math.floor(head / 2)) * headDim;
          const from = (row * 4 + head) * headDim;
          expect(out.slice(from, from + headDim)).toEqual(pools.v.slice(at, at + headDim).map(rounding[dtype]));
        }
      }
      expect(lse.every(Number.isFinite)).toBe(true);
    });

    it.each([1, 4, 40])(
      'rows that see nothing are exactly zero with an lse of -Infinity (%i rows)',
      async (queries) => {
        const pools = makePools(dtype, 4, 16, 2);
        const q = randomNumbers(queries * 4 * headDim, { seed: 4 });
        const custom = new Uint8Array(Math.ceil((queries * 64) / 8));
        for (const split of ['none', 16] as const) {
          const { out, lse } = await run(device, pools, { queries, keys: 64, heads: 4, q, custom, split });
          expect(out.every((x) => x === 0)).toBe(true);
          expect(lse.every((x) => x === Number.NEGATIVE_INFINITY)).toBe(true);
        }
        const leading = await run(device, pools, {
          queries: queries + 3,
          keys: queries,
          heads: 4,
          q: randomNumbers((queries + 3) * 4 * headDim, { seed: 5 }),
        });
        expect(leading.out.slice(0, 3 * 4 * headDim).every((x) => x === 0)).toBe(true);
        expect(leading.lse.slice(0, 12).every((x) => x === Number.NEGATIVE_INFINITY)).toBe(true);
        expect(leading.lse.slice(12).every(Number.isFinite)).toBe(true);
      },
    );

    it('a sequence without keys is zero', async () => {
      const { out, lse } = await run(device, makePools(dtype, 1, 16, 2), {
        queries: 2,
        keys: 0,
        heads: 4,
        q: randomNumbers(512, { seed: 6 }),
      });
      expect(out.every((x) => x === 0)).toBe(true);
      expect(lse.every((x) => x === Number.NEGATIVE_INFINITY)).toBe(true);
    });

    it.each([1, 16])('NaN and infinity where no row looks change nothing (%i rows)', async (queries) => {
      const clean = makePools(dtype, 6, 16, 2);
      const q = randomNumbers(queries * 4 * headDim, { seed: 7 });
      const options = { queries, keys: 40, heads: 4, q, indices: [4, 1, 3], window: 20, split: 'none' as const };
      const expected = await run(device, clean, options);
      const dirty = { ...clean, k: clean.k.slice(), v: clean.v.slice() };
      const firstSeen = 40 - queries + 1 - 20;
      for (let slot = 0; slot < 96; slot++) {
        const index = options.indices.indexOf(Math.floor(slot / 16));
        const key = index < 0 ? -1 : index * 16 + (slot % 16);
        if (key >= firstSeen && key < 40) continue;
        dirty.k.fill(slot % 2 ? Number.NaN : Number.POSITIVE_INFINITY, slot * 2 * headDim, (slot + 1) * 2 * headDim);
        dirty.v.fill(slot % 3 ? Number.NaN : Number.NEGATIVE_INFINITY, slot * 2 * headDim, (slot + 1) * 2 * headDim);
      }
      expect(await run(device, dirty, options)).toEqual(expected);
    });

    it.each([2, 16])('a NaN value or key reaches exactly the rows that see it (%i rows)', async (queries) => {
      for (const [pool, poison] of [
        ['v', Number.NaN],
        ['k', Number.NaN],
        ['v', Number.POSITIVE_INFINITY],
      ] as const) {
        const clean = makePools(dtype, 2, 16, 1);
        const q = randomNumbers(queries * 2 * headDim, { seed: 8 });
        const options = { queries, keys: 30, heads: 2, q, split: 'none' as const };
        const expected = await run(device, clean, options);
        const dirty = { ...clean, k: clean.k.slice(), v: clean.v.slice() };
        dirty[pool].fill(poison, 29 * headDim, 30 * headDim); // the last key: only the last row sees it
        const { out } = await run(device, dirty, options);
        const last = (queries - 1) * 2 * headDim;
        expect(out.slice(0, last)).toEqual(expected.out.slice(0, last));
        expect(out.slice(last).every(Number.isFinite)).toBe(false);
      }
    });

    it('entries of the page table that no row needs may be anything', async () => {
      const pools = makePools(dtype, 4, 16, 2);
      const q = randomNumbers(4 * headDim, { seed: 10 });
      const options = { queries: 1, keys: 40, heads: 4, q, split: 'none' as const };
      const expected = await run(device, pools, { ...options, indices: [2, 0, 3], window: 10 });
      const actual = await run(device, pools, { ...options, indices: [-1, 0, 3, -7, 1 << 30], window: 10 });
      expect(actual).toEqual(expected);
    });

    it('logits of ±10^4 neither overflow nor lose the largest', async () => {
      const pools = makePools(dtype, 8, 16, 1);
      const q = randomNumbers(2 * headDim, { seed: 11, scale: 3e5 / headDim });
      for (const split of ['none', 32] as const) {
        const actual = await run(device, pools, { queries: 1, keys: 128, heads: 2, q, split });
        const exact = await run(reference, pools, { queries: 1, keys: 128, heads: 2, q });
        expect(Math.max(...exact.lse)).toBeGreaterThan(5e3);
        expectClose(actual.lse, exact.lse, { relative: 1e-6 }, 'lse');
        expectClose(actual.out, exact.out, { absolute: 5e-3, relative: 2 * roundingStep[dtype] }, 'out');
      }
    });

    it('q may be a view into a fused projection, and K and V may have strides of their own', async () => {
      const heads = 4;
      const pools = makePools(dtype, 4, 16, 2);
      const fused = randomNumbers(3 * (heads + 4) * headDim, { seed: 12 });
      const q = Float32Array.from({ length: 3 * heads * headDim }, (_, i) => {
        const row = Math.floor(i / (heads * headDim));
        return fused[row * (heads + 4) * headDim + (i % (heads * headDim))] as number;
      });
      const expected = await run(device, pools, { queries: 3, keys: 50, heads, q });
      using whole = numbersOn(device, fused, [3, heads + 4, headDim], dtype);
      using view = whole.slice(1, 0, heads);
      using k = numbersOn(device, pools.k, [4, 16, 2, headDim], dtype);
      // V: [kvHeads, pages, pageSize, headDim] with a gap between tokens, seen as [pages, pageSize, kvHeads, headDim].
      const gap = headDim + 8;
      const spaced = new Float32Array(2 * 64 * gap).fill(Number.NaN);
      for (let slot = 0; slot < 64; slot++) {
        for (let head = 0; head < 2; head++) {
          const from = (slot * 2 + head) * headDim;
          spaced.set(pools.v.subarray(from, from + headDim), (head * 64 + slot) * gap);
        }
      }
      using memory = numbersOn(device, spaced, [spaced.length], dtype);
      using v = memory.asStrided([4, 16, 2, headDim], [16 * gap, gap, 64 * gap, 1]);
      using plan = planAttention({
        queryLengths: [3],
        pageTable: {
          lengths: Int32Array.of(50),
          indptr: Int32Array.of(0, 4),
          indices: Int32Array.of(0, 1, 2, 3),
          pageSize: 16,
          pages: 4,
          kvHeads: 2,
          headDim,
        },
        heads,
        device,
      });
      const { out, lse } = attention(device.defaultStream, { q: view, kv: { k, v } as KvLayer, plan });
      expect(await numbersOf(out)).toEqual(expected.out);
      expect(await lse?.read()).toEqual(expected.lse);
      out.dispose();
      lse?.dispose();
    });

    it('many runs of a split batch give the same bits', async () => {
      const inputs = makeInputs({
        seed: 13,
        queries: [1, 3, 9],
        kv: [300, 130, 90],
        kvHeads: 2,
        group: 4,
        headDim: 32,
        pageSize: 16,
        split: 64,
        dtype,
        cache: dtype,
      });
      using bench = new AttentionBench(device, inputs);
      const first = await bench.run();
      expect(bench.plan.merges).toBeGreaterThan(1);
      const onGpu = isSimulated ? 10 * sampleSize : 1000;
      const repeats = device.kind === 'cuda' ? onGpu : device.isa === 'portable' ? 200 : 1000;
      if (repeats < 1000) announceSkip(`the same bits every time on ${name}: ${repeats} of 1000 runs`);
      for (let i = 0; i < repeats; i += 10) {
        for (let j = 0; j < 9; j++) bench.enqueue();
        expect(await bench.run()).toEqual(first);
      }
    });
  });
}

export function attentionInLargeCache(devices: readonly NamedDevice[]): void {
  describe.each(devices)('attention in a large cache: $name', ({ device }) => {
    it.each(['f32', 'f16'] as const)('reaches elements past 2^31 with queries of %s', async (dtype) => {
      const pageSize = 16;
      const pages = 2 ** 31 / (pageSize * headDim) + 4;
      const shape = [pages, pageSize, 1, headDim];
      using pool = Tensor.empty(device, shape, 'i8'); // memory of pages that are never touched is never taken
      using scales = Tensor.empty(device, [pages, pageSize, 1], 'f32');
      const indices = Int32Array.of(pages - 1, 0, pages - 3);
      const codes = Int8Array.from(randomNumbers(48 * headDim, { seed: 14, scale: 30 }));
      for (const [i, page] of indices.entries()) {
        using target = pool.slice(0, page, page + 1);
        target.write(codes.slice(i * pageSize * headDim, (i + 1) * pageSize * headDim));
        using scale = scales.slice(0, page, page + 1);
        scale.fill(0.03);
      }
      using q = numbersOn(device, randomNumbers(2 * headDim, { seed: 15 }), [1, 2, headDim], dtype);
      const pageTable = { lengths: Int32Array.of(48), indptr: Int32Array.of(0, 3), pageSize, kvHeads: 1, headDim };
      using far = planAttention({ queryLengths: [1], pageTable: { ...pageTable, indices, pages }, heads: 2, device });
      const kv = { k: pool, v: pool, kScale: scales, vScale: scales };
      using out = attention(device.defaultStream, { q, kv, plan: far, lse: false }).out;

      using smallPool = Tensor.from(device, codes, [3, pageSize, 1, headDim], 'i8');
      using smallScales = Tensor.full(device, [3, pageSize, 1], 'f32', 0.03);
      using near = planAttention({
        queryLengths: [1],
        pageTable: { ...pageTable, indices: Int32Array.of(0, 1, 2), pages: 3 },
        heads: 2,
        device,
      });
      const small = { k: smallPool, v: smallPool, kScale: smallScales, vScale: smallScales };
      using expected = attention(device.defaultStream, { q, kv: small, plan: near, lse: false }).out;
      expect(await out.read()).toEqual(await expected.read());
    });
  });
}
