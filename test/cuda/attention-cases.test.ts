// SPDX-License-Identifier: Apache-2.0
/**
 * The cases of attention that the CPU is judged by, on the GPU: those that a simulator can do, once as they are (f32
 * arithmetic where q is f32) and, where they leave the types open, once on the tensor cores.
 */
import { type AttentionRecord, describeAttentionRecord } from '../support/attention-cases.js';
import { cudaDevice, describeOnGpu } from '../support/cuda.js';
import { referenceCpu } from '../support/devices.js';
import { readCases } from '../support/grid.js';

describeOnGpu('attention on the GPU', () => {
  const options = { devices: [{ name: 'cuda', device: cudaDevice() }], reference: referenceCpu(), referenceWork: 1e6 };
  for (const record of readCases<AttentionRecord>('attention')) {
    describeAttentionRecord(record, options, { mostWork: 1e6 });
    const leavesTypesOpen = !('dtype' in record.grid) && !('cache' in record.grid);
    if (!leavesTypesOpen) continue;
    for (const type of ['f16', 'bf16'] as const) describeAttentionRecord(record, options, { mostWork: 4e6, type });
  }
});
