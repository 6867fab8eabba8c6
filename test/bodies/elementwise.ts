// SPDX-License-Identifier: Apache-2.0
/** Group R: RMSNorm, rotary embedding and gated activations against their float64 references. */
import { describe, expect, it } from 'vitest';
import {
  Device,
  type FloatDType,
  geluMul,
  type RopePairing,
  type RopeScaling,
  rmsNorm,
  rope,
  ropeFrequencies,
  ropeFrequencyTensor,
  ropeTable,
  siluMul,
  Tensor,
} from '../../lib/index.js';
import * as oracle from '../oracle/elementwise.js';
import { casesOf } from '../support/cases.js';
import { type Judges, reference } from '../support/judges.js';
import { roundingStep } from '../support/rounding.js';
import { tiledNumbers } from '../support/tile.js';
import { expectAgreement, expectClose } from '../support/tolerance.js';

type Compare = (
  test: { tolerance: number; large?: boolean },
  dtype: FloatDType,
  compute: (device: Device) => Promise<Float32Array>,
) => Promise<Float32Array>;

/** Numbers as a tensor of a dtype. */
function upload(
  device: Device,
  numbers: Float32Array,
  shape: readonly number[],
  dtype: FloatDType,
): Tensor<FloatDType> {
  const tensor = Tensor.from(device, numbers, shape, 'f32');
  if (dtype === 'f32') return tensor;
  using _ = tensor;
  return tensor.to(dtype);
}

async function download(tensor: Tensor): Promise<Float32Array> {
  using copy = tensor.to('f32');
  return await copy.read();
}

interface NormCase {
  rows: number;
  dim: number;
  x: FloatDType;
  weight: FloatDType;
  residual: FloatDType | 'same' | null;
  seed: number;
  tolerance: number;
  large?: boolean;
}

function normTests(judges: Judges, compare: Compare): void {
  describe('rmsNorm', () => {
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      it(`equals the reference: ${dtype}`, async () => {
        const cases = judges.select(
          casesOf<NormCase>('rmsnorm').filter((one) => one.x === dtype),
          'rmsNorm',
        );
        for (const test of cases) {
          const { rows, dim, seed } = test;
          const x = tiledNumbers(rows * dim, { seed });
          const weight = tiledNumbers(dim, { seed, stream: 1 });
          const residual = tiledNumbers(rows * dim, { seed, stream: 2 });
          const residualType = test.residual === 'same' ? dtype : test.residual;
          const expected = await compare(test, dtype, async (device) => {
            using xs = upload(device, x, [rows, dim], dtype);
            using ws = upload(device, weight, [dim], test.weight);
            using rs = residualType ? upload(device, residual, [rows, dim], residualType) : undefined;
            const options = { x: xs, weight: ws, eps: 1e-5, ...(rs ? { residual: rs } : {}) };
            using out = rmsNorm(device.defaultStream, options);
            const result = await download(out);
            return rs
              ? Float32Array.of(...result.subarray(0, 1000), ...(await download(rs)).subarray(0, 1000))
              : result;
          });
          if (rows * dim > 2000 || dtype !== 'f32' || test.weight !== 'f32') continue;
          const exact = Array.from({ length: rows }, (_, r) =>
            Array.from(oracle.rmsNorm(x.subarray(r * dim, (r + 1) * dim), weight, 1e-5)),
          ).flat();
          expectClose(expected, exact, { absolute: 1e-6, relative: 1e-6 }, 'reference');
        }
      });
    }

    it('takes strided rows, works in place, and keeps the residual apart from the output', async () => {
      for (const { run } of judges.devices()) {
        await run(async (device) => {
          const stream = device.defaultStream;
          const numbers = tiledNumbers(6 * 40, { seed: 9 });
          using wide = Tensor.from(device, numbers, [2, 3, 40], 'f32');
          using x = wide.slice(2, 4, 36);
          using weight = Tensor.full(device, [32], 'f32', 1);
          using out = Tensor.empty(device, [2, 3, 32], 'f32');
          rmsNorm(stream, { x, weight, eps: 1e-6, out });
          rmsNorm(stream, { x, weight, eps: 1e-6, out: x });
          const [apart, inPlace] = [await out.read(), await wide.read()];
          for (let r = 0; r < 6; r++) {
            const exact = oracle.rmsNorm(numbers.subarray(r * 40 + 4, r * 40 + 36), new Float64Array(32).fill(1), 1e-6);
            expectClose(apart.subarray(r * 32, (r + 1) * 32), exact, { absolute: 1e-5 });
            expectClose(inPlace.subarray(r * 40 + 4, r * 40 + 36), exact, { absolute: 1e-5 });
            expect(inPlace.subarray(r * 40, r * 40 + 4)).toEqual(numbers.subarray(r * 40, r * 40 + 4));
          }
          const bad = (): unknown => rmsNorm(stream, { x, weight, eps: 0 });
          expect(bad).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
          using narrow = weight.slice(0, 0, 31);
          expect(() => rmsNorm(stream, { x, weight: narrow, eps: 1 })).toThrow(
            expect.objectContaining({ code: 'ERR_SHAPE_MISMATCH' }),
          );
        });
      }
    });
  });
}

