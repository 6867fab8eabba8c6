// SPDX-License-Identifier: Apache-2.0
/** Group H: plans that read a shared prefix once. */
import { describe, expect, it } from 'vitest';
import { attention, type Device, type KvLayer, planAttention, Tensor } from '../../lib/index.js';
import type { NamedDevice } from '../support/devices.js';
import {
  type Combination,
  describeCombination,
  type GridRecord,
  readCases,
  selectCombinations,
} from '../support/grid.js';
import { prefixPageTable } from '../support/prefix.js';
import { randomTensor } from '../support/random.js';
import { expectAgreement, expectClose } from '../support/tolerance.js';

interface CascadeCase {
  stage: 'decode' | 'append';
  batch: number;
  unique: number;
  shared: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  pageSize: number;
  dtype: 'f32' | 'f16';
  window: number | null;
  sinkTokens: number;
  split: 'auto' | 'none' | number;
}

const tolerances = { f32: { absolute: 1e-5 }, f16: { absolute: 1e-3 } };

/** Compares a plan that knows of the prefix with one that does not. @returns what the former gives */
async function compare(device: Device, c: CascadeCase, seed: number): Promise<number[]> {
  const pageTable = prefixPageTable({ ...c, readers: c.batch }, seed);
  const { batch, heads, kvHeads, headDim, pageSize, dtype, window, sinkTokens, split } = c;
  const rows = c.stage === 'decode' ? 1 : c.unique;
  using q = randomTensor(device, [batch * rows, heads, headDim], dtype, { seed, stream: 1 });
  using k = randomTensor(device, [pageTable.pages, pageSize, kvHeads, headDim], dtype, { seed, stream: 2 });
  using v = randomTensor(device, [pageTable.pages, pageSize, kvHeads, headDim], dtype, { seed, stream: 3 });
  const options = {
    queryLengths: new Array<number>(batch).fill(rows),
    pageTable,
    heads,
    sinkTokens,
    split,
    device,
    ...(window === null ? {} : { window }),
  };
  using flat = planAttention(options);
  using joined = planAttention({ ...options, sharedPrefix: c.shared });
  const run = async (plan: typeof flat): Promise<{ out: number[]; lse: number[] }> => {
    const { out, lse } = attention(device.defaultStream, { q, kv: { k, v } as KvLayer, plan });
    const values = { out: await out.readNumbers(), lse: await (lse as Tensor<'f32'>).readNumbers() };
    out.dispose();
    lse?.dispose();
    return values;
  };
  const expected = await run(flat);
  const actual = await run(joined);
  expectClose(actual.out, expected.out, tolerances[dtype], 'out');
  expectClose(actual.lse, expected.lse, { absolute: 2e-5 }, 'lse');
  return actual.out;
}

/**
 * @param forCase the devices of the next case, whose results are compared with each other, too
 * @param mostWork larger combinations are left out
 */
export function cascadeTests(
  devices: readonly NamedDevice[],
  forCase: () => readonly NamedDevice[],
  mostWork: number,
): void {
  const cost = (c: Combination): number => {
    const { stage, batch, unique, shared, heads, headDim } = c as unknown as CascadeCase;
    return batch * (stage === 'decode' ? 1 : unique) * (shared + unique) * heads * headDim;
  };
  for (const record of readCases<GridRecord>('cascade')) {
    describe(`attention ${record.group}: ${record.name}`, () => {
      for (const c of selectCombinations(record, cost, (combination) => cost(combination) <= mostWork)) {
        it(describeCombination(c), async () => {
          const one = c as unknown as CascadeCase;
          const results: number[][] = [];
          for (const { device } of forCase()) results.push(await compare(device, one, record.seed));
          expectAgreement(results, tolerances[one.dtype]);
        });
      }
    });
  }

  describe.each(devices)('plans with shared prefixes: $name', ({ device }) => {
    const geometry = { pageSize: 4, pages: 20, kvHeads: 1, headDim: 64 };
    // Sequences 0 to 2 share pages 0 and 1, sequence 3 stands alone, 4 and 5 share page 2.
    const options = {
      queryLengths: [1, 0, 2, 1, 3, 1],
      pageTable: {
        ...geometry,
        lengths: Int32Array.of(9, 8, 11, 5, 10, 5),
        indptr: Int32Array.of(0, 3, 5, 8, 10, 13, 15),
        indices: Int32Array.of(0, 1, 3, 0, 1, 0, 1, 4, 5, 6, 2, 7, 8, 2, 9),
      },
      heads: 4,
      device,
    };
    const sharedPrefix = [
      { first: 0, end: 3, keys: 8 },
      { first: 4, end: 6, keys: 3 },
    ];

    it('serve several groups, and sequences without rows or without keys of their own', async () => {
      using q = randomTensor(device, [8, 4, 64], 'f32', { seed: 1 });
      using k = randomTensor(device, [20, 4, 1, 64], 'f32', { seed: 2 });
      using v = randomTensor(device, [20, 4, 1, 64], 'f32', { seed: 3 });
      const results: { out: number[]; lse: number[] }[] = [];
      for (const prefixes of [[], sharedPrefix]) {
        using plan = planAttention({ ...options, sharedPrefix: prefixes });
        using out = Tensor.full(device, [8, 4, 64], 'f32', Number.NaN);
        using lse = Tensor.full(device, [8, 4], 'f32', Number.NaN);
        attention(device.defaultStream, { q, kv: { k, v }, plan, out, lse });
        results.push({ out: await out.readNumbers(), lse: await lse.readNumbers() });
      }
      expectClose(results[1]?.out ?? [], results[0]?.out ?? [], { absolute: 1e-5 }, 'out');
      expectClose(results[1]?.lse ?? [], results[0]?.lse ?? [], { absolute: 1e-5 }, 'lse');
    });

    it('read the prefix once for all of its sequences', () => {
      using plan = planAttention({ ...options, sharedPrefix, split: 'none' });
      // A piece for each prefix; sequence 1 has no rows, sequence 3 no prefix.
      expect(plan.items).toBe(2 + 5);
      expect(plan.merges).toBe(4);
    });

    it('refuse prefixes that are none', () => {
      const plan = (prefix: number | typeof sharedPrefix, changes = {}): unknown =>
        planAttention({ ...options, ...changes, sharedPrefix: prefix });
      expect(() => plan([{ first: 0, end: 4, keys: 8 }])).toThrow(/a shared prefix is 8|keys of a shared prefix/);
      expect(() => plan([{ first: 0, end: 4, keys: 4 }])).toThrow(/sequence 3 does not begin with the 1 pages/);
      expect(() => plan([{ first: 2, end: 1, keys: 1 }])).toThrow(/end of a shared prefix/);
      expect(() => plan([...sharedPrefix].reverse())).toThrow(/first sequence/);
      expect(() => plan(sharedPrefix, { mask: { kind: 'custom', bits: new Uint8Array(100) } })).toThrow(/custom bits/);
    });
  });
}
