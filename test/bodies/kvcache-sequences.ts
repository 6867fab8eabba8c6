// SPDX-License-Identifier: Apache-2.0
/** The cache's control plane: sequences, pages, copy on write. Contents are followed by giving each token a number. */
import { describe, expect, it } from 'vitest';
import {
  appendKv,
  type Device,
  gatherKv,
  type KvSequence,
  PagedKvCache,
  type PagedKvCacheOptions,
  type PagewarpError,
  planAttention,
  Tensor,
} from '../../lib/index.js';
import { codeOf } from '../support/errors.js';
import { generator } from '../support/grid.js';

const shape = {
  layers: 2,
  kvHeads: 2,
  headDim: 4,
  pageSize: 4,
  pages: 8,
  dtype: 'f32',
} as const satisfies PagedKvCacheOptions;

/** Appends one token per number; keys hold the number, values its negative, in both layers. */
function append(sequence: KvSequence, numbers: readonly number[]): void {
  const { cache } = sequence;
  const { device } = cache;
  const begin = sequence.reserve(numbers.length);
  const { kvHeads, headDim } = cache;
  const repeat = (sign: number): number[] =>
    numbers.flatMap((n) => new Array<number>(kvHeads * headDim).fill(sign * n));
  using k = Tensor.from(device, repeat(1), [numbers.length, kvHeads, headDim], 'f32');
  using v = Tensor.from(device, repeat(-1), [numbers.length, kvHeads, headDim], 'f32');
  using slots = Tensor.from(
    device,
    numbers.map((_, i) => sequence.slot(begin + i)),
    undefined,
    'i32',
  );
  for (let layer = 0; layer < cache.layers; layer++) appendKv(device.defaultStream, { k, v, slots, cache, layer });
}

async function contents(sequence: KvSequence): Promise<number[]> {
  const { cache, length } = sequence;
  const { device } = cache;
  if (length === 0) return [];
  const slots = Array.from({ length }, (_, i) => sequence.slot(i));
  using slotTensor = Tensor.from(device, slots, undefined, 'i32');
  const layers: number[][] = [];
  for (let layer = 0; layer < cache.layers; layer++) {
    using k = Tensor.empty(device, [length, cache.kvHeads, cache.headDim], 'f32');
    using v = Tensor.empty(device, [length, cache.kvHeads, cache.headDim], 'f32');
    gatherKv(device.defaultStream, { k, v, slots: slotTensor, cache, layer });
    const keys = await k.readNumbers();
    expect(await v.readNumbers()).toEqual(keys.map((x) => -x));
    const width = cache.kvHeads * cache.headDim;
    const tokens = Array.from({ length }, (_, i) => keys[i * width] as number);
    expect(keys).toEqual(tokens.flatMap((token) => new Array<number>(width).fill(token)));
    layers.push(tokens);
  }
  expect(layers[1]).toEqual(layers[0]);
  return layers[0] as number[];
}

/** A sequence as nothing but its tokens, for comparison. */
interface Modelled {
  sequence: KvSequence;
  tokens: number[];
}

