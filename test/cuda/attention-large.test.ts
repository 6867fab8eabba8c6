// SPDX-License-Identifier: Apache-2.0
/** Group J on the GPU: offsets of more than 32 bits. */
import { attentionInLargeCache } from '../bodies/attention-edges.js';
import { cudaDevice, describeOnGpu, isSimulated } from '../support/cuda.js';

// The small models have 1 GiB. The driver looks when it is first called, and nothing has called it in this process.
if (isSimulated) process.env['GPUSIM_DEVICE'] = 'a100';

describeOnGpu('the KV cache on a GPU', () => {
  const device = cudaDevice();
  attentionInLargeCache([{ name: device.name, device }]);
});
