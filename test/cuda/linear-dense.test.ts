// SPDX-License-Identifier: Apache-2.0
import { linearTests } from '../bodies/linear.js';
import { cudaDevice, describeOnGpu } from '../support/cuda.js';

describeOnGpu('over dense weights on the GPU', () => {
  const device = cudaDevice();
  linearTests({
    formats: ['f32', 'f16', 'bf16'],
    each: (body) => body(device, 'cuda,'),
    integers: false,
    repeats: 5,
  });
});
