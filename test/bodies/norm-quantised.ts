// SPDX-License-Identifier: Apache-2.0
/** Group R: RMSNorm whose result is rounded to 8 bits, and linear layers over such rows. */
import { describe, expect, it } from 'vitest';
import {
  Device,
  type FloatDType,
  linear,
  type MatrixFormat,
  PackedMatrix,
  QuantizedRows,
  rmsNorm,
  Tensor,
} from '../../lib/index.js';
import * as oracle from '../oracle/elementwise.js';
import { randomBlocks, tablesOf } from '../oracle/ggml-blocks.js';
import { casesOf } from '../support/cases.js';
import { codeOf } from '../support/errors.js';
import { type Judges, reference } from '../support/judges.js';
import { numbersOf, poisonedRows } from '../support/quantised-rows.js';
import { randomNumbers } from '../support/random.js';

interface Case {
  rows: number;
  dim: number;
  x: FloatDType;
  weight: FloatDType;
  residual: FloatDType | null;
  format: MatrixFormat;
  offset: number;
  seed: number;
}

const eps = 1e-5;
const features = 24;

function matrix(device: Device, format: MatrixFormat, k: number, n = features): PackedMatrix {
  using data = Tensor.from(device, randomBlocks(format, n, k, 5), undefined, 'u8');
  return PackedMatrix.fromBlocks(device.defaultStream, [{ data, format, columns: k, ...tablesOf(format) }]);
}

/** The inputs of a case on a device, x and residual as views whose rows begin `offset` elements off. */
function upload(device: Device, test: Case, change: (x: Float32Array, weight: Float32Array) => void = () => {}) {
  const { rows, dim, seed, offset } = test;
  const numbers = randomNumbers(rows * (dim + offset), { seed });
  const factors = randomNumbers(dim, { seed, stream: 1 });
  change(numbers, factors);
  const place = (values: Float32Array, dtype: FloatDType): Tensor<FloatDType> => {
    using flat = Tensor.from(device, values, [rows, dim + offset], 'f32');
    using wide = flat.to(dtype);
    return wide.slice(1, offset, dim + offset);
  };
  return {
    x: place(numbers, test.x),
    weight: Tensor.from(device, Array.from(factors), [dim], test.weight) as Tensor<FloatDType>,
    residual: () =>
      test.residual ? place(randomNumbers(rows * (dim + offset), { seed, stream: 2 }), test.residual) : undefined,
  };
}

/** The layer over rows that the norm has rounded, and over the f32 result of the norm, with both residuals. */
async function bothWays(device: Device, test: Case, change?: Parameters<typeof upload>[2]) {
  const stream = device.defaultStream;
  const { x, weight, residual } = upload(device, test, change);
  const [sum, sumApart] = [residual(), residual()];
  using layer = matrix(device, test.format, test.dim);
  const memory = poisonedRows(device, [test.rows + 1, test.dim]);
  const out = memory.first(test.rows);
  rmsNorm(stream, { x, weight, eps, out, ...(sum ? { residual: sum } : {}) });
  using apart = Tensor.empty(device, [test.rows, test.dim], 'f32');
  rmsNorm(stream, { x, weight, eps, out: apart, ...(sumApart ? { residual: sumApart } : {}) });
  using fused = linear(stream, { x: out, weight: layer });
  using plain = linear(stream, { x: apart, weight: layer, precision: 'int8' });
  const result = {
    fused: await fused.readNumbers(),
    plain: await plain.readNumbers(),
    sum: await sum?.readNumbers(),
    sumApart: await sumApart?.readNumbers(),
    // The row behind those that were written.
    behind: [
      (await memory.codes.read()).slice(test.rows * test.dim),
      (await memory.scales.read()).slice(out.scales.size),
      (await memory.sums.read()).slice(out.sums.size),
    ],
  };
  for (const one of [x, weight, sum, sumApart, memory, out]) one?.dispose();
  return result;
}

