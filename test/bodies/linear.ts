// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { type Device, type FloatDType, linear, type MatrixFormat, PackedMatrix, Tensor } from '../../lib/index.js';
import { decodeBlocks, lutLevels, randomBlocks } from '../oracle/ggml-blocks.js';
import { linearOracle, roundActivations, roundLevels } from '../oracle/linear.js';
import { casesOf } from '../support/cases.js';
import { reference as referenceCpu } from '../support/judges.js';
import { randomNumbers } from '../support/random.js';
import { expectClose, meanRelativeError, nmse } from '../support/tolerance.js';

interface Case {
  m: number;
  n: number;
  k: number;
  format: MatrixFormat;
  x?: FloatDType;
  out?: FloatDType;
  bias?: boolean;
  biasType?: FloatDType;
  residual?: boolean;
  residualType?: FloatDType;
  strided?: boolean;
  sources?: number;
  large?: boolean;
}

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

const dense = (format: MatrixFormat): boolean => format === 'f32' || format === 'f16' || format === 'bf16';

/** Blocks of the rows, split into sources of unequal size; dense ones on a GPU as a tensor. */
function upload(device: Device, { n, k, format, sources = 1 }: Case, blocks: Uint8Array): PackedMatrix {
  if (device.kind === 'cuda' && dense(format)) {
    using numbers = Tensor.from(device, decodeBlocks(format, blocks), [n, k], 'f32');
    return PackedMatrix.fromTensor(device.defaultStream, numbers, format as FloatDType);
  }
  const rowBytes = blocks.length / n;
  const list = [];
  for (let i = 0, row = 0; i < sources; i++) {
    const end = i === sources - 1 ? n : row + Math.max(1, Math.floor(n / (sources + 1)));
    const data = blocks.slice(row * rowBytes, end * rowBytes);
    const levels = format === 'lut4' ? { levels: lutLevels } : {};
    list.push({ data: Tensor.from(device, data, undefined, 'u8'), format, columns: k, ...levels });
    row = end;
  }
  const matrix = PackedMatrix.fromBlocks(device.defaultStream, list);
  for (const { data } of list) data.dispose();
  return matrix;
}

interface Inputs {
  blocks: Uint8Array;
  x: Float32Array;
  bias: Float32Array | undefined;
  residual: Float32Array | undefined;
}

function makeInputs(c: Case, m: number, seed: number): Inputs {
  return {
    blocks: randomBlocks(c.format, c.n, c.k, seed),
    x: randomNumbers(m * c.k, { seed, stream: 2 }),
    bias: c.bias ? randomNumbers(c.n, { seed, stream: 3 }) : undefined,
    residual: c.residual ? randomNumbers(m * c.n, { seed, stream: 4 }) : undefined,
  };
}

/** Runs the case on the device: a poisoned out, rows apart where the case says so. Returns [m, n] and what lies between. */
async function run(
  device: Device,
  c: Case,
  m: number,
  inputs: Inputs,
): Promise<{ out: number[]; gaps: number[]; x: number[] }> {
  const gap = c.strided ? 5 : 0;
  const matrix = upload(device, c, inputs.blocks);
  const wide = Tensor.zeros(device, [m, c.k + gap], c.x ?? 'f32');
  const x = wide.slice(1, 0, c.k);
  const rounded = Tensor.from(device, Array.from(inputs.x), [m, c.k], c.x ?? 'f32');
  x.copyFrom(rounded);
  const outs = Tensor.full(device, [m, c.n + gap], c.out ?? 'f32', Number.NaN);
  const out = outs.slice(1, 0, c.n);
  const options: Parameters<typeof linear>[1] = { x, weight: matrix, out };
  if (inputs.bias) options.bias = Tensor.from(device, Array.from(inputs.bias), [c.n], c.biasType ?? 'f32');
  if (inputs.residual) {
    options.residual = Tensor.from(device, Array.from(inputs.residual), [m, c.n], c.residualType ?? 'f32');
  }
  linear(device.defaultStream, options);
  const all = await outs.readNumbers();
  const width = c.n + gap;
  const result = {
    out: all.filter((_, i) => i % width < c.n),
    gaps: all.filter((_, i) => i % width >= c.n),
    x: await rounded.readNumbers(),
  };
  for (const tensor of [wide, x, rounded, outs, out, options.bias, options.residual]) tensor?.dispose();
  matrix.dispose();
  return result;
}

function expectAccurate(c: Case, actual: number[], expected: ArrayLike<number>): void {
  expect(actual.every(Number.isFinite), 'every element was written').toBe(true);
  const rounds = c.out === 'bf16' ? 4e-3 : c.out === 'f16' ? 5e-4 : 0;
  if (dense(c.format)) {
    expect(meanRelativeError(actual, expected)).toBeLessThanOrEqual(2e-6 + rounds);
    return;
  }
  expect(meanRelativeError(actual, expected)).toBeLessThanOrEqual(0.04);
  expect(nmse(actual, expected)).toBeLessThanOrEqual(5e-4);
}

