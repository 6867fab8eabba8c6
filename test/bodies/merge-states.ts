// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { type Device, type FloatDType, mergeStates, Tensor } from '../../lib/index.js';
import type { NamedDevice } from '../support/devices.js';
import {
  type Combination,
  describeCombination,
  type GridRecord,
  readCases,
  selectCombinations,
} from '../support/grid.js';
import { randomNumbers } from '../support/random.js';
import { rounding, roundingStep } from '../support/rounding.js';
import { allowedError, expectAgreement, expectClose, expectNearlyAsGoodAs } from '../support/tolerance.js';

interface MergeCase {
  parts: number;
  rows: number;
  heads: number;
  headDim: number;
  dtype: FloatDType;
  empty: 'none' | 'first' | 'last' | 'all' | 'some';
}

const isEmpty = (rule: MergeCase['empty'], part: number, parts: number, state: number): boolean =>
  rule === 'all' ||
  (rule === 'first' && part === 0) ||
  (rule === 'last' && part === parts - 1) ||
  (rule === 'some' && (part * 7 + state) % 3 === 0);

function makeStates(c: MergeCase, seed: number): { outs: Float32Array; lses: Float32Array } {
  const states = c.rows * c.heads;
  const outs = randomNumbers(c.parts * states * c.headDim, { seed, stream: 1 }).map(rounding[c.dtype]);
  const lses = randomNumbers(c.parts * states, { seed, stream: 2, scale: 3 });
  for (let part = 0; part < c.parts; part++) {
    for (let state = 0; state < states; state++) {
      if (!isEmpty(c.empty, part, c.parts, state)) continue;
      const at = part * states + state;
      lses[at] = Number.NEGATIVE_INFINITY;
      outs.fill(Number.NaN, at * c.headDim, (at + 1) * c.headDim);
    }
  }
  return { outs, lses };
}

async function merge(
  device: Device,
  c: MergeCase,
  values: { outs: Float32Array; lses: Float32Array },
  out: FloatDType,
): Promise<{ out: number[]; lse: number[] }> {
  using outs = Tensor.from(device, Array.from(values.outs), [c.parts, c.rows, c.heads, c.headDim], c.dtype);
  using lses = Tensor.from(device, values.lses, [c.parts, c.rows, c.heads], 'f32');
  using result = Tensor.full(device, [c.rows, c.heads, c.headDim], out, Number.NaN);
  using lse = Tensor.full(device, [c.rows, c.heads], 'f32', Number.NaN);
  mergeStates(device.defaultStream, { outs, lses, out: result, lse });
  return { out: await result.readNumbers(), lse: await lse.readNumbers() };
}

const cost = (c: Combination): number =>
  (c['parts'] as number) * (c['rows'] as number) * (c['headDim'] as number) * (c['heads'] as number);

/**
 * @param forCase the devices of the next case, whose results are compared with each other, too
 * @param most elements of a case; larger cases are left out
 */
export function mergeStatesTests(
  devices: readonly NamedDevice[],
  forCase: () => readonly NamedDevice[],
  reference: Device,
  most = Number.POSITIVE_INFINITY,
): void {
  for (const record of readCases<GridRecord & { factor: number }>('merge_states')) {
    describe(`mergeStates ${record.group}: ${record.name}`, () => {
      for (const combination of selectCombinations(record, cost, (c) => cost(c) <= most)) {
        const c = combination as unknown as MergeCase;
        it(describeCombination(combination), async () => {
          const states = makeStates(c, record.seed);
          const exact = await merge(reference, c, states, 'f32');
          const naive = exact.out.map(rounding[c.dtype]);
          const outs: number[][] = [];
          for (const { name, device } of forCase()) {
            const { out, lse } = await merge(device, c, states, c.dtype);
            expectNearlyAsGoodAs({ kernel: out, naive, exact: exact.out }, { factor: record.factor, what: name });
            expectClose(lse, exact.lse, { absolute: 1e-5 }, `lse on ${name}`);
            outs.push(out);
          }
          const absolute = allowedError({ naive, exact: exact.out }, { factor: record.factor });
          expectAgreement(outs, { absolute, relative: roundingStep[c.dtype] }, 'out');
        });
      }
    });
  }

  describe.each(devices)('mergeStates: $name', ({ device }) => {
    const two: MergeCase = { parts: 2, rows: 1, heads: 1, headDim: 3, dtype: 'f32', empty: 'none' };

    it('agrees with the formula', async () => {
      const outs = Float32Array.of(1, 2, 3, -1, 0, 5);
      const lses = Float32Array.of(Math.log(3), 0);
      const { out, lse } = await merge(device, two, { outs, lses }, 'f32');
      expectClose(out, [0.5, 1.5, 3.5], { absolute: 1e-6 });
      expectClose(lse, [Math.log(4)], { absolute: 1e-6 });
    });

    it('passes a single part through unchanged', async () => {
      const outs = randomNumbers(300, { seed: 1 });
      const lses = randomNumbers(100, { seed: 2 });
      const { out, lse } = await merge(device, { ...two, parts: 1, rows: 100 }, { outs, lses }, 'f32');
      expect(out).toEqual(Array.from(outs));
      expect(lse).toEqual(Array.from(lses));
    });

    it('survives logits that exp cannot hold', async () => {
      const outs = Float32Array.of(1, 1, 1, 9, 9, 9);
      const { out, lse } = await merge(device, two, { outs, lses: Float32Array.of(5e4, -5e4) }, 'f32');
      expect(out).toEqual([1, 1, 1]);
      expect(lse).toEqual([5e4]);
    });

    it('refuses shapes that do not fit', () => {
      using outs = Tensor.empty(device, [2, 3, 4, 8], 'f32');
      using lses = Tensor.empty(device, [2, 3, 5], 'f32');
      expect(() => mergeStates(device.defaultStream, { outs, lses })).toThrow(/lses has shape \[2, 3, 5\]/);
      expect(() => mergeStates(device.defaultStream, { outs: lses as never, lses })).toThrow(/outs has shape/);
    });
  });
}