interface RopeCase {
  batch: number;
  length: number;
  offset: number;
  headDim: number;
  partial: number;
  pairing: RopePairing;
  scaling: 'none' | 'linear' | 'yarn' | 'llama3';
  dtype: FloatDType;
  seed: number;
  tolerance: number;
  large?: boolean;
}

const scalings: Record<RopeCase['scaling'], RopeScaling> = {
  none: { type: 'none' },
  linear: { type: 'linear', factor: 4 },
  yarn: { type: 'yarn', factor: 8, originalContext: 4096 },
  llama3: { type: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192 },
};

function ropeTests(judges: Judges, compare: Compare): void {
  describe('rope', () => {
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      it(`equals the reference, and that the definition: ${dtype}`, async () => {
        const cases = judges.select(
          casesOf<RopeCase>('rope').filter((one) => one.dtype === dtype),
          'rope',
        );
        for (const test of cases) {
          const { batch, length, offset, headDim, pairing, seed } = test;
          const [rows, heads, kvHeads] = [batch * length, 4, 1];
          const rotaryDim = headDim * test.partial;
          const frequencies = ropeFrequencies({ rotaryDim, theta: 500000, scaling: scalings[test.scaling] });
          const positions = Int32Array.from({ length: rows }, (_, r) => offset + (r % length));
          const width = (heads + 2 * kvHeads) * headDim;
          const numbers = tiledNumbers(rows * width, { seed });
          const expected = await compare(test, dtype, async (device) => {
            const stream = device.defaultStream;
            // Queries and keys in place inside a fused projection.
            using qkv = upload(device, numbers, [rows, heads + 2 * kvHeads, headDim], dtype);
            using q = qkv.slice(1, 0, heads);
            using k = qkv.slice(1, heads, heads + kvHeads);
            using at = Tensor.from(device, positions, [rows], 'i32');
            using onDevice = ropeFrequencyTensor(device, frequencies);
            using table = ropeTable(stream, {
              positions: at,
              frequencies: onDevice,
              magnitude: frequencies.magnitude,
            });
            rope(stream, { q, k, table, pairing });
            return download(qkv);
          });
          if (dtype !== 'f32' || rows > 19) continue;
          for (let r = 0; r < rows; r++) {
            for (let h = 0; h < heads + 2 * kvHeads; h++) {
              const begin = r * width + h * headDim;
              const head = numbers.subarray(begin, begin + headDim);
              const turned = h < heads + kvHeads;
              const exact = turned
                ? oracle.rotate(head, positions[r] as number, frequencies.inverse, pairing, frequencies.magnitude)
                : head;
              expectClose(expected.subarray(begin, begin + headDim), exact, { absolute: 2e-6 }, 'reference');
            }
          }
        }
      });
    }

    it('is accurate at position 10^6, out of place, without keys', async () => {
      for (const { run } of judges.devices(true)) {
        await run(async (device) => {
          const stream = device.defaultStream;
          const frequencies = ropeFrequencies({ rotaryDim: 64, theta: 10000 });
          const positions = [131071, 1000003];
          using at = Tensor.from(device, positions, [2], 'i64');
          using onDevice = ropeFrequencyTensor(device, frequencies);
          using table = ropeTable(stream, { positions: at, frequencies: onDevice });
          const numbers = tiledNumbers(2 * 3 * 80, { seed: 4 });
          using q = Tensor.from(device, numbers, [2, 3, 80], 'f32');
          using qOut = Tensor.empty(device, [2, 3, 80], 'f32');
          rope(stream, { q, qOut, table, pairing: 'halves' });
          const result = await qOut.read();
          for (let i = 0; i < 6; i++) {
            const head = numbers.subarray(i * 80, (i + 1) * 80);
            const exact = oracle.rotate(head, positions[Math.floor(i / 3)] as number, frequencies.inverse, 'halves');
            expectClose(result.subarray(i * 80, (i + 1) * 80), exact, { absolute: 1e-5 });
          }
          expect(await q.read()).toEqual(numbers);
        });
      }
    });
  });
}