export function linearTests(target: LinearTarget): void {
  const some = target.formats.includes('q4_0') ? 'q4_0' : 'f16';
  describe('linear', () => {
    for (const [index, c] of casesOf<Case>('linear').entries()) {
      if (!target.formats.includes(c.format)) continue;
      const { m } = c;
      it(`${c.format} [${m}, ${c.k}] x [${c.n}, ${c.k}] ${c.strided ? 'strided ' : ''}agrees with float64`, async () => {
        const given = makeInputs(c, m, index + 1);
        const reference = await referenceCpu.run((device) => run(device, c, m, given));
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
          small && target.integers && !dense(c.format)
            ? linearOracle({
                ...problem,
                x: roundActivations(reference.x),
                weight: decodeBlocks(c.format, given.blocks, roundLevels(lutLevels)),
              })
            : undefined;
        let first: number[] | undefined;
        let firstIsa = '';
        await target.each(async (device, name) => {
          const { out, gaps } = await run(device, c, m, given);
          expectAccurate(c, out, reference.out);
          expect(gaps.every(Number.isNaN), 'nothing was written between the rows').toBe(true);
          if (exact && (c.out ?? 'f32') === 'f32') {
            const scale = Math.max(...Array.from(exact, Math.abs));
            expectClose(out, exact, { absolute: 1e-5 * scale }, `${name}: integer arithmetic`);
          }
          const isa = name.split(',')[0] as string;
          if (isa === firstIsa) expect(out, `${name}: the same bits as with one thread`).toEqual(first);
          first = out;
          firstIsa = isa;
        });
      });
    }

    for (const format of target.formats) {
      for (const x of new Set<FloatDType>(['f32', format === 'f16' || format === 'bf16' ? format : 'f32'])) {
        it(`${x} by ${format}: a row's result does not depend on its batch`, async () => {
          const c: Case = { m: 0, n: 75, k: 256, format, x };
          const inputs = makeInputs(c, 37, 7);
          await target.each(
            async (device) => {
              const { out } = await run(device, c, 37, inputs);
              for (const [begin, end] of [
                [0, 1],
                [3, 5],
                [8, 17],
                [20, 36],
                [36, 37],
              ] as const) {
                const part = await run(device, c, end - begin, {
                  ...inputs,
                  x: inputs.x.slice(begin * c.k, end * c.k),
                });
                expect(part.out).toEqual(out.slice(begin * c.n, end * c.n));
              }
            },
            [1],
          );
        });
      }

      it(`${format}: NaN and infinity reach exactly their rows`, async () => {
        const c: Case = { m: 0, n: 40, k: 256, format };
        const inputs = makeInputs(c, 19, 8);
        await target.each(async (device) => {
          const clean = (await run(device, c, 19, inputs)).out;
          const x = inputs.x.slice();
          const bad = new Map([
            [0, Number.NaN],
            [7, Number.POSITIVE_INFINITY],
            [18, Number.NEGATIVE_INFINITY],
          ]);
          for (const [row, value] of bad) x[row * c.k + 11 * row] = value;
          const { out } = await run(device, c, 19, { ...inputs, x });
          for (let row = 0; row < 19; row++) {
            const values = out.slice(row * c.n, (row + 1) * c.n);
            if (!bad.has(row)) expect(values).toEqual(clean.slice(row * c.n, (row + 1) * c.n));
            else if (Number.isNaN(bad.get(row))) expect(values.every(Number.isNaN)).toBe(true);
            else expect(values.some(Number.isFinite)).toBe(false);
          }
        });
      });
    }

    it('gives the same bits every time', async () => {
      const c: Case = { m: 0, n: 200, k: 512, format: some };
      const inputs = makeInputs(c, 5, 9);
      await target.each(
        async (device) => {
          const matrix = upload(device, c, inputs.blocks);
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
      const c: Case = { m: 0, n: 24, k: 64, format: some };
      const inputs = makeInputs({ ...c, residual: true }, 3, 10);
      await target.each(async (device) => {
        const matrix = upload(device, c, inputs.blocks);
        const x = Tensor.from(device, inputs.x, [3, c.k], 'f32');
        const residual = Tensor.from(device, inputs.residual as Float32Array, [3, c.n], 'f32');
        const apart = await linear(device.defaultStream, { x, weight: matrix, residual }).read();
        linear(device.defaultStream, { x, weight: matrix, residual, out: residual });
        expect(await residual.read()).toEqual(apart);
      });
    });

    it('takes activations of any rank, and no rows at all', async () => {
      const c: Case = { m: 0, n: 24, k: 64, format: some };
      const inputs = makeInputs(c, 6, 11);
      await target.each(
        async (device) => {
          const matrix = upload(device, c, inputs.blocks);
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
