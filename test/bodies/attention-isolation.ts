// SPDX-License-Identifier: Apache-2.0
/**
 * What a row does not see has no part in it: neither values and keys that are not finite (group J), nor, down to the last
 * bit, the other sequences of the batch (group I).
 */
import { describe, expect, it } from 'vitest';
import { attention, type Device, type FloatDType, planAttention, Tensor } from '../../lib/index.js';
import { AttentionBench, type AttentionCase, makeInputs, subset } from '../support/attention.js';
import type { NamedDevice } from '../support/devices.js';
import {
  type Combination,
  describeCombination,
  type GridRecord,
  readCases,
  selectCombinations,
} from '../support/grid.js';
import { randomNumbers } from '../support/random.js';

interface PoisonCase {
  dtype: FloatDType;
  headDim: number;
  queries: number;
  split: 'none' | number;
}

const keys = 70;
const heads = 4;
const kvHeads = 2;
const pageSize = 16;

/** Attention of the last rows of a causal sequence, with some elements of the values replaced. */
async function attend(device: Device, c: PoisonCase, poison: [key: number, column: number, value: number][]) {
  const { dtype, headDim, queries, split } = c;
  const pages = Math.ceil(keys / pageSize) + 1;
  const shape = [pages, pageSize, kvHeads, headDim];
  const count = pages * pageSize * kvHeads * headDim;
  const values = randomNumbers(count, { seed: 22 });
  for (const [key, column, value] of poison) values[key * kvHeads * headDim + column] = value; // of kv head 0
  values.fill(Number.NaN, keys * kvHeads * headDim); // unused slots, and a page that is nobody's
  using k = Tensor.from(device, Array.from(randomNumbers(count, { seed: 21 })), shape, dtype);
  using v = Tensor.from(device, Array.from(values), shape, dtype);
  const q = Array.from(randomNumbers(queries * heads * headDim, { seed: 23 }));
  using query = Tensor.from(device, q, [queries, heads, headDim], dtype);
  const indices = Int32Array.from({ length: pages - 1 }, (_, i) => i);
  const lengths = Int32Array.of(keys);
  const pageTable = { lengths, indptr: Int32Array.of(0, pages - 1), indices, pageSize, pages, kvHeads, headDim };
  using plan = planAttention({ queryLengths: [queries], pageTable, heads, device, split });
  using out = attention(device.defaultStream, { q: query, kv: { k, v }, plan, lse: false }).out;
  return out.readNumbers();
}

async function checkPoison(device: Device, c: PoisonCase): Promise<void> {
  const { headDim, queries } = c;
  const first = keys - queries; // row i sees the keys up to first + i
  const seen = first + Math.floor(queries / 2);
  const [nan, both, infinite] = [3, headDim - 2, headDim - 1];
  const clean = await attend(device, c, []);
  const dirty = await attend(device, c, [
    [seen, nan, Number.NaN],
    [seen, infinite, Number.NEGATIVE_INFINITY],
    [seen, both, Number.POSITIVE_INFINITY],
    [seen + 1, both, Number.NEGATIVE_INFINITY],
  ]);
  const expected = clean.slice();
  for (let row = 0; row < queries; row++) {
    for (let head = 0; head < heads / kvHeads; head++) {
      const at = (row * heads + head) * headDim;
      if (first + row < seen) continue;
      expected[at + nan] = Number.NaN;
      expected[at + infinite] = Number.NEGATIVE_INFINITY;
      expected[at + both] = first + row === seen ? Number.POSITIVE_INFINITY : Number.NaN;
    }
  }
  expect(clean.every(Number.isFinite)).toBe(true);
  expect(dirty).toEqual(expected);
}

/** Some of a batch's sequences, alone, give the bits that they give in the batch. */
async function checkInvariance(device: Device, parameters: AttentionCase, chosen: readonly number[]): Promise<void> {
  const inputs = makeInputs(parameters);
  using whole = new AttentionBench(device, inputs);
  using part = new AttentionBench(device, subset(inputs, chosen));
  const { out, lse } = await whole.run();
  const alone = await part.run();
  expect(alone.out).toEqual(whole.rowsOf(out, chosen));
  expect(alone.lse).toEqual(whole.rowsOf(lse, chosen));
}

export function poisonTests(devices: readonly NamedDevice[]): void {
  describe.each(devices)('values that are not finite: $name', ({ device }) => {
    // Packed rows: 4, which several groups of warps share the keys of, 48 and 128; 32 keys a part.
    it.each<PoisonCase>([
      { dtype: 'f16', headDim: 64, queries: 2, split: 'none' },
      { dtype: 'bf16', headDim: 128, queries: 24, split: 'none' },
      { dtype: 'f16', headDim: 256, queries: 64, split: 'none' },
      { dtype: 'bf16', headDim: 96, queries: 24, split: 32 },
      { dtype: 'f32', headDim: 64, queries: 24, split: 'none' },
    ])('reach the rows that see them: $dtype, $headDim columns, $queries rows', (c) => checkPoison(device, c));
  });
}

/** @param mostWork larger cases are left out */
export function invarianceTests(devices: readonly NamedDevice[], mostWork = Number.POSITIVE_INFINITY): void {
  for (const record of readCases<GridRecord>('attention_invariance')) {
    describe(`attention ${record.group}: ${record.name}`, () => {
      const cost = (c: Combination): number =>
        (c['batch'] as number) *
        (c['kv'] as number) *
        (c['queries'] as number) *
        (c['group'] as number) *
        (c['headDim'] as number);
      for (const c of selectCombinations(record, cost, (combination) => cost(combination) <= mostWork)) {
        it(describeCombination(c), async () => {
          const { type, batch, kv, ...rest } = c as unknown as AttentionCase & { type: FloatDType; batch: number };
          // Neighbours of other lengths: the last sequences of the batch are the longest.
          const lengths = Array.from({ length: batch }, (_, s) => (kv as number) - 7 * (batch - 1 - s));
          const parameters: AttentionCase = { ...rest, kv: lengths, seed: record.seed, kvHeads: 2 };
          for (const { device } of devices)
            await checkInvariance(device, { ...parameters, dtype: type, cache: type }, [batch - 2, batch - 1]);
        });
      }
    });
  }
}