export function sequenceTests(device: Device): void {
  describe('KvSequence', () => {
    it('grows page by page', () => {
      using cache = new PagedKvCache(device, shape);
      using sequence = cache.sequence();
      expect(sequence.reserve(3)).toBe(0);
      expect(sequence.reserve(1)).toBe(3);
      expect(cache.statistics()).toMatchObject({ pages: 8, used: 1, free: 7, shared: 0 });
      expect(sequence.reserve(9)).toBe(4);
      expect(sequence.length).toBe(13);
      expect(sequence.pages.length).toBe(4);
      expect(new Set(sequence.pages).size).toBe(4);
      expect(cache.freeTokens).toBe(16);
    });

    it('shares pages with a fork and copies the one that is written to', async () => {
      using cache = new PagedKvCache(device, shape);
      using first = cache.sequence();
      append(first, [1, 2, 3, 4, 5, 6]);
      using second = first.fork();
      expect(cache.statistics()).toMatchObject({ used: 2, shared: 2 });
      append(second, [70]);
      expect(cache.statistics()).toMatchObject({ used: 3, shared: 1 });
      append(first, [7]); // the only owner again: nothing to copy
      expect(cache.statistics()).toMatchObject({ used: 3, shared: 1 });
      expect(await contents(first)).toEqual([1, 2, 3, 4, 5, 6, 7]);
      expect(await contents(second)).toEqual([1, 2, 3, 4, 5, 6, 70]);
      expect(second.pages[0]).toBe(first.pages[0]);
      first.dispose();
      first.dispose();
      expect(cache.statistics()).toMatchObject({ used: 2, shared: 0 });
      expect(await contents(second)).toEqual([1, 2, 3, 4, 5, 6, 70]);
    });

    it('keeps the accepted path of a tree', async () => {
      using cache = new PagedKvCache(device, shape);
      using sequence = cache.sequence();
      append(sequence, [1, 2, 3]);
      append(sequence, [10, 11, 12, 13, 14, 15]);
      using fork = sequence.fork();
      sequence.keep([0, 2, 5], 6);
      expect(await contents(sequence)).toEqual([1, 2, 3, 10, 12, 15]);
      expect(await contents(fork)).toEqual([1, 2, 3, 10, 11, 12, 13, 14, 15]);
      sequence.keep([], 3);
      expect(await contents(sequence)).toEqual([1, 2, 3]);
      fork.keep([0, 1], 6); // a chain: nothing moves
      expect(await contents(fork)).toEqual([1, 2, 3, 10, 11]);
      expect(codeOf(() => fork.keep([1, 1], 2))).toBe('ERR_INVALID_ARGUMENT');
      expect(codeOf(() => fork.keep([2], 2))).toBe('ERR_INVALID_ARGUMENT');
      expect(codeOf(() => fork.keep([], 6))).toBe('ERR_INVALID_ARGUMENT');
    });

    it('says when the cache is full, and has changed nothing then', async () => {
      using cache = new PagedKvCache(device, { ...shape, pages: 3 });
      using first = cache.sequence();
      append(first, [1, 2, 3, 4, 5, 6]);
      using second = first.fork();
      using third = cache.sequence();
      third.reserve(4);
      const before = [first, second, third].map((s) => ({
        length: s.length,
        pages: [...s.pages],
        generation: s.generation,
      }));
      expect(codeOf(() => second.reserve(1))).toBe('ERR_CACHE_EXHAUSTED'); // needs a page for the copy
      expect(codeOf(() => first.reserve(3))).toBe('ERR_CACHE_EXHAUSTED');
      expect(codeOf(() => third.reserve(1))).toBe('ERR_CACHE_EXHAUSTED');
      expect(
        [first, second, third].map((s) => ({ length: s.length, pages: [...s.pages], generation: s.generation })),
      ).toEqual(before);
      expect(await contents(first)).toEqual([1, 2, 3, 4, 5, 6]);
      third.dispose();
      append(second, [9]);
      expect(await contents(second)).toEqual([1, 2, 3, 4, 5, 6, 9]);
    });

    it('makes plans stale when it changes, and only then', () => {
      using cache = new PagedKvCache(device, shape);
      using first = cache.sequence();
      using second = cache.sequence();
      first.reserve(6);
      second.reserve(3);
      const batch = cache.batch([{ sequence: first, queryLength: 2 }]);
      using plan = planAttention({ batch, heads: 2 });
      second.reserve(5);
      using fork = first.fork();
      plan.requireFresh();
      fork.reserve(1);
      plan.requireFresh();
      first.truncate(6);
      plan.requireFresh();
      first.reserve(1);
      expect(codeOf(() => plan.requireFresh())).toBe('ERR_STALE_PLAN');
      expect(codeOf(() => planAttention({ batch, heads: 2 }))).toBe('ERR_STALE_PLAN');
      const again = cache.batch([{ sequence: first, queryLength: 2 }]);
      first.dispose();
      expect(again.isStale).toBe(true);
    });

    it('gives a batch its slots, positions and page table', () => {
      using cache = new PagedKvCache(device, shape);
      using first = cache.sequence();
      using second = cache.sequence();
      first.reserve(6);
      second.reserve(9);
      const batch = cache.batch([
        { sequence: second, queryLength: 2 },
        { sequence: first, queryLength: 0 },
        { sequence: first, queryLength: 6 },
      ]);
      expect(batch.rows).toBe(8);
      expect([...batch.positions]).toEqual([7, 8, 0, 1, 2, 3, 4, 5]);
      expect([...batch.slots]).toEqual(
        [7, 8].map((i) => second.slot(i)).concat([0, 1, 2, 3, 4, 5].map((i) => first.slot(i))),
      );
      expect([...batch.pageTable.indptr]).toEqual([0, 3, 5, 7]);
      expect([...batch.pageTable.indices]).toEqual([...second.pages, ...first.pages, ...first.pages]);
      expect([...batch.pageTable.lengths]).toEqual([9, 6, 6]);
      expect(codeOf(() => cache.batch([{ sequence: first, queryLength: 7 }]))).toBe('ERR_INVALID_ARGUMENT');
      using other = new PagedKvCache(device, shape);
      expect(codeOf(() => other.batch([{ sequence: first, queryLength: 1 }]))).toBe('ERR_INVALID_ARGUMENT');
    });

    it('refuses bad options, use after dispose, and copies while capturing', () => {
      expect(codeOf(() => new PagedKvCache(device, { ...shape, pages: 0 }))).toBe('ERR_INVALID_ARGUMENT');
      expect(codeOf(() => new PagedKvCache(device, { ...shape, pages: 2 ** 30 }))).toBe('ERR_INVALID_ARGUMENT');
      expect(codeOf(() => new PagedKvCache(device, { ...shape, dtype: 'f64' as never }))).toBe('ERR_INVALID_ARGUMENT');
      expect(codeOf(() => new PagedKvCache(device, { ...shape, dtype: 'fp8e5m2' }))).toBe('ERR_UNSUPPORTED');
      expect(codeOf(() => new PagedKvCache(device, { ...shape, headDim: 5, dtype: 'i4' }))).toBe(
        'ERR_INVALID_ARGUMENT',
      );
      const cache = new PagedKvCache(device, shape);
      const sequence = cache.sequence();
      sequence.reserve(2);
      expect(codeOf(() => sequence.truncate(3))).toBe('ERR_INVALID_ARGUMENT');
      expect(codeOf(() => sequence.reserve(-1))).toBe('ERR_INVALID_ARGUMENT');
      const fork = sequence.fork();
      expect(codeOf(() => device.defaultStream.capture(() => fork.reserve(1)))).toBe('ERR_INVALID_ARGUMENT');
      expect(fork.pages).toEqual(sequence.pages);
      expect(cache.statistics()).toMatchObject({ used: 1, shared: 1 });
      fork.dispose();
      expect(codeOf(() => fork.reserve(1))).toBe('ERR_DISPOSED');
      cache.dispose();
      expect(codeOf(() => sequence.reserve(1))).toBe('ERR_DISPOSED');
      expect(codeOf(() => cache.sequence())).toBe('ERR_DISPOSED');
      expect(codeOf(() => cache.layer(0))).toBe('ERR_DISPOSED');
    });

    it('reports what its pools take', async () => {
      for (const dtype of ['f32', 'f16', 'bf16', 'i8', 'fp8e4m3', 'i4'] as const) {
        await device.defaultStream.synchronize(); // what was disposed is freed behind the last command
        const before = device.bytesInUse;
        const cache = new PagedKvCache(device, { ...shape, dtype });
        expect(cache.bytes).toBe(device.bytesInUse - before);
        expect(cache.statistics().bytes).toBe(cache.bytes);
        cache.dispose();
      }
    });
  });
}

