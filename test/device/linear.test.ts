// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { Device, linear, matrixFormats, PackedMatrix, Tensor } from '../../lib/index.js';
import { linearTests } from '../bodies/linear.js';
import { onEveryCpu } from '../support/isa.js';

linearTests({ formats: matrixFormats, each: onEveryCpu, integers: true, repeats: 200 });

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
    matrix.dispose();
    matrix.dispose();
    expect(code(() => linear(stream, { x, weight: matrix }))).toBe('ERR_DISPOSED');
  });
});
