// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { type AttentionRecord, attentionCost, checkAttentionCase } from '../support/attention-cases.js';
import { cudaDevice, hasCuda } from '../support/cuda.js';
import { referenceCpu } from '../support/devices.js';

describe.skipIf(!hasCuda())('scratch', () => {
  const options = { devices: [{ name: 'cuda', device: cudaDevice() }], reference: referenceCpu(), referenceWork: 8e6 };
  const base = { seed: 1, kvHeads: 2, pageSize: 16 };
  for (const c of [
    { ...base, batch: 1, queries: 1, kv: 40, group: 1, headDim: 64 },
    { ...base, batch: 2, queries: 3, kv: 100, group: 4, headDim: 64, dtype: 'f32' as const, cache: 'f16' as const },
    { ...base, batch: 2, queries: 1, kv: 300, group: 4, headDim: 64, dtype: 'f16' as const, cache: 'f16' as const },
    { ...base, batch: 1, queries: 1, kv: 40, group: 1, headDim: 64, dtype: 'f16' as const, cache: 'f16' as const },
    { ...base, batch: 2, queries: 9, kv: 100, group: 4, headDim: 128, dtype: 'f16' as const, cache: 'f16' as const },
    { ...base, batch: 2, queries: 5, kv: 100, group: 4, headDim: 128, dtype: 'bf16' as const, cache: 'bf16' as const },
    { ...base, batch: 1, queries: 50, kv: 150, group: 4, headDim: 64, dtype: 'f16' as const, cache: 'f16' as const },
    { ...base, batch: 2, queries: 1, kv: 100, group: 4, headDim: 256, dtype: 'f16' as const, cache: 'f16' as const },
    { ...base, batch: 2, queries: 5, kv: 100, group: 4, headDim: 256, dtype: 'bf16' as const, cache: 'i8' as const },
    { ...base, batch: 2, queries: 1, kv: 300, group: 4, headDim: 128, dtype: 'bf16' as const, cache: 'i8' as const },
    { ...base, batch: 2, queries: 1, kv: 300, group: 4, headDim: 64, dtype: 'bf16' as const, cache: 'i8' as const },
    { ...base, batch: 2, queries: 20, kv: 90, group: 2, headDim: 80, dtype: 'f16' as const, cache: 'f16' as const },
  ])
    it(JSON.stringify(c), () => checkAttentionCase(c, 3, options));
});