/** @param seeds of the histories, one each */
export function sequenceHistories(device: Device, seeds: readonly number[], steps: number): void {
  describe('PagedKvCache against a naive model', () => {
    it.each(seeds)('random histories agree (seed %i)', async (seed) => {
      const random = generator(seed);
      const below = (n: number): number => Math.floor(random() * n);
      using cache = new PagedKvCache(device, { ...shape, layers: 2, pageSize: 1 + below(5), pages: 40 });
      const alive: Modelled[] = [];
      let nextToken = 1;
      let exhausted = 0;

      const checkPages = (): void => {
        const references = new Map<number, number>();
        for (const { sequence, tokens } of alive) {
          expect(sequence.length).toBe(tokens.length);
          expect(sequence.pages.length).toBe(Math.ceil(tokens.length / cache.pageSize));
          for (const page of sequence.pages) references.set(page, (references.get(page) ?? 0) + 1);
        }
        const shared = [...references.values()].filter((n) => n > 1).length;
        expect(cache.statistics()).toMatchObject({ used: references.size, free: 40 - references.size, shared });
      };

      const step = (): void => {
        const action = random();
        const chosen = alive[below(alive.length)];
        if (!chosen || (action < 0.12 && alive.length < 12)) {
          alive.push({ sequence: cache.sequence(), tokens: [] });
        } else if (action < 0.25 && alive.length < 12) {
          alive.push({ sequence: chosen.sequence.fork(), tokens: [...chosen.tokens] });
        } else if (action < 0.65) {
          const numbers = Array.from({ length: 1 + below(9) }, () => nextToken++);
          const generation = chosen.sequence.generation;
          try {
            append(chosen.sequence, numbers);
            chosen.tokens.push(...numbers);
          } catch (error) {
            expect((error as PagewarpError).code).toBe('ERR_CACHE_EXHAUSTED');
            expect(chosen.sequence.generation).toBe(generation);
            exhausted++;
          }
        } else if (action < 0.77) {
          chosen.tokens.length = below(chosen.tokens.length + 1);
          chosen.sequence.truncate(chosen.tokens.length);
        } else if (action < 0.9) {
          const tree = below(Math.min(chosen.tokens.length, 10) + 1);
          const path = Array.from({ length: tree }, (_, i) => i).filter(() => random() < 0.5);
          try {
            chosen.sequence.keep(path, tree);
            const base = chosen.tokens.length - tree;
            chosen.tokens = [
              ...chosen.tokens.slice(0, base),
              ...path.map((node) => chosen.tokens[base + node] as number),
            ];
          } catch (error) {
            expect((error as PagewarpError).code).toBe('ERR_CACHE_EXHAUSTED');
            exhausted++;
          }
        } else {
          chosen.sequence.dispose();
          alive.splice(alive.indexOf(chosen), 1);
        }
      };

      for (let i = 0; i < steps; i++) {
        step();
        checkPages();
        if (i % 100 === 0) for (const { sequence, tokens } of alive) expect(await contents(sequence)).toEqual(tokens);
      }
      for (const { sequence, tokens } of alive) expect(await contents(sequence)).toEqual(tokens);
      if (steps >= 1000) expect(exhausted).toBeGreaterThan(0);
      for (const { sequence } of alive) sequence.dispose();
      expect(cache.statistics()).toMatchObject({ used: 0, shared: 0 });
    });
  });
}
