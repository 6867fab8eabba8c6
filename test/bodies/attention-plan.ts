// SPDX-License-Identifier: Apache-2.0
/** Group S: what plans promise. Batch invariance, lists of pages, shared prefixes, segments, workspaces, refusals. */
import { afterAll, describe, expect, it } from 'vitest';
import {
  type AttentionPlan,
  type AttentionPlanOptions,
  attention,
  attentionWorkspaceBytes,
  Device,
  mergeStates,
  PagedKvCache,
  PagewarpError,
  planAttention,
  Tensor,
  treeMask,
} from '../../lib/index.js';
import { AttentionBench, makeInputs, subset } from '../support/attention.js';
import type { NamedDevice } from '../support/devices.js';
import { codeOf } from '../support/errors.js';
import { sampleSize } from '../support/grid.js';
import { grow, heads, shape } from '../support/plans.js';
import { randomTensor } from '../support/random.js';
import { expectClose } from '../support/tolerance.js';

export function attentionPlanTests(devices: readonly NamedDevice[]): void {
  describe.each(devices)('plans of attention: $name', ({ device }) => {
    const stream = device.defaultStream;

    it.each<'none' | number>(['none', 96])(
      'gives rows that do not depend on the batch, bit for bit (split %s)',
      async (split) => {
        const base = {
          seed: 21,
          kvHeads: 2,
          group: 4,
          headDim: 64,
          pageSize: 8,
          cache: 'f16',
          dtype: 'f32',
          split,
        } as const;
        const isSlow = device.kind === 'cuda' && sampleSize === 1;
        const kv = isSlow ? [300, 1, 133, 33, 150] : [700, 1, 333, 64, 500];
        const queries = isSlow ? [1, 1, 5, 33, 20] : [1, 1, 5, 64, 40];
        const whole = makeInputs({ ...base, kv, queries });
        using bench = new AttentionBench(device, whole);
        const all = await bench.run();
        for (const chosen of [[0], [2, 3], [4, 0, 1]]) {
          using alone = new AttentionBench(device, subset(whole, chosen));
          const part = await alone.run();
          expect(part.out).toEqual(bench.rowsOf(all.out, chosen));
          expect(part.lse).toEqual(bench.rowsOf(all.lse, chosen));
        }
      },
    );

    it('splits each sequence as a list says: the bits are those of a batch that is split so as a whole', async () => {
      const isSlow = device.kind === 'cuda' && sampleSize === 1;
      const kv = isSlow ? [150, 33, 100] : [500, 64, 333];
      const queries = isSlow ? [1, 33, 5] : [1, 64, 40];
      const lists = [
        [96, 'none', 'none'],
        ['none', 96, 96],
      ] as const;
      const common = { seed: 22, kvHeads: 2, group: 4, headDim: 64, pageSize: 8, cache: 'f16', dtype: 'f32' } as const;
      const rowsOf = async (split: 'none' | number | readonly ('none' | number)[]) => {
        using bench = new AttentionBench(device, makeInputs({ ...common, kv, queries, split }));
        const { out } = await bench.run();
        return kv.map((_, s) => bench.rowsOf(out, [s]));
      };
      const whole = { none: await rowsOf('none'), 96: await rowsOf(96) };
      for (const list of lists) {
        const actual = await rowsOf(list);
        for (const [s, split] of list.entries()) expect(actual[s], `sequence ${s} of ${list}`).toEqual(whole[split][s]);
      }
    });

    it('selects pages by a shorter list of them', async () => {
      using cache = new PagedKvCache(device, shape);
      using sequence = cache.sequence();
      grow(sequence, 16 * 5 + 3, 7);
      const { pages, pageSize, kvHeads, headDim } = cache;
      const table = sequence.pages;
      const selected = [0, 2, 5].map((i) => table[i] as number);
      const planOf = (indices: number[], length: number): AttentionPlan =>
        planAttention({
          queryLengths: [1],
          pageTable: {
            lengths: Int32Array.of(length),
            indptr: Int32Array.of(0, indices.length),
            indices: Int32Array.from(indices),
            pages,
            pageSize,
            kvHeads,
            headDim,
          },
          heads,
        });
      using q = randomTensor(device, [1, heads, headDim], 'f32', { seed: 3 });
      using some = planOf(selected, 35);
      const picked = attention(stream, { q, cache, layer: 0, plan: some });
      // The same by a custom mask over all pages.
      const bits = new Uint8Array(11);
      for (let j = 0; j < 83; j++)
        if ([0, 2, 5].includes(Math.floor(j / 16))) bits[j >> 3] = (bits[j >> 3] as number) | (1 << (j & 7));
      using masked = planAttention({
        batch: cache.batch([{ sequence, queryLength: 1 }]),
        heads,
        mask: { kind: 'custom', bits },
      });
      const expected = attention(stream, { q, cache, layer: 0, plan: masked });
      expectClose(await picked.out.read(), await expected.out.read(), { absolute: 2e-6 });
      expectClose((await picked.lse?.read()) ?? [], (await expected.lse?.read()) ?? [], { absolute: 2e-6 });
      for (const tensor of [picked.out, picked.lse, expected.out, expected.lse]) tensor?.dispose();
    });

    it('joins a shared prefix and the rest of each sequence to what one pass gives', async () => {
      using cache = new PagedKvCache(device, shape);
      using prefix = cache.sequence();
      grow(prefix, 48, 9); // three whole pages
      using first = prefix.fork();
      using second = prefix.fork();
      grow(first, 20, 10);
      grow(second, 5, 11);
      const { pages, pageSize, kvHeads, headDim } = cache;
      const queryLengths = [3, 1];
      const rows = 4;
      using q = randomTensor(device, [rows, heads, headDim], 'f32', { seed: 5 });
      using sinks = randomTensor(device, [heads], 'f32', { seed: 6 });
      const entries = [first, second].map((sequence, i) => ({ sequence, queryLength: queryLengths[i] as number }));
      using flat = planAttention({ batch: cache.batch(entries), heads });
      const expected = attention(stream, { q, cache, layer: 0, plan: flat, sinks });

      // All rows against the prefix, as if they were one sequence; then each sequence's rows against its own pages.
      const geometry = { pages, pageSize, kvHeads, headDim };
      using shared = planAttention({
        queryLengths: [rows],
        pageTable: {
          ...geometry,
          lengths: Int32Array.of(48),
          indptr: Int32Array.of(0, 3),
          indices: Int32Array.from(prefix.pages),
        },
        heads,
        mask: 'none',
      });
      const own = [first, second].map((sequence) => sequence.pages.slice(3));
      using unique = planAttention({
        queryLengths,
        pageTable: {
          ...geometry,
          lengths: Int32Array.of(20, 5),
          indptr: Int32Array.of(0, own[0]?.length ?? 0, own.flat().length),
          indices: Int32Array.from(own.flat()),
        },
        heads,
      });
      using outs = Tensor.empty(device, [2, rows, heads, headDim], 'f32');
      using lses = Tensor.empty(device, [2, rows, heads], 'f32');
      for (const [part, plan] of [shared, unique].entries()) {
        using out = outs.select(0, part);
        using lse = lses.select(0, part);
        attention(stream, { q, cache, layer: 0, plan, out, lse, ...(part === 0 ? { sinks } : {}) });
      }
      const merged = mergeStates(stream, { outs, lses });
      expectClose(await merged.out.read(), await expected.out.read(), { absolute: 5e-6 });
      expectClose((await merged.lse?.read()) ?? [], (await expected.lse?.read()) ?? [], { absolute: 5e-6 });
      for (const tensor of [merged.out, merged.lse, expected.out, expected.lse]) tensor?.dispose();
    });

    it('lets the tokens of a segment see each other', async () => {
      using cache = new PagedKvCache(device, shape);
      using sequence = cache.sequence();
      grow(sequence, 30, 8);
      const [begin, end] = [12, 25];
      const queries = 20; // positions 10 to 29
      using q = randomTensor(device, [queries, heads, shape.headDim], 'f32', { seed: 4 });
      const batch = cache.batch([{ sequence, queryLength: queries }]);
      using plan = planAttention({ batch, heads, segments: [{ sequence: 0, begin, end }] });
      const bits = new Uint8Array((queries * 30) / 8);
      for (let i = 0; i < queries; i++) {
        const position = 10 + i;
        for (let j = 0; j < 30; j++) {
          const together = position >= begin && position < end && j < end;
          if (j <= position || together)
            bits[(i * 30 + j) >> 3] = (bits[(i * 30 + j) >> 3] as number) | (1 << ((i * 30 + j) & 7));
        }
      }
      using masked = planAttention({ batch, heads, mask: { kind: 'custom', bits } });
      const actual = attention(stream, { q, cache, layer: 0, plan });
      const expected = attention(stream, { q, cache, layer: 0, plan: masked });
      expect(await actual.out.read()).toEqual(await expected.out.read());
      for (const tensor of [actual.out, actual.lse, expected.out, expected.lse]) tensor?.dispose();
    });
  });
}

