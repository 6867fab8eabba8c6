// SPDX-License-Identifier: Apache-2.0
/**
 * What the tensor-core kernels ask of a GPU, counted on the simulated one: hardware-independent figures, no timings. Costs
 * of keys are differences between a longer and a shorter run, so that what a block does once does not blur them.
 */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { attention, load, planAttention, type StoredCacheDType, Tensor } from '../../lib/index.js';
import { cacheRowBytes } from '../../lib/kv/layer.js';
import { AttentionBench, type AttentionCase, makeInputs } from '../support/attention.js';
import { isCodeType } from '../support/cache-codes.js';
import { describeCounters, type LaunchProfile, lastLaunch, profileLaunches } from '../support/counters.js';
import { cudaDevice } from '../support/cuda.js';
import { temporaryFolder } from '../support/folder.js';
import { prefixPageTable } from '../support/prefix.js';
import { tinyModel, tinyText } from '../support/tiny-model.js';
import { nmse } from '../support/tolerance.js';

interface Shape {
  queries: number;
  group: number;
  headDim: number;
  dtype: 'f16' | 'bf16';
  cache: StoredCacheDType;
}

const kvHeads = 2;
const batch = 2;
const lengths = [256, 512] as const;

/** Rows of queries and heads per kv head: row tiles of 16 (hardly filled, and filled), 32, 64 and 128. */
const rows = [
  { queries: 1, group: 1 },
  { queries: 1, group: 8 },
  { queries: 8, group: 4 },
  { queries: 16, group: 4 },
  { queries: 16, group: 8 },
] as const;
const shapes: Shape[] = [
  ...(['f16', 'bf16'] as const).flatMap((dtype, i) =>
    // Each row tile with two head dimensions, one in either type.
    rows.map((some, j): Shape => ({ ...some, headDim: [128, 64, 256][(i + j) % 3] as number, dtype, cache: dtype })),
  ),
  ...(['i8', 'fp8e4m3', 'i4'] as const).flatMap((cache, i) =>
    [64, 128, 256].map((headDim, j): Shape => {
      const dtype = (i + j) % 2 === 0 ? 'bf16' : 'f16';
      return { ...(rows[(2 * i + j) % rows.length] as (typeof rows)[number]), headDim, dtype, cache };
    }),
  ),
];

const folder = temporaryFolder();

