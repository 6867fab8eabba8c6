// SPDX-License-Identifier: Apache-2.0
import { describe } from 'vitest';
import { attentionEdges } from '../bodies/attention-edges.js';
import { attentionPlanTests } from '../bodies/attention-plan.js';
import { quantisedTests } from '../bodies/attention-quantised.js';
import { cascadeTests } from '../bodies/cascade.js';
import { kvCacheTests } from '../bodies/kvcache.js';
import { sequenceHistories, sequenceTests } from '../bodies/kvcache-sequences.js';
import { mergeStatesTests } from '../bodies/merge-states.js';
import { cudaDevice, hasCuda } from '../support/cuda.js';
import { referenceCpu } from '../support/devices.js';
import { runsFull } from '../support/grid.js';

describe.skipIf(!hasCuda())('the KV cache and what attention promises, on the GPU', () => {
  const device = cudaDevice();
  const devices = [{ name: 'cuda', device }];
  kvCacheTests(devices);
  sequenceTests(device);
  sequenceHistories(device, [1], 60);
  mergeStatesTests(devices, referenceCpu());
  attentionEdges(devices, referenceCpu());
  attentionPlanTests(devices);
  quantisedTests(devices, referenceCpu(), runsFull ? Number.POSITIVE_INFINITY : 2e6);
  cascadeTests(devices, runsFull ? Number.POSITIVE_INFINITY : 4e6);
});
