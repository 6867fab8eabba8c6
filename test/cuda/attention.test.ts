// SPDX-License-Identifier: Apache-2.0
import { attentionEdges } from '../bodies/attention-edges.js';
import { attentionPlanTests } from '../bodies/attention-plan.js';
import { quantisedTests } from '../bodies/attention-quantised.js';
import { cascadeTests } from '../bodies/cascade.js';
import { kvCacheTests } from '../bodies/kvcache.js';
import { sequenceHistories, sequenceTests } from '../bodies/kvcache-sequences.js';
import { mergeStatesTests } from '../bodies/merge-states.js';
import { cudaDevice, describeOnGpu } from '../support/cuda.js';
import { referenceCpu } from '../support/devices.js';
import { runsFull } from '../support/grid.js';
import { announceSkip } from '../support/skip.js';

describeOnGpu('the KV cache and what attention promises, on the GPU', () => {
  const device = cudaDevice();
  const devices = [{ name: 'cuda', device }];
  // What a simulator can do in seconds.
  if (!runsFull) announceSkip('the larger cases of groups E, H, K and L on the GPU; PAGEWARP_FULL=1 runs all');
  const atMost = (work: number): number => (runsFull ? Number.POSITIVE_INFINITY : work);
  kvCacheTests(devices, atMost(40_000));
  sequenceTests(device);
  sequenceHistories(device, [1], 60);
  mergeStatesTests(devices, referenceCpu(), atMost(150_000));
  attentionEdges(devices, referenceCpu());
  attentionPlanTests(devices);
  quantisedTests(devices, referenceCpu(), atMost(1e6));
  cascadeTests(devices, atMost(2e6));
});