describeCounters('attention', () => {
  const launches = profileLaunches();
  const profileOf = (name: string): LaunchProfile => lastLaunch(launches(), name);
  const device = cudaDevice();

  async function profile(shape: Shape, kv: number, mask: AttentionCase['mask'] = 'causal'): Promise<LaunchProfile> {
    const call = { ...shape, batch, kv, kvHeads, pageSize: 16, split: 'none', mask, seed: kv } as const;
    using bench = new AttentionBench(device, makeInputs(call));
    bench.enqueue();
    await device.defaultStream.synchronize();
    return profileOf('pw_attention_');
  }

  /** Bytes that kernels whose names begin so have read from global memory in launches from number `first` on. */
  function bytesOf(name: string, first: number): number {
    const those = launches()
      .slice(first)
      .filter(({ kernel }) => kernel.startsWith(name));
    return those.reduce((sum, { globalLoadBytes }) => sum + globalLoadBytes, 0);
  }

  it.each(shapes)('$queries rows of $group heads, head dimension $headDim, $dtype over $cache', async (shape) => {
    const { queries, group, headDim, dtype, cache } = shape;
    const rowTile = [16, 32, 64, 128].find((tile) => tile >= queries * group) as number;
    const [shorter, longer] = [await profile(shape, lengths[0]), await profile(shape, lengths[1])];
    const keys = (lengths[1] - lengths[0]) * batch * kvHeads;
    expect(longer.kernel).toBe(
      `pw_attention_${dtype}${{ i8: '_i8', fp8e4m3: '_f8', i4: '_i4' }[cache as string] ?? ''}_${headDim}`,
    );
    type Count = {
      [Name in keyof LaunchProfile]: LaunchProfile[Name] extends number ? Name : never;
    }[keyof LaunchProfile];
    const grown = (name: Count): number => longer[name] - shorter[name];

    // Each byte once per kv head; of the longest rows twice where a block has 99 KiB, since tiles of 128 take two rounds there.
    // Besides, every warp of a row tile reads the page number of each key, and the first one of them a key's scales.
    const rounds = rowTile === 128 && headDim > 128 && [86, 89, 120].includes(device.capability as number) ? 2 : 1;
    const bytes = rounds * keys * 2 * cacheRowBytes(cache, headDim);
    const pages = keys * (rowTile / 16);
    expect((grown('globalLoadBytes') - 4 * pages) / bytes).toBeGreaterThanOrEqual(1);
    expect((grown('globalLoadBytes') - 4 * pages) / bytes).toBeLessThanOrEqual(1.02);
    // All by accesses of 16 bytes a lane, of all lanes; page numbers and scales are looked up by one access per chunk of keys.
    // An asynchronous copy is two requests, as the simulator counts: one of global memory, one of shared memory.
    const scales = isCodeType(cache) ? rounds * 2 * keys : 0;
    const chunk = headDim > 128 ? 16 : 32;
    const wide = (grown('globalLoadRequests') - pages / chunk) / 2 - scales / chunk;
    expect((grown('globalLoadBytes') - 4 * (pages + scales)) / wide).toBe(512);
    // Whole sectors. Scales of a head are 4 bytes a token; those of the other heads lie in between.
    // A chunk's page numbers, of 16 keys each, are one sector.
    const sectors = grown('globalLoadSectors') - pages / chunk - (scales * 4 * kvHeads) / 32;
    expect((32 * sectors) / (bytes - 4 * scales)).toBeLessThanOrEqual(1.02);

    const arithmetic = 2 * 2 * rowTile * headDim * keys;
    expect(grown('matrixOperations') / arithmetic).toBeGreaterThanOrEqual(1);
    expect(grown('matrixOperations') / arithmetic).toBeLessThanOrEqual(1.15);

    expect(grown('sharedLoadWavefronts')).toBe(grown('sharedLoadIdeal'));
    expect(grown('sharedStoreWavefronts')).toBe(grown('sharedStoreIdeal'));
    const mainLoop = longer.conflicts.filter(({ source }) =>
      /(fragments|codes|ring|logits|async_copy|ldmatrix)\.cuh/.test(source),
    );
    expect(mainLoop).toEqual([]);
  });

  it.each(['f16', 'i8'] as const)(
    'over %s masks are looked at in the last keys alone, also those of trees',
    async (cache) => {
      const shape: Shape = { queries: 8, group: 4, headDim: 64, dtype: 'f16', cache };
      /** What more keys read from shared memory, where the rows' masks lie. */
      async function grown(mask: AttentionCase['mask']): Promise<number> {
        const [shorter, longer] = [await profile(shape, lengths[0], mask), await profile(shape, lengths[1], mask)];
        return longer.sharedLoadWavefronts - shorter.sharedLoadWavefronts;
      }
      const unmasked = await grown('none');
      for (const mask of ['causal', 'tree'] as const) expect(await grown(mask), mask).toBe(unmasked);
      // Custom bits may hide any key.
      expect(await grown('customCausal')).toBeGreaterThan(unmasked);
    },
  );

  it.each([
    ['once for all of its readers', 4, 1, 1],
    ['once per 128 packed rows of its readers, 4 of each', 40, 2, 8 + 2],
    ['by each of them where the plan does not know that it is shared', 4, 4, 4],
  ] as const)('a prefix is read %s', async (_, readers, times, warps) => {
    const isKnown = times < readers;
    const [heads, headDim, pageSize] = [4 * kvHeads, 64, 16];
    async function bytesLoaded(shared: number): Promise<number> {
      const pageTable = prefixPageTable({ readers, shared, unique: pageSize, pageSize, kvHeads, headDim }, 1);
      const pool = [pageTable.pages, pageSize, kvHeads, headDim];
      const before = launches().length;
      using k = Tensor.full(device, pool, 'f16', 1);
      using v = Tensor.full(device, pool, 'f16', 1);
      using q = Tensor.full(device, [readers, heads, headDim], 'f16', 1);
      const queryLengths = new Array<number>(readers).fill(1);
      const options = { queryLengths, pageTable, heads, device, split: 'none' } as const;
      using plan = planAttention({ ...options, ...(isKnown ? { sharedPrefix: shared } : {}) });
      const { out, lse } = attention(device.defaultStream, { q, kv: { k, v }, plan });
      out.dispose();
      lse?.dispose();
      await device.defaultStream.synchronize();
      return bytesOf('pw_attention_f16', before);
    }
    const grown = (await bytesLoaded(lengths[1])) - (await bytesLoaded(lengths[0]));
    // Besides, the page number of each key by every warp of 16 rows.
    const keys = (lengths[1] - lengths[0]) * kvHeads;
    const ratio = (grown - 4 * warps * keys) / (times * keys * 2 * 2 * headDim);
    expect(ratio).toBeGreaterThanOrEqual(1);
    expect(ratio).toBeLessThanOrEqual(1.02);
  });

  it.each([
    ['f16', 'f16_64', 3],
    ['i8', 'f16_i8_64', 1],
  ] as const)(
    'steps of a model read each byte of a cache of %s once (%s), %i sequences at a time',
    async (...which) => {
      const [cacheDType, kernel, count] = which;
      const [layers, headDim, steps] = [2, 64, 2];
      const path = join(folder, 'decoded.gguf');
      tinyModel({ seed: 5, dim: 32, heads: 2 * kvHeads, kvHeads, headDim, layers, context: 256 }).writer.write(path);
      const memory = { cacheDType, contextLength: 256, cacheTokens: 1024, prefixCache: false } as const;
      await using model = await load(path, { device, ...memory });
      const options = { ignoreEnd: true, speculate: 'off' } as const;
      /** What attention asks for in steps of a row for each sequence, and the keys that these rows see. */
      async function decode(length: number): Promise<{ bytes: number; keys: number }> {
        const prompts = Array.from({ length: count }, (_, i) => tinyText(length + 16 * i, i + 1));
        const sequences = [];
        for (const prompt of prompts) {
          const sequence = model.createSequence();
          await model.generate(prompt, { ...options, sequence, maxTokens: 1 }).complete();
          sequences.push(sequence);
        }
        const before = launches().length;
        const continued = sequences.map((sequence) => model.generate([], { ...options, sequence, maxTokens: steps }));
        await Promise.all(continued.map((one) => one.complete()));
        for (const sequence of sequences) sequence.dispose();
        const main = launches()
          .slice(before)
          .filter((launch) => launch.kernel === `pw_attention_${kernel}`);
        // Sequences share steps, once the others have joined the first.
        expect(main.length).toBeLessThanOrEqual(layers * Math.max(steps, steps * count - 1));
        // A step's rows see the keys before them and their own.
        const keys = prompts.reduce((sum, { length }) => sum + steps * length + (steps * (steps + 1)) / 2, 0);
        return { bytes: bytesOf('pw_attention_', before), keys: layers * kvHeads * keys };
      }
      const [shorter, longer] = [await decode(16), await decode(48)];
      const keys = longer.keys - shorter.keys;
      // Besides, the page number of each key.
      const ratio = (longer.bytes - shorter.bytes - 4 * keys) / (keys * 2 * cacheRowBytes(cacheDType, headDim));
      expect(ratio).toBeGreaterThanOrEqual(1);
      expect(ratio).toBeLessThanOrEqual(1.02);
    },
  );

  it.each([
    ['f16', 'f16_64'],
    ['bf16', 'bf16_64'],
    ['i8', 'f16_i8_64'],
  ] as const)('is the work of tensor cores in models with a cache of %s', async (cacheDType, kernel) => {
    const path = join(folder, 'tiny.gguf');
    tinyModel({ seed: 5, dim: 64, headDim: 32 }).writer.write(path);
    const options = { cacheDType, contextLength: 64 } as const;
    await using onGpu = await load(path, { device, ...options });
    await using onCpu = await load(path, { device: { threads: 1 }, ...options });
    const ids = [5, 9, 4, 33, 17];
    const [actual, expected] = [await onGpu.logits(ids), await onCpu.logits(ids)];
    expect(nmse(actual.at(-1) as Float32Array, expected.at(-1) as Float32Array)).toBeLessThan(1e-3);
    // A step of one row has no other launch of attention.
    await onGpu.logits([7]);
    expect(profileOf('pw_attention_').kernel).toBe(`pw_attention_${kernel}`);
  });
});
