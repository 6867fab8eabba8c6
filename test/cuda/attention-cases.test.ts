// SPDX-License-Identifier: Apache-2.0
/**
 * The cases of attention that the CPU is judged by, on the GPU, and both results against each other: those that a simulator can
 * do, once as they are (f32 arithmetic where q is f32) and, where they leave the types open, once on the tensor cores.
 */
import { type AttentionRecord, describeAttentionRecord } from '../support/attention-cases.js';
import { cudaDevices, describeOnGpu, inTurn } from '../support/cuda.js';
import { bestCpu, referenceCpu } from '../support/devices.js';
import { readCases } from '../support/grid.js';

describeOnGpu('attention on the GPU', () => {
  const cpu = bestCpu();
  const next = inTurn(cudaDevices());
  const options = { devices: () => [cpu, next()], reference: referenceCpu(), referenceWork: 1e6 };
  for (const record of readCases<AttentionRecord>('attention')) {
    const mostSequences = record.group === 'A' ? 3 : 2;
    // Prefill has no small cases.
    const mostWork = record.group === 'B' ? 8e6 : 1e6;
    describeAttentionRecord(record, options, { mostWork, mostSequences });
    const leavesTypesOpen = !('dtype' in record.grid) && !('cache' in record.grid);
    if (!leavesTypesOpen) continue;
    for (const type of ['f16', 'bf16'] as const) {
      describeAttentionRecord(record, options, { mostWork: 4e6, mostSequences, type });
    }
  }
});
