// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { Device, linear, matrixFormats, PackedMatrix, siluMul, Tensor } from '../../lib/index.js';
import { linearTests } from '../bodies/linear.js';
import { onEveryLinearCpu } from '../support/isa.js';
import { randomNumbers } from '../support/random.js';

linearTests({ formats: matrixFormats, each: onEveryLinearCpu, integers: true, repeats: 200 });

describe('arguments of linear', () => {
  it('refuses what does not fit', () => {
    using device = Device.cpu({ threads: 1 });
    using other = Device.cpu({ threads: 1 });
    const stream = device.defaultStream;
    const matrix = PackedMatrix.fromTensor(stream, Tensor.zeros(device, [8, 64], 'f32'), 'q4_0');
    const x = Tensor.zeros(device, [2, 64], 'f32');
    const code = (fn: () => unknown): unknown => {
      try {
        fn();
      } catch (error) {
        return (error as { code?: unknown }).code;
      }
      return undefined;
    };
    expect(code(() => linear(stream, { x: Tensor.zeros(device, [2, 63], 'f32'), weight: matrix }))).toBe(
      'ERR_SHAPE_MISMATCH',
    );
    expect(code(() => linear(stream, { x: x.transpose(0, 1), weight: matrix }))).toBe('ERR_INVALID_ARGUMENT');
    expect(code(() => linear(stream, { x, weight: matrix, bias: Tensor.zeros(device, [9], 'f32') }))).toBe(
      'ERR_SHAPE_MISMATCH',
    );
    expect(code(() => linear(stream, { x, weight: matrix, residual: x }))).toBe('ERR_SHAPE_MISMATCH');
    expect(code(() => linear(stream, { x, weight: matrix, out: Tensor.zeros(device, [2, 9], 'f32') }))).toBe(
      'ERR_SHAPE_MISMATCH',
    );
    expect(code(() => linear(stream, { x: Tensor.zeros(device, [2, 64], 'i8') as never, weight: matrix }))).toBe(
      'ERR_UNSUPPORTED',
    );
    expect(code(() => linear(stream, { x: Tensor.zeros(other, [2, 64], 'f32'), weight: matrix }))).toBe(
      'ERR_INVALID_ARGUMENT',
    );
    expect(code(() => linear(other.defaultStream, { x: Tensor.zeros(other, [2, 64], 'f32'), weight: matrix }))).toBe(
      'ERR_INVALID_ARGUMENT',
    );
    expect(code(() => linear(stream, { x, weight: matrix, gate: 'relu' as never }))).toBe('ERR_INVALID_ARGUMENT');
    const residual = Tensor.zeros(device, [2, 4], 'f32');
    expect(code(() => linear(stream, { x, weight: matrix, gate: 'silu', residual }))).toBe('ERR_INVALID_ARGUMENT');
    expect(code(() => linear(stream, { x, weight: matrix, gate: 'silu', out: x }))).toBe('ERR_SHAPE_MISMATCH');
    const odd = PackedMatrix.fromTensor(stream, Tensor.zeros(device, [7, 64], 'f32'), 'q4_0');
    expect(code(() => linear(stream, { x, weight: odd, gate: 'silu' }))).toBe('ERR_INVALID_ARGUMENT');
    expect(code(() => linear(stream, { x, weight: matrix, precision: 'int4' as never }))).toBe('ERR_INVALID_ARGUMENT');
    const dense = PackedMatrix.fromTensor(stream, Tensor.zeros(device, [8, 64], 'f32'), 'f16');
    expect(code(() => linear(stream, { x, weight: dense, precision: 'int8' }))).toBe('ERR_UNSUPPORTED');
    matrix.dispose();
    matrix.dispose();
    expect(code(() => linear(stream, { x, weight: matrix }))).toBe('ERR_DISPOSED');
  });
});

