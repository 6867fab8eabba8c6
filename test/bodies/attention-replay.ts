// SPDX-License-Identifier: Apache-2.0
/** Group S: attention in command lists, replayed with newer plans; the workspaces and rows that there is room for. */
import { describe, expect, it } from 'vitest';
import {
  type AttentionPlan,
  attention,
  type FloatDType,
  type KvSequence,
  PagedKvCache,
  planAttention,
  Tensor,
} from '../../lib/index.js';
import type { NamedDevice } from '../support/devices.js';
import { codeOf } from '../support/errors.js';
import { grow, heads, shape } from '../support/plans.js';
import { randomTensor } from '../support/random.js';

export function attentionReplayTests(devices: readonly NamedDevice[]): void {
  describe.each(devices)('a captured attention: $name', ({ device }) => {
    const stream = device.defaultStream;

    it.each<['auto' | number, FloatDType]>([
      ['auto', 'f32'],
      [64, 'f32'],
      // Other kernels on a GPU.
      ...(device.kind === 'cuda' ? ([['auto', 'f16']] as ['auto', FloatDType][]) : []),
    ])('is replayed with newer plans of other lengths (split %s, %s)', async (split, dtype) => {
      const longest = 600;
      using cache = new PagedKvCache(device, { ...shape, pages: 100, dtype });
      const sequences = [cache.sequence(), cache.sequence()];
      const planFor = (lengths: readonly number[]): AttentionPlan => {
        for (const [i, length] of lengths.entries()) {
          const sequence = sequences[i] as KvSequence;
          sequence.truncate(0);
          grow(sequence, length, 100 + i);
        }
        const batch = cache.batch(lengths.map((_, i) => ({ sequence: sequences[i] as KvSequence, queryLength: 1 })));
        return planAttention({ batch, heads, split });
      };
      using q = randomTensor(device, [2, heads, shape.headDim], dtype, { seed: 1 });
      using out = Tensor.empty(device, [2, heads, shape.headDim], dtype);
      using lse = Tensor.empty(device, [2, heads], 'f32');
      using captured = planFor([300, 200]);
      using list = stream.capture(() => attention(stream, { q, cache, layer: 0, plan: captured, out, lse }));
      for (const lengths of [
        [1, 1],
        [150, 100],
        [300, 200],
        [longest, 3],
        [longest, longest],
      ]) {
        using plan = planFor(lengths);
        out.fill(Number.NaN);
        lse.fill(Number.NaN);
        stream.replay(list, { plans: [[captured, plan]] });
        const replayed = { out: await out.read(), lse: await lse.read() };
        const eager = attention(stream, { q, cache, layer: 0, plan });
        expect(replayed.out).toEqual(await eager.out.read());
        expect(replayed.lse).toEqual(await eager.lse?.read());
        eager.out.dispose();
        eager.lse?.dispose();
      }
      // A smaller batch: the rows that are left over are empty, not stale.
      using single = planFor([40]);
      out.fill(Number.NaN);
      stream.replay(list, { plans: [[captured, single]] });
      const rowLength = heads * shape.headDim;
      const values = await out.readNumbers();
      expect(values.slice(0, rowLength).every((x) => Number.isFinite(x) && x !== 0)).toBe(true);
      expect(values.slice(rowLength).every((x) => x === 0)).toBe(true);
      expect((await lse.read()).slice(heads).every((x) => x === Number.NEGATIVE_INFINITY)).toBe(true);
      for (const sequence of sequences) sequence.dispose();
    });

    it('picks the plan whose number the device knows', async () => {
      using cache = new PagedKvCache(device, { ...shape, pages: 100 });
      using sequence = cache.sequence();
      grow(sequence, 300, 100);
      const lengths = [70, 64, 300, 1];
      const plans = lengths.map((length) =>
        planAttention({ batch: cache.batch([{ sequence, queryLength: 1, length }]), heads, split: 64 }),
      );
      const [captured] = plans as [AttentionPlan];
      using q = randomTensor(device, [1, heads, shape.headDim], 'f32', { seed: 1 });
      using out = Tensor.empty(device, [1, heads, shape.headDim], 'f32');
      using list = stream.capture(() => attention(stream, { q, cache, layer: 0, plan: captured, out }));
      using numbers = Tensor.empty(device, [lengths.length], 'i32');
      numbers.write([3, 1, 2, 0]);
      using at = Tensor.empty(device, [1], 'i32');
      const options = { plans: [[captured, plans]] as const, at };
      const within = stream.capture(() => stream.replay(list, options));
      for (const [i, number] of [3, 1, 2, 0].entries()) {
        using where = numbers.slice(0, i, i + 1);
        at.copyFrom(where, stream); // known when commands run, not when they are enqueued
        out.fill(Number.NaN);
        stream.replay(i % 2 === 0 ? list : within, i % 2 === 0 ? options : {});
        const replayed = await out.read();
        using shorter = cache.sequence();
        grow(shorter, lengths[number] as number, 100);
        using own = planAttention({ batch: cache.batch([{ sequence: shorter, queryLength: 1 }]), heads, split: 64 });
        const eager = attention(stream, { q, cache, layer: 0, plan: own });
        expect(replayed).toEqual(await eager.out.read());
        eager.out.dispose();
        eager.lse?.dispose();
      }
      for (const wrong of [-1, lengths.length]) {
        at.write([wrong]);
        out.fill(7);
        stream.replay(list, options);
        await expect(stream.synchronize()).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
        expect((await out.read()).every((x) => x === 7)).toBe(true);
      }
      using float = Tensor.zeros(device, [1], 'f32');
      for (const bad of [
        { plans: options.plans },
        { ...options, at: float as never },
        { plans: [[captured, []]] as const, at },
        { plans: [[captured]] as never, at },
        { plans: [[captured, [null]]] as never, at },
        { plans: [...options.plans, ...options.plans], at },
      ])
        expect(codeOf(() => stream.replay(list, bad))).toBe('ERR_INVALID_ARGUMENT');
      for (const plan of [...plans, within]) plan.dispose();
    });

    it('refuses plans that cannot stand in', () => {
      using cache = new PagedKvCache(device, shape);
      using other = new PagedKvCache(device, { ...shape, pageSize: 8 });
      using sequence = cache.sequence();
      using elsewhere = other.sequence();
      grow(sequence, 20, 14);
      elsewhere.reserve(20);
      const plan = (s: KvSequence, queryLength: number, planHeads = heads): AttentionPlan =>
        planAttention({ batch: s.cache.batch([{ sequence: s, queryLength }]), heads: planHeads });
      using captured = plan(sequence, 2);
      using q = Tensor.zeros(device, [2, heads, shape.headDim], 'f32');
      using list = stream.capture(() => attention(stream, { q, cache, layer: 0, plan: captured }));
      for (const [s, rows, planHeads] of [
        [sequence, 3, heads],
        [sequence, 2, 4],
        [elsewhere, 2, heads],
      ] as const) {
        using newer = plan(s, rows, planHeads);
        expect(codeOf(() => stream.replay(list, { plans: [[captured, newer]] }))).toBe('ERR_STALE_PLAN');
      }
      using outdated = plan(sequence, 2);
      stream.replay(list);
      grow(sequence, 1, 15);
      expect(codeOf(() => stream.replay(list, { plans: [[captured, outdated]] }))).toBe('ERR_STALE_PLAN');
      // Nor is the captured plan, or one that was put in its place in a list within a list, used once it is stale.
      expect(codeOf(() => stream.replay(list))).toBe('ERR_STALE_PLAN');
      using fresh = plan(sequence, 2);
      using outer = stream.capture(() => stream.replay(list, { plans: [[captured, fresh]] }));
      stream.replay(outer);
      expect(codeOf(() => stream.replay(outer, { plans: [[captured, fresh]] }))).toBe('ERR_INVALID_ARGUMENT');
      sequence.truncate(20);
      expect(codeOf(() => stream.replay(outer))).toBe('ERR_STALE_PLAN');
      using last = plan(sequence, 2);
      stream.replay(outer, { plans: [[fresh, last]] });
      expect(codeOf(() => stream.replay(list, { plans: [[fresh, last]] }))).toBe('ERR_INVALID_ARGUMENT');
    });

    it('has room for as many rows as its queries have', async () => {
      using cache = new PagedKvCache(device, shape);
      using sequence = cache.sequence();
      grow(sequence, 40, 12);
      const plan = (queryLength: number): AttentionPlan =>
        planAttention({ batch: cache.batch([{ sequence, queryLength }]), heads, split: 'none' });
      using q = randomTensor(device, [6, heads, shape.headDim], 'f32', { seed: 13 });
      using out = Tensor.empty(device, [6, heads, shape.headDim], 'f32');
      using captured = plan(2);
      expect(codeOf(() => attention(stream, { q, cache, layer: 0, plan: captured, out }))).toBe('ERR_STALE_PLAN');
      using list = stream.capture(() => attention(stream, { q, cache, layer: 0, plan: captured, out }));
      const captures = (): number => (device.kind === 'cuda' ? device.cudaStatistics.launches.graphCaptures : 0);
      await stream.synchronize(); // lists of other tests may still be captured
      const before = captures();
      for (const rows of [1, 5, 6, 2]) {
        using newer = plan(rows);
        out.fill(Number.NaN);
        stream.replay(list, { plans: [[captured, newer]] });
        const replayed = await out.read();
        using own = q.slice(0, 0, rows);
        const eager = attention(stream, { q: own, cache, layer: 0, plan: newer });
        const used = rows * heads * shape.headDim;
        expect(replayed.slice(0, used)).toEqual(await eager.out.read());
        expect(replayed.slice(used).every((x) => x === 0)).toBe(true);
        eager.out.dispose();
        eager.lse?.dispose();
      }
      expect(captures() - before, 'one graph serves them all').toBe(device.kind === 'cuda' ? 1 : 0);
      using tooLong = plan(7);
      expect(codeOf(() => stream.replay(list, { plans: [[captured, tooLong]] }))).toBe('ERR_STALE_PLAN');
    });

    it('reports a workspace that a replayed plan outgrows', async () => {
      using cache = new PagedKvCache(device, shape);
      using sequence = cache.sequence();
      grow(sequence, 100, 1);
      const plan = (split: 'none' | number): AttentionPlan =>
        planAttention({ batch: cache.batch([{ sequence, queryLength: 1 }]), heads, split });
      using small = plan(64);
      using large = plan(16);
      expect(small.workspaceBytes).toBeGreaterThan(0);
      expect(large.workspaceBytes).toBeGreaterThan(small.workspaceBytes);
      using q = randomTensor(device, [1, heads, shape.headDim], 'f32', { seed: 2 });
      using workspace = Tensor.empty(device, [small.workspaceBytes], 'u8');
      using out = Tensor.full(device, [1, heads, shape.headDim], 'f32', 5);
      using list = stream.capture(() => attention(stream, { q, cache, layer: 0, plan: small, workspace, out }));
      stream.replay(list, { plans: [[small, large]] });
      await expect(stream.synchronize()).rejects.toMatchObject({ code: 'ERR_STALE_PLAN' });
      expect((await out.read()).every((x) => x === 5)).toBe(true);
      stream.replay(list);
      expect((await out.read()).every((x) => x !== 5)).toBe(true);
      expect(codeOf(() => attention(stream, { q, cache, layer: 0, plan: large, workspace }))).toBe(
        'ERR_INVALID_ARGUMENT',
      );
    });
  });
}
