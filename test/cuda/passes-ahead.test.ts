// SPDX-License-Identifier: Apache-2.0
import { passesAheadTests } from '../bodies/passes-ahead.js';
import { cudaDevice, describeOnGpu } from '../support/cuda.js';
import { runsFull } from '../support/grid.js';
import { announceSkip } from '../support/skip.js';

describeOnGpu('on the GPU', () => {
  if (!runsFull)
    announceSkip('passes ahead on the simulated GPU: 14 of 40 tokens, one of three seeds, one of four ends');
  const device = cudaDevice();
  const all = { tokens: 40, seeds: [1, 2, 3], ends: [1, 2, 5, 9] };
  passesAheadTests({ device: () => device, ...(runsFull ? all : { tokens: 14, seeds: [1], ends: [5] }) });
});