interface GatedCase {
  rows: number;
  n: number;
  dtype: FloatDType;
  activation: 'silu' | 'gelu';
  fused: boolean;
  scale: number;
  seed: number;
  tolerance: number;
  large?: boolean;
}

function gatedTests(judges: Judges, compare: Compare): void {
  describe('gated activations', () => {
    const ops = { silu: siluMul, gelu: geluMul };
    const definitions = { silu: oracle.silu, gelu: oracle.geluTanh };

    for (const activation of ['silu', 'gelu'] as const) {
      it(`equal the reference: ${activation}`, async () => {
        const cases = casesOf<GatedCase>('activation').filter((one) => one.activation === activation);
        for (const test of judges.select(cases, 'gated activations')) {
          const { rows, n, dtype, fused, scale, seed } = test;
          const numbers = tiledNumbers(rows * 2 * n, { seed, scale });
          const expected = await compare(test, dtype, async (device) => {
            using both = upload(device, numbers, [rows, 2 * n], dtype);
            using gate = both.slice(1, 0, n);
            using up = both.slice(1, n, 2 * n);
            using out = ops[activation](device.defaultStream, fused ? { fused: both } : { gate, up });
            return download(out);
          });
          if (dtype !== 'f32' || rows * n > 2000) continue;
          const exact = Float64Array.from({ length: rows * n }, (_, i) => {
            const at = Math.floor(i / n) * 2 * n + (i % n);
            return definitions[activation](numbers[at] as number) * (numbers[at + n] as number);
          });
          expectClose(expected, exact, { absolute: 1e-6, relative: 1e-6 }, 'reference');
        }
      });
    }

    it('are accurate where the exponential overflows or vanishes', async () => {
      const x = Float32Array.of(
        -1e30,
        -3e4,
        -100,
        -88,
        -87,
        -20,
        -5,
        -1e-3,
        -0,
        1e-30,
        1e-3,
        5,
        20,
        88,
        100,
        3e4,
        1e30,
      );
      for (const { run } of judges.devices()) {
        await run(async (device) => {
          using gate = Tensor.from(device, x, [x.length], 'f32');
          using up = Tensor.full(device, [x.length], 'f32', 1);
          for (const activation of ['silu', 'gelu'] as const) {
            using out = ops[activation](device.defaultStream, { gate, up });
            expectClose(await out.read(), Array.from(x, definitions[activation]), { absolute: 1e-7, relative: 1e-6 });
          }
        });
      }
    });

    it('name what is wrong', () => {
      using device = Device.cpu({ threads: 1 });
      const stream = device.defaultStream;
      using odd = Tensor.zeros(device, [2, 5], 'f32');
      using gate = Tensor.zeros(device, [2, 4], 'f32');
      expect(() => siluMul(stream, { fused: odd })).toThrow(expect.objectContaining({ code: 'ERR_SHAPE_MISMATCH' }));
      expect(() => siluMul(stream, { gate, up: odd })).toThrow(expect.objectContaining({ code: 'ERR_SHAPE_MISMATCH' }));
      using integers = Tensor.zeros(device, [2, 4], 'i32');
      expect(() => siluMul(stream, { gate, up: integers as never })).toThrow(
        expect.objectContaining({ code: 'ERR_UNSUPPORTED' }),
      );
    });
  });
}

/** Group R on every device of `judges`. */
export function elementwiseTests(judges: Judges): void {
  /** Runs `compute` on the reference and on every judged device, and compares. */
  const compare: Compare = async (test, dtype, compute) => {
    const expected = await reference.run(compute);
    const tolerance = { absolute: test.tolerance, relative: test.tolerance + roundingStep[dtype] };
    const results: Float32Array[] = [];
    for (const { name, run } of judges.devices(test.large)) {
      results.push(await run(compute));
      expectClose(results.at(-1) as Float32Array, expected, tolerance, `${name} ${JSON.stringify(test)}`);
    }
    expectAgreement(results, tolerance, JSON.stringify(test));
    return expected;
  };
  normTests(judges, compare);
  ropeTests(judges, compare);
  gatedTests(judges, compare);
}