describe('large outputs of linear', () => {
  it('are written past the caches, row for row what a few rows give, wherever they lie', async () => {
    const [rows, n, k] = [520, 1037, 64]; // more than 2 MiB
    const few = 3;
    await onEveryLinearCpu(async (device) => {
      const stream = device.defaultStream;
      using x = Tensor.from(device, randomNumbers(rows * k, { seed: 1 }), [rows, k], 'f32');
      using values = Tensor.from(device, randomNumbers(n * k, { seed: 2 }), [n, k], 'f32');
      using bias = Tensor.from(device, randomNumbers(n, { seed: 3 }), [n], 'f32');
      using wide = Tensor.empty(device, [rows, n + 40], 'f32');
      for (const format of ['q4_0', 'f32'] as const) {
        using weight = PackedMatrix.fromTensor(stream, values, format);
        // Row by row at a new place in its cache line; then a whole number of lines apart, at their beginning and not.
        using apart = linear(stream, { x, weight, bias });
        using aligned = wide.asStrided([rows, n], [1072, 1]);
        using shifted = wide.asStrided([rows, n], [1072, 1], 5);
        for (const first of [0, 255, rows - few]) {
          using part = linear(stream, { x: x.slice(0, first, first + few), weight, bias });
          expect(await apart.slice(0, first, first + few).readNumbers()).toEqual(await part.readNumbers());
        }
        for (const out of [aligned, shifted]) {
          linear(stream, { x, weight, bias, out });
          const [expected, given] = await Promise.all([apart.read(), out.read()]);
          expect(given.findIndex((value, i) => value !== expected[i])).toBe(-1);
        }
      }
    });
  });
});

describe('options of linear', () => {
  it('gates as siluMul does, and takes precision int8 for what it does anyway', async () => {
    using device = Device.cpu({ threads: 1 });
    const stream = device.defaultStream;
    const numbers = (rows: number, seed: number): Tensor<'f32'> =>
      Tensor.from(device, randomNumbers(rows * 64, { seed }), [rows, 64], 'f32');
    using x = numbers(3, 1);
    using weights = numbers(40, 2);
    for (const format of ['q4_0', 'f16'] as const) {
      using weight = PackedMatrix.fromTensor(stream, weights, format);
      using both = linear(stream, { x, weight });
      using apart = siluMul(stream, { fused: both });
      using gated = linear(stream, { x, weight, gate: 'silu' });
      expect(gated.shape).toEqual([3, 20]);
      expect(await gated.read()).toEqual(await apart.read());
    }
    using weight = PackedMatrix.fromTensor(stream, weights, 'q4_0');
    expect(await linear(stream, { x, weight, precision: 'int8' }).read()).toEqual(
      await linear(stream, { x, weight }).read(),
    );
  });

  it('packs nvfp4 with the factor of each source, and refuses factors elsewhere', async () => {
    using device = Device.cpu({ threads: 1 });
    const stream = device.defaultStream;
    // Scales 1 (0x38) and 2 (0x40); codes 1.5 (3) and -4 (14) by turns of 16 columns.
    const bytes = [0x38, 0x40, ...new Array<number>(16).fill(0xe3)];
    using data = Tensor.from(device, bytes, undefined, 'u8');
    const block = { data, format: 'nvfp4', columns: 32 } as const;
    using matrix = PackedMatrix.fromBlocks(stream, [block, { ...block, factor: 0.5 }]);
    using values = matrix.unpack(stream);
    const row = (factor: number): number[] => [
      ...new Array<number>(16).fill(1.5 * factor),
      ...new Array<number>(16).fill(-8 * factor),
    ];
    expect(await values.readNumbers()).toEqual([...row(1), ...row(0.5)]);
    const code = (options: object): unknown => {
      try {
        PackedMatrix.fromBlocks(stream, [{ ...block, ...options }]);
      } catch (error) {
        return (error as { code?: unknown }).code;
      }
      return undefined;
    };
    expect(code({ factor: Number.NaN })).toBe('ERR_INVALID_ARGUMENT');
    expect(code({ format: 'q4_0', factor: 1 })).toBe('ERR_INVALID_ARGUMENT');
    expect(code({ levels: new Float32Array(16) })).toBe('ERR_INVALID_ARGUMENT');
  });
});
