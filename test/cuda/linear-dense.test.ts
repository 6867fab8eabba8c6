// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { linear, PackedMatrix, Tensor } from '../../lib/index.js';
import { linearTests } from '../bodies/linear.js';
import { cudaDevices, describeOnGpu, inTurn } from '../support/cuda.js';
import { bestCpu } from '../support/devices.js';

describeOnGpu('over dense weights on the GPU', () => {
  const cpu = bestCpu();
  const next = inTurn(cudaDevices());
  linearTests({
    formats: ['f32', 'f16', 'bf16'],
    each: async (body) => {
      await body(cpu.device, `${cpu.name},`);
      await body(next().device, 'cuda,');
    },
    integers: false,
    repeats: 5,
  });

  it('takes no more rows of an odd length than a grid has blocks for', async () => {
    const { device } = next();
    using numbers = Tensor.full(device, [1, 3], 'f32', 1);
    using weight = PackedMatrix.fromTensor(device.defaultStream, numbers, 'f32');
    using x = Tensor.zeros(device, [4 * 65_535 + 1, 3], 'f32');
    linear(device.defaultStream, { x, weight }).dispose();
    await expect(device.defaultStream.synchronize()).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: expect.stringMatching(/up to 262140 rows.*262141/),
    });
  });
});
