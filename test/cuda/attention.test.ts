// SPDX-License-Identifier: Apache-2.0
import { attentionEdges } from '../bodies/attention-edges.js';
import { invarianceTests, poisonTests } from '../bodies/attention-isolation.js';
import { attentionPlanTests } from '../bodies/attention-plan.js';
import { quantisedTests } from '../bodies/attention-quantised.js';
import { attentionReplayTests } from '../bodies/attention-replay.js';
import { cascadeTests } from '../bodies/cascade.js';
import { kvCacheTests } from '../bodies/kvcache.js';
import { fusedCacheTests } from '../bodies/kvcache-fused.js';
import { sequenceHistories, sequenceTests } from '../bodies/kvcache-sequences.js';
import { mergeStatesTests } from '../bodies/merge-states.js';
import { cudaDevices, describeOnGpu, inTurn } from '../support/cuda.js';
import { bestCpu, type NamedDevice, referenceCpu } from '../support/devices.js';
import { runsFull, sampleSize } from '../support/grid.js';
import { announceSkip } from '../support/skip.js';

describeOnGpu('the KV cache and what attention promises, on the GPU', () => {
  const devices = cudaDevices();
  const next = inTurn(devices);
  const cpu = bestCpu();
  // Cases whose results are compared with the CPU's, too.
  const both = (): NamedDevice[] => [cpu, next()];
  // What a simulator can do in seconds.
  if (!runsFull) announceSkip('the larger cases of groups E, H, I, K and L on the GPU; PAGEWARP_FULL=1 runs all');
  const atMost = (work: number): number => (runsFull ? Number.POSITIVE_INFINITY : work * sampleSize);
  kvCacheTests(devices, both, atMost(40_000));
  fusedCacheTests([next()], atMost(40_000));
  for (const [i, { device }] of devices.entries()) {
    sequenceTests(device);
    sequenceHistories(device, [i + 1], 60);
  }
  mergeStatesTests(devices, both, referenceCpu(), atMost(150_000));
  attentionEdges(devices, referenceCpu());
  poisonTests(devices);
  invarianceTests([next()], atMost(1e6));
  attentionPlanTests(devices);
  attentionReplayTests(devices);
  quantisedTests(both, referenceCpu(), atMost(1e6));
  cascadeTests(devices, both, atMost(2e6));
});
