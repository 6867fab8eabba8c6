// SPDX-License-Identifier: Apache-2.0
import { afterAll, describe, expect, it } from 'vitest';
import { Device, type DType, Tensor } from '../../lib/index.js';
import { codeOf } from '../support/errors.js';

const device = Device.cpu({ threads: 1 });
afterAll(() => device.dispose());

describe('Tensor', () => {
  it.each<[DType, number[]]>([
    ['f32', [0.5, -2, 3 * 2 ** 40]],
    ['f16', [0.5, -2, 65504]],
    ['bf16', [0.5, -2, 3]],
    ['i8', [-128, 0, 127]],
    ['u8', [0, 1, 255]],
    ['i32', [-(2 ** 31), 0, 2 ** 31 - 1]],
    ['i64', [-(2 ** 52), 0, 2 ** 52]],
  ])('brings %s there and back', async (dtype, values) => {
    using tensor = Tensor.from(device, values, undefined, dtype);
    expect(await tensor.readNumbers()).toEqual(values);
    using again = Tensor.from(device, await tensor.read(), [3, 1], dtype);
    expect(await again.readNumbers()).toEqual(values);
  });

  it('converts between every pair of floating types', async () => {
    for (const from of ['f32', 'f16', 'bf16'] as const) {
      for (const to of ['f32', 'f16', 'bf16'] as const) {
        using source = Tensor.from(device, [1, -0.25, 96], [3], from);
        using target = source.to(to);
        expect(target.dtype).toBe(to);
        expect(await target.readNumbers()).toEqual([1, -0.25, 96]);
      }
    }
  });

  it('makes views that share memory', async () => {
    using base = Tensor.from(device, [...Array(24).keys()], [2, 3, 4], 'i32');
    expect(await base.slice(2, 1, 3).readNumbers()).toEqual([1, 2, 5, 6, 9, 10, 13, 14, 17, 18, 21, 22]);
    expect(await base.select(1, 2).readNumbers()).toEqual([8, 9, 10, 11, 20, 21, 22, 23]);
    expect(await base.select(0, 1).transpose(0, 1).readNumbers()).toEqual([
      12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23,
    ]);
    expect(base.reshape(-1, 8).shape).toEqual([3, 8]);
    base.slice(2, 1, 3).select(0, 0).fill(-1);
    expect((await base.readNumbers()).slice(0, 8)).toEqual([0, -1, -1, 3, 4, -1, -1, 7]);
    base.select(2, 0).write([100, 101, 102, 103, 104, 105]);
    expect(await base.select(2, 0).readNumbers()).toEqual([100, 101, 102, 103, 104, 105]);
    expect(await base.asStrided([2], [-4], 4).readNumbers()).toEqual([101, 100]);
  });

  it('reads and writes empty tensors', async () => {
    using empty = Tensor.empty(device, [0, 5], 'f32');
    empty.fill(1);
    expect(await empty.read()).toHaveLength(0);
  });

  it('keeps memory alive for its views and frees it with the last one', async () => {
    await device.defaultStream.synchronize();
    const before = device.bytesInUse;
    const base = Tensor.full(device, [1024], 'f32', 3);
    const view = base.slice(0, 10, 12);
    base.dispose();
    expect(await view.readNumbers()).toEqual([3, 3]);
    expect(device.bytesInUse).toBe(before + 4096);
    view.dispose();
    view.dispose();
    await device.defaultStream.synchronize();
    expect(device.bytesInUse).toBe(before);
  });

  it('refuses bad input with a code and both values in the message', () => {
    using tensor = Tensor.zeros(device, [2, 3], 'f32');
    expect(codeOf(() => Tensor.empty(device, [], 'f32'))).toBe('ERR_INVALID_ARGUMENT');
    expect(codeOf(() => Tensor.empty(device, [1.5], 'f32'))).toBe('ERR_INVALID_ARGUMENT');
    expect(codeOf(() => Tensor.empty(device, [2 ** 40, 2 ** 40], 'f32'))).toBe('ERR_INVALID_ARGUMENT');
    expect(codeOf(() => Tensor.empty(device, [2 ** 45], 'f32'))).toBe('ERR_OUT_OF_MEMORY');
    expect(codeOf(() => Tensor.empty(device, [1], 'f64' as DType))).toBe('ERR_INVALID_ARGUMENT');
    expect(codeOf(() => tensor.write(new Float32Array(5)))).toBe('ERR_SHAPE_MISMATCH');
    expect(codeOf(() => tensor.write(new Int32Array(6) as unknown as Float32Array))).toBe('ERR_INVALID_ARGUMENT');
    expect(codeOf(() => tensor.slice(0, 1, 3))).toBe('ERR_INVALID_ARGUMENT');
    expect(codeOf(() => tensor.slice(2, 0, 1))).toBe('ERR_INVALID_ARGUMENT');
    expect(codeOf(() => tensor.asStrided([2], [4], 3))).toBe('ERR_INVALID_ARGUMENT');
    expect(codeOf(() => tensor.asStrided([2, 2], [2 ** 52, 2 ** 52]))).toBe('ERR_INVALID_ARGUMENT');
    expect(codeOf(() => tensor.transpose(0, 1).reshape(6))).toBe('ERR_INVALID_ARGUMENT');
    expect(() => tensor.reshape(4, 2)).toThrow(/\[4, 2\].*\[2, 3\]/);
    tensor.dispose();
    expect(codeOf(() => tensor.fill(1))).toBe('ERR_DISPOSED');
  });
});
