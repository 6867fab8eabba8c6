// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { type Device, type FloatDType, linear, type MatrixFormat, Tensor } from '../../lib/index.js';
import { decodeBlocks, lutLevels } from '../oracle/ggml-blocks.js';
import { linearOracle, roundActivations, roundLevels } from '../oracle/linear.js';
import { casesOf } from '../support/cases.js';
import { reference as referenceCpu } from '../support/judges.js';
import {
  expectNonFiniteRows,
  expectRowsAlone,
  isDense,
  type LinearCase,
  makeLinearInputs,
  runLinear,
  uploadWeights,
} from '../support/linear.js';
import { expectClose, meanRelativeError, nmse } from '../support/tolerance.js';

/** What linear layers are tested on. */
export interface LinearTarget {
  formats: readonly MatrixFormat[];
  /** Calls `body` with each device; its name begins with the kind of device, which ends with a comma. */
  each(
    body: (device: Device, name: string) => void | Promise<void>,
    threadCounts?: readonly number[],
  ): void | Promise<void>;
  /** Over packed weights it rounds activations to integers, and multiplies exactly. */
  integers: boolean;
  /** How often the same call is repeated. */
  repeats: number;
}

function expectAccurate(c: LinearCase, actual: number[], expected: ArrayLike<number>): void {
  expect(actual.every(Number.isFinite), 'every element was written').toBe(true);
  const rounds = c.out === 'bf16' ? 4e-3 : c.out === 'f16' ? 5e-4 : 0;
  if (isDense(c.format)) {
    expect(meanRelativeError(actual, expected)).toBeLessThanOrEqual(2e-6 + rounds);
    return;
  }
  expect(meanRelativeError(actual, expected)).toBeLessThanOrEqual(0.04);
  expect(nmse(actual, expected)).toBeLessThanOrEqual(5e-4);
}

export function linearTests(target: LinearTarget): void {
  const some = target.formats.includes('q4_0') ? 'q4_0' : 'f16';
  describe('linear', () => {
    for (const [index, c] of casesOf<LinearCase>('linear').entries()) {
      if (!target.formats.includes(c.format)) continue;
      const { m } = c;
      it(`${c.format} [${m}, ${c.k}] x [${c.n}, ${c.k}] ${c.strided ? 'strided ' : ''}agrees with float64`, async () => {
        const given = makeLinearInputs(c, index + 1);
        const reference = await referenceCpu.run((device) => runLinear(device, c, given));
        const small = m * c.n * c.k <= 2e6 && !c.biasType && !c.residualType;
        const problem = {
          ...given,
          x: reference.x,
          weight: small ? decodeBlocks(c.format, given.blocks) : [],
          m,
          n: c.n,
          k: c.k,
        };
        if (small && (c.out ?? 'f32') === 'f32') {
          expectClose(reference.out, linearOracle(problem), { absolute: 1e-6, relative: 1e-6 }, 'reference');
        }
        const exact =
          small && target.integers && !isDense(c.format)
            ? linearOracle({
                ...problem,
                x: roundActivations(reference.x),
                weight: decodeBlocks(c.format, given.blocks, roundLevels(lutLevels)),
              })
            : undefined;
        let first: number[] | undefined;
        let firstIsa = '';
        await target.each(async (device, name) => {
          const { out, gaps } = await runLinear(device, c, given);
          expectAccurate(c, out, reference.out);
          expect(gaps.every(Number.isNaN), 'nothing was written between the rows').toBe(true);
          if (exact && (c.out ?? 'f32') === 'f32') {
            const scale = Math.max(...Array.from(exact, Math.abs));
            expectClose(out, exact, { absolute: 1e-5 * scale }, `${name}: integer arithmetic`);
          }
          const isa = name.split(',')[0] as string;
          if (first) expectAccurate(c, out, first);
          if (isa === firstIsa) expect(out, `${name}: the same bits as with one thread`).toEqual(first);
          first = out;
          firstIsa = isa;
        });
      });
    }

    for (const format of target.formats) {
      for (const x of new Set<FloatDType>(['f32', format === 'f16' || format === 'bf16' ? format : 'f32'])) {
        it(`${x} by ${format}: a row's result does not depend on its batch`, async () => {
          const c: LinearCase = { m: 37, n: 75, k: 256, format, x };
          const ranges = [
            [0, 1],
            [3, 5],
            [8, 17],
            [20, 36],
            [36, 37],
          ] as const;
          await target.each((device) => expectRowsAlone(device, c, ranges), [1]);
        });
      }

      it(`${format}: NaN and infinity reach exactly their rows`, async () => {
        await target.each((device) => expectNonFiniteRows(device, { n: 40, k: 256, format }));
      });
    }

    it('gives the same bits every time', async () => {
      const c: LinearCase = { m: 5, n: 200, k: 512, format: some };
      const inputs = makeLinearInputs(c, 9);
      await target.each(
        async (device) => {
          const matrix = uploadWeights(device, c, inputs);
          const x = Tensor.from(device, inputs.x, [5, c.k], 'f32');
          const expected = await linear(device.defaultStream, { x, weight: matrix }).read();
          const out = Tensor.empty(device, [5, c.n], 'f32');
          for (let i = 0; i < target.repeats; i++) {
            out.fill(Number.NaN);
            linear(device.defaultStream, { x, weight: matrix, out });
            expect(await out.read()).toEqual(expected);
          }
        },
        [2],
      );
    });

    it('adds into the residual in place', async () => {
      const c: LinearCase = { m: 3, n: 24, k: 64, format: some, residual: true };
      const inputs = makeLinearInputs(c, 10);
      await target.each(async (device) => {
        const matrix = uploadWeights(device, c, inputs);
        const x = Tensor.from(device, inputs.x, [3, c.k], 'f32');
        const residual = Tensor.from(device, inputs.residual as Float32Array, [3, c.n], 'f32');
        const apart = await linear(device.defaultStream, { x, weight: matrix, residual }).read();
        linear(device.defaultStream, { x, weight: matrix, residual, out: residual });
        expect(await residual.read()).toEqual(apart);
      });
    });

    it('takes activations of any rank, and no rows at all', async () => {
      const c: LinearCase = { m: 6, n: 24, k: 64, format: some };
      const inputs = makeLinearInputs(c, 11);
      await target.each(
        async (device) => {
          const matrix = uploadWeights(device, c, inputs);
          const flat = Tensor.from(device, inputs.x, [6, c.k], 'f32');
          const expected = await linear(device.defaultStream, { x: flat, weight: matrix }).read();
          const cube = linear(device.defaultStream, { x: flat.reshape(2, 3, c.k), weight: matrix });
          expect(cube.shape).toEqual([2, 3, c.n]);
          expect(await cube.read()).toEqual(expected);
          const vector = linear(device.defaultStream, { x: flat.select(0, 0), weight: matrix });
          expect(vector.shape).toEqual([c.n]);
          expect(await vector.read()).toEqual(expected.slice(0, c.n));
          expect(linear(device.defaultStream, { x: flat.slice(0, 2, 2), weight: matrix }).shape).toEqual([0, c.n]);
          await device.defaultStream.synchronize();
        },
        [1],
      );
    });
  });
}