export function quantisedNormTests(judges: Judges): void {
  describe('rmsNorm rounded to 8 bits', () => {
    it('gives a linear layer, bit for bit, what it would round itself', async () => {
      for (const test of judges.select(casesOf<Case>('rmsnorm_int8'), 'rounded rmsNorm', (all) => all)) {
        for (const { name, run } of judges.devices()) {
          await run(async (device) => {
            const { fused, plain, sum, sumApart, behind } = await bothWays(device, test);
            const what = `${name} ${JSON.stringify(test)}`;
            expect(fused, what).toEqual(plain);
            expect(fused.every(Number.isFinite), what).toBe(true);
            expect(sum, what).toEqual(sumApart);
            expect(behind.flatMap((part) => [...new Set<number>(part)])).toEqual([77, Number.NaN, 1 << 20]);
          });
        }
      }
    });

    it('is the nearest multiple of the scale to the exact result', async () => {
      for (const [rows, dim] of [
        [1, 32],
        [3, 160],
      ] as const) {
        const x = randomNumbers(rows * dim, { seed: 6 });
        x.fill(0, 0, 32); // a group without a scale, and with one row all of it
        const factors = randomNumbers(dim, { seed: 7 });
        for (const { name, run } of [reference, ...judges.devices()]) {
          await run(async (device) => {
            using xs = Tensor.from(device, x, [rows, dim], 'f32');
            using weight = Tensor.from(device, factors, [dim], 'f32');
            using out = poisonedRows(device, [rows, dim]);
            rmsNorm(device.defaultStream, { x: xs, weight, eps, out });
            const numbers = await numbersOf(out);
            const span = device.kind === 'cuda' ? dim : 32;
            for (let begin = 0; begin < rows * dim; begin += span) {
              const row = Math.floor(begin / dim);
              const exact = oracle.rmsNorm(x.subarray(row * dim, (row + 1) * dim), factors, eps);
              const part = exact.slice(begin % dim, (begin % dim) + span);
              const scale = Math.max(...part.map(Math.abs)) / 127;
              const worst = Math.max(...part.map((value, i) => Math.abs((numbers[begin + i] as number) - value)));
              expect(worst, `${name}, columns from ${begin}`).toBeLessThanOrEqual(scale * 0.5001);
            }
          });
        }
      }
    });

    it('keeps what is not finite in its row', async () => {
      const test: Case = {
        rows: 6,
        dim: 96,
        x: 'f32',
        weight: 'f32',
        residual: null,
        format: 'q4_1',
        offset: 0,
        seed: 8,
      };
      for (const { name, run } of judges.devices()) {
        await run(async (device) => {
          const clean = await bothWays(device, test);
          const bad = await bothWays(device, test, (x) => {
            x[1 * test.dim + 40] = Number.NaN;
            x[4 * test.dim + 7] = Number.NEGATIVE_INFINITY;
          });
          for (let row = 0; row < test.rows; row++) {
            const values = bad.fused.slice(row * features, (row + 1) * features);
            if (row === 1 || row === 4) expect(values.every(Number.isNaN), `${name}, row ${row}`).toBe(true);
            else expect(values, `${name}, row ${row}`).toEqual(clean.fused.slice(row * features, (row + 1) * features));
          }
          // A row whose normalised values are infinite.
          const infinite = await bothWays(device, test, (_, weight) => {
            weight[50] = Number.POSITIVE_INFINITY;
          });
          for (const { fused, plain } of [bad, infinite]) expect(fused, name).toEqual(plain);
          expect(infinite.fused.some(Number.isFinite), name).toBe(false);
        });
      }
    });

    it('serves batches, gates, and results that lie apart', async () => {
      for (const { name, run } of judges.devices()) {
        await run(async (device) => {
          const stream = device.defaultStream;
          const [k, n] = [64, 128];
          using x = Tensor.from(device, randomNumbers(6 * k, { seed: 9 }), [2, 3, k], 'f32');
          using weight = Tensor.full(device, [k], 'f32', 1);
          using layer = matrix(device, 'q4_0', k, n);
          using rounded = rmsNorm(stream, { x, weight, eps, out: poisonedRows(device, x.shape) });
          using normed = rmsNorm(stream, { x, weight, eps });
          const pair = [rounded, normed] as const;
          const apart = pair.map((from) => {
            using wide = Tensor.full(device, [2, 4, n], 'f32', Number.NaN);
            using out = wide.slice(1, 0, 3);
            linear(stream, { x: from, weight: layer, out, precision: 'int8' });
            return wide.readNumbers();
          });
          expect(await apart[0], name).toEqual(await apart[1]);
          const gated = pair.map((from) => linear(stream, { x: from, weight: layer, gate: 'silu', precision: 'int8' }));
          expect(gated[0]?.shape).toEqual([2, 3, n / 2]);
          expect(await gated[0]?.readNumbers(), name).toEqual(await gated[1]?.readNumbers());
          for (const tensor of gated) tensor.dispose();
        });
      }
    });

    it('refuses what does not fit', async () => {
      const [judged] = judges.devices().slice(-1);
      await judged?.run(async (device) => {
        const stream = device.defaultStream;
        const [k, n] = [64, 8];
        using x = Tensor.zeros(device, [2, k], 'f32');
        using weight = Tensor.zeros(device, [k], 'f32');
        using rows = QuantizedRows.empty(device, [2, k]);
        using fewer = rows.first(1);
        using layer = matrix(device, 'q4_0', k, n);
        using data = Tensor.from(device, randomBlocks('q4_0', n, k, 1), undefined, 'u8');
        const order = Int32Array.from({ length: k }, (_, i) => k - 1 - i);
        using ordered = PackedMatrix.fromBlocks(stream, [{ data, format: 'q4_0', columns: k }], { order });
        expect([layer.isOrdered, ordered.isOrdered]).toEqual([false, true]);
        using numbers = Tensor.zeros(device, [n, k], 'f32');
        using dense = PackedMatrix.fromTensor(stream, numbers, 'f16');
        using narrow = matrix(device, 'q4_0', 32, n);
        using elsewhere = Device.cpu({ threads: 1 });
        using foreign = QuantizedRows.empty(elsewhere, [2, k]);
        const norm = (out: QuantizedRows) => codeOf(() => rmsNorm(stream, { x, weight, eps, out }));
        expect([norm(rows), norm(fewer), norm(foreign)]).toEqual([
          'no error',
          'ERR_SHAPE_MISMATCH',
          'ERR_INVALID_ARGUMENT',
        ]);
        const layerOf = (matrixOf: PackedMatrix, from = rows) =>
          codeOf(() => linear(stream, { x: from, weight: matrixOf }).dispose());
        expect(layerOf(layer)).toBe('no error');
        expect(layerOf(ordered)).toBe('ERR_UNSUPPORTED');
        expect(layerOf(dense)).toBe('ERR_UNSUPPORTED');
        expect(layerOf(narrow)).toBe('ERR_SHAPE_MISMATCH');
        expect(layerOf(layer, foreign)).toBe('ERR_INVALID_ARGUMENT');
        expect(codeOf(() => QuantizedRows.empty(device, [2, 40]))).toBe('ERR_SHAPE_MISMATCH');
        expect(codeOf(() => QuantizedRows.empty(device, []))).toBe('ERR_SHAPE_MISMATCH');
        expect(codeOf(() => rows.first(3))).toBe('ERR_INVALID_ARGUMENT');
        const gone = QuantizedRows.empty(device, [2, k]);
        gone.dispose();
        expect([gone.isDisposed, norm(gone), layerOf(layer, gone)]).toEqual([true, 'ERR_DISPOSED', 'ERR_DISPOSED']);
      });
    });
  });
}
