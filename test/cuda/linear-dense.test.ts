// SPDX-License-Identifier: Apache-2.0
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
});
