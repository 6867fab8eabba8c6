// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { type DType, Tensor } from '../../lib/index.js';
import { cudaDevice, describeOnGpu } from '../support/cuda.js';

describeOnGpu('tensors on the GPU', () => {
  const device = cudaDevice();

  it('keep what is written, in every dtype', async () => {
    for (const dtype of ['f32', 'f16', 'bf16', 'i8', 'u8', 'i32', 'i64'] as const satisfies readonly DType[]) {
      const numbers = Array.from({ length: 24 }, (_, i) => i);
      using tensor = Tensor.from(device, numbers, [2, 3, 4], dtype);
      expect(await tensor.readNumbers()).toEqual(numbers);
      using row = tensor.select(0, 1);
      expect(await row.readNumbers()).toEqual(numbers.slice(12));
      using filled = Tensor.full(device, [5], dtype, dtype === 'i64' ? 0 : 3);
      expect(await filled.readNumbers()).toEqual(Array(5).fill(dtype === 'i64' ? 0 : 3));
    }
  });

  it('copy in the order of their stream', async () => {
    const stream = device.stream();
    using a = Tensor.zeros(device, [1000], 'i32');
    using b = Tensor.zeros(device, [1000], 'i32');
    await device.defaultStream.synchronize();
    for (let i = 1; i <= 20; i++) {
      a.fill(i, stream);
      b.copyFrom(a, stream);
    }
    expect(await b.read(stream)).toEqual(new Int32Array(1000).fill(20));
    stream.dispose();
  });
});