export function planTests(): void {
  describe('planAttention', () => {
    const device = Device.cpu({ threads: 1 });
    afterAll(() => device.dispose());

    const table = (lengths: number[], indptr: number[], indices: number[]) => ({
      lengths: Int32Array.from(lengths),
      indptr: Int32Array.from(indptr),
      indices: Int32Array.from(indices),
      pageSize: 16,
      pages: 8,
      kvHeads: 2,
      headDim: 64,
    });
    const good: AttentionPlanOptions = {
      queryLengths: [1, 2],
      pageTable: table([20, 5], [0, 2, 3], [0, 1, 2]),
      heads: 4,
    };

    it('knows the size of its workspace before it is made', () => {
      for (const workers of [1, 2, 3, 8, 132]) {
        for (const split of ['auto', 'none', 16, 100, 4096] as const) {
          for (const kv of [
            [1, 1],
            [700, 9],
            [5000, 5000],
            [100000, 3],
          ]) {
            const pagesOf = kv.map((n) => Math.ceil(n / 16));
            const indptr = [0, pagesOf[0] as number, (pagesOf[0] as number) + (pagesOf[1] as number)];
            const options = {
              ...good,
              pageTable: table(kv, indptr, new Array(indptr[2]).fill(0)),
              workers,
              split,
              queryLengths: [1, 1],
            };
            using plan = planAttention(options);
            expect(attentionWorkspaceBytes({ ...options, pageTable: table(kv, indptr, []) })).toBe(plan.workspaceBytes);
            expect(plan.workspaceBytes > 0).toBe(plan.merges > 0);
          }
        }
      }
    });

    it('refuses splits that do not fit the sequences', () => {
      const codeWith = (options: Partial<AttentionPlanOptions>) =>
        codeOf(() => planAttention({ ...good, ...options } as AttentionPlanOptions));
      expect(codeWith({ split: ['none'] })).toBe('ERR_SHAPE_MISMATCH');
      expect(codeWith({ split: ['none', 0] })).toBe('ERR_INVALID_ARGUMENT');
      expect(codeWith({ split: ['none', 'auto' as never] })).toBe('ERR_INVALID_ARGUMENT');
      expect(codeWith({ split: ['none', 16], sharedPrefix: 1 })).toBe('ERR_INVALID_ARGUMENT');
      expect(codeWith({ split: null as never })).toBe('ERR_INVALID_ARGUMENT');
    });

    it('splits a lone long sequence for all workers, and a large batch not at all', () => {
      const long = { ...good, queryLengths: [1], pageTable: table([8192], [0, 512], new Array(512).fill(0)) };
      using shared = planAttention({ ...long, workers: 16 });
      expect(shared.items * 2).toBeGreaterThanOrEqual(16);
      using alone = planAttention({ ...long, workers: 1 });
      expect(alone.items).toBe(1);
      const many = {
        ...good,
        queryLengths: new Array(64).fill(1),
        pageTable: table(
          new Array(64).fill(16),
          Array.from({ length: 65 }, (_, i) => i),
          new Array(64).fill(0),
        ),
      };
      using batch = planAttention({ ...many, workers: 2 });
      expect([batch.items, batch.merges]).toEqual([64, 0]);
    });

    const bad: [string, Partial<Record<string, unknown>>, RegExp][] = [
      ['heads that kv heads do not divide', { heads: 5 }, /multiple of kvHeads/],
      ['no heads', { heads: 0 }, /heads/],
      ['different numbers of lengths', { queryLengths: [1] }, /query lengths/],
      ['a negative length', { queryLengths: [-1, 1] }, /queryLengths\[0\]/],
      ['a fractional length', { queryLengths: [1.5, 1] }, /queryLengths\[0\]/],
      ['too few pages', { pageTable: table([40, 5], [0, 2, 3], [0, 1, 2]) }, /only 2 pages/],
      ['a page outside the pool', { pageTable: table([20, 5], [0, 2, 3], [0, 8, 2]) }, /page 8 of sequence 0/],
      ['a negative page', { pageTable: table([20, 5], [0, 2, 3], [0, -1, 2]) }, /page -1/],
      ['row pointers that decrease', { pageTable: table([20, 5], [2, 0, 3], [0, 1, 2]) }, /decrease/],
      ['row pointers past the end', { pageTable: table([20, 5], [0, 2, 9], [0, 1, 2]) }, /leave its 3 entries/],
      ['too few row pointers', { pageTable: table([20, 5], [0, 2], [0, 1, 2]) }, /row pointers/],
      ['a window of 0', { window: 0 }, /window is 0, but must be an integer from 1 to 2147483647/],
      ['a split of 0', { split: 0 }, /split/],
      ['custom bits that are too short', { mask: { kind: 'custom', bits: new Uint8Array(3) } }, /bits are needed/],
      ['a segment past the end', { segments: [{ sequence: 0, begin: 0, end: 21 }] }, /segment/],
      ['a segment of no sequence', { segments: [{ sequence: 2, begin: 0, end: 1 }] }, /sequence/],
      ['a tree for a single sequence of two', { mask: treeMask([-1]) }, /one tree per sequence/],
      ['a tree of other size than the rows', { mask: treeMask([[-1], [-1, 0, 0]]) }, /query row/],
    ];
    it.each(bad)('refuses %s', (_, changes, message) => {
      const make = (): AttentionPlan => planAttention({ ...good, ...changes } as AttentionPlanOptions);
      expect(make).toThrow(PagewarpError);
      expect(make).toThrow(message);
    });

    it('refuses trees that are none', () => {
      expect(codeOf(() => treeMask([0]))).toBe('ERR_INVALID_ARGUMENT');
      expect(codeOf(() => treeMask([-1, 1]))).toBe('ERR_INVALID_ARGUMENT');
      expect(codeOf(() => treeMask(new Array(4097).fill(-1)))).toBe('ERR_UNSUPPORTED');
      expect(treeMask([-1, 0, 0, 2]).trees[0]).toEqual(BigUint64Array.of(0b1n, 0b11n, 0b101n, 0b1101n));
      const chain = Array.from({ length: 66 }, (_, node) => node - 1);
      expect(treeMask(chain).trees[0]?.slice(-4)).toEqual(BigUint64Array.of(2n ** 64n - 1n, 1n, 2n ** 64n - 1n, 3n));
    });

    it('excludes what trees of more than 64 nodes have not', async () => {
      const mask = treeMask([new Array(65).fill(-1), []]);
      const wide = { ...good, queryLengths: [65, 1], pageTable: table([70, 5], [0, 5, 6], [0, 1, 2, 3, 4, 5]), mask };
      const codeWith = (options: Partial<AttentionPlanOptions>) =>
        codeOf(() => planAttention({ ...wide, ...options } as AttentionPlanOptions));
      expect(codeWith({})).toBe('no error');
      expect(codeWith({ segments: [{ sequence: 0, begin: 0, end: 2 }] })).toBe('ERR_UNSUPPORTED');
      expect(codeWith({ sharedPrefix: 1 })).toBe('ERR_UNSUPPORTED');
      expect(codeWith({ queryLengths: [64, 1] })).toBe('ERR_SHAPE_MISMATCH');
      expect(codeWith({ pageTable: table([60, 5], [0, 5, 6], [0, 1, 2, 3, 4, 5]) })).toBe('ERR_INVALID_ARGUMENT');
      using plan = planAttention(wide);
      using cache = new PagedKvCache(device, { ...shape, headDim: 64, pages: 8 });
      using q = Tensor.zeros(device, [66, 4, 64], 'f32');
      using alibiSlopes = Tensor.zeros(device, [4], 'f32');
      const call = { q, cache, layer: 0, plan, alibiSlopes };
      expect(codeOf(() => attention(device.defaultStream, call))).toBe('ERR_UNSUPPORTED');
      // Nor may a plan come to ALiBi by standing in for another one.
      using causal = planAttention({ ...wide, mask: 'causal' });
      expect(codeOf(() => plan.checkReplaces(causal, 66))).toBe('ERR_STALE_PLAN');
      expect(codeOf(() => causal.checkReplaces(plan, 66))).toBe('no error');
    });

    it('and attention refuse what they were not made for', () => {
      const stream = device.defaultStream;
      using cache = new PagedKvCache(device, { ...shape, headDim: 64, pages: 8 });
      using q = Tensor.zeros(device, [3, 4, 64], 'f32');
      using plan = planAttention(good);
      const call =
        (changes: object): (() => unknown) =>
        () =>
          attention(stream, { q, cache, layer: 0, plan, ...changes });
      expect(codeOf(call({}))).toBe('no error');
      using wrongRows = Tensor.zeros(device, [2, 4, 64], 'f32');
      expect(codeOf(call({ q: wrongRows }))).toBe('ERR_STALE_PLAN');
      using wrongHeads = Tensor.zeros(device, [3, 8, 64], 'f32');
      expect(codeOf(call({ q: wrongHeads }))).toBe('ERR_STALE_PLAN');
      using wrongDim = Tensor.zeros(device, [3, 4, 32], 'f32');
      expect(codeOf(call({ q: wrongDim }))).toBe('ERR_SHAPE_MISMATCH');
      using integers = Tensor.zeros(device, [3, 4, 64], 'i32');
      expect(codeOf(call({ q: integers }))).toBe('ERR_UNSUPPORTED');
      using otherCache = new PagedKvCache(device, { ...shape, headDim: 64, pages: 9 });
      expect(codeOf(call({ cache: otherCache }))).toBe('ERR_STALE_PLAN');
      expect(codeOf(call({ layer: 1 }))).toBe('ERR_INVALID_ARGUMENT');
      expect(codeOf(call({ out: wrongRows }))).toBe('ERR_SHAPE_MISMATCH');
      expect(codeOf(call({ lse: q }))).toBe('ERR_SHAPE_MISMATCH');
      expect(codeOf(call({ scale: Number.NaN }))).toBe('ERR_INVALID_ARGUMENT');
      expect(codeOf(call({ softCap: -1 }))).toBe('ERR_INVALID_ARGUMENT');
      expect(codeOf(call({ sinks: q }))).toBe('ERR_SHAPE_MISMATCH');
      using elsewhere = Device.cpu({ threads: 1 });
      using foreign = Tensor.zeros(elsewhere, [3, 4, 64], 'f32');
      expect(codeOf(call({ q: foreign }))).toBe('ERR_INVALID_ARGUMENT');
      const gone = planAttention(good);
      gone.dispose();
      expect(codeOf(call({ plan: gone }))).toBe('ERR_DISPOSED');
      using pool = Tensor.zeros(device, [8, 16, 2, 64], 'i8');
      expect(codeOf(call({ cache: undefined, kv: { k: pool, v: pool } }))).toBe('ERR_INVALID_ARGUMENT');
    });
  });
}
