// SPDX-License-Identifier: Apache-2.0
/** Attention: split keys and their merge, row tiles, caches of all types, a prefix that is read once, parts that are joined. */
import {
  attention,
  type FloatDType,
  mergeStates,
  planAttention,
  type StoredCacheDType,
  Tensor,
} from '../../lib/index.js';
import { cacheRowBytes } from '../../lib/kv/layer.js';
import { AttentionBench, type AttentionCase, makeInputs } from '../../test/support/attention.js';
import { isCodeType } from '../../test/support/cache-codes.js';
import { prefixPageTable } from '../../test/support/prefix.js';
import { headDim, heads, type KernelCase, keep, kvHeads, numbers, prepared, running } from './kernel.js';

/** Queries of 16 bits: of the cache's type, f16 over codes. */
export function attentionCase(
  name: string,
  { batch, queries, kv }: { batch: number; queries: number; kv: number },
  cache: StoredCacheDType = 'f16',
): KernelCase {
  const dtype: FloatDType = cache === 'bf16' ? 'bf16' : 'f16';
  const parameters: AttentionCase = {
    ...{ seed: 1, batch, queries, kv, heads, kvHeads, headDim, pageSize: 16 },
    ...{ cache, dtype },
  };
  const visible = queries * (kv - queries) + (queries * (queries + 1)) / 2;
  return {
    name: `attention ${name} over ${cache}, ${batch} x ${queries} rows, ${kv} keys`,
    bytes: batch * (2 * kv * kvHeads * cacheRowBytes(cache, headDim) + 2 * 2 * queries * heads * headDim),
    operations: 4 * batch * heads * headDim * visible,
    // Codes are multiplied in bf16.
    tolerance: cache === 'bf16' || isCodeType(cache) ? 0.1 : 0.02,
    prepare: (device) =>
      prepared((owned) => {
        const bench = keep(owned, new AttentionBench(device, makeInputs(parameters, 2 ** 30)));
        return { enqueue: () => bench.enqueue(), result: async () => (await bench.run()).out };
      }),
  };
}

/** A row each of `readers` sequences that share a prefix and have `unique` keys of their own. */
export function prefixCase(readers: number, shared: number, unique: number): KernelCase {
  const keys = shared + readers * unique;
  return {
    name: `attention over a shared prefix, ${readers} rows, ${shared} + ${unique} keys`,
    bytes: 2 * (2 * keys * kvHeads * headDim + 2 * readers * heads * headDim),
    operations: 4 * readers * heads * headDim * (shared + unique),
    tolerance: 0.02,
    prepare: (device) =>
      prepared((owned) => {
        const pageTable = prefixPageTable({ readers, shared, unique, pageSize: 16, kvHeads, headDim }, 1);
        const pool = [pageTable.pages, pageTable.pageSize, kvHeads, headDim];
        const k = keep(owned, numbers(device, pool, 'f16', 13));
        const v = keep(owned, numbers(device, pool, 'f16', 14));
        const q = keep(owned, numbers(device, [readers, heads, headDim], 'f16', 15));
        const out = keep(owned, Tensor.empty(device, [readers, heads, headDim], 'f16'));
        const queryLengths = new Array<number>(readers).fill(1);
        const plan = keep(owned, planAttention({ queryLengths, pageTable, heads, sharedPrefix: shared, device }));
        const enqueue = (): void => void attention(device.defaultStream, { q, kv: { k, v }, plan, out, lse: false });
        return running(enqueue, out);
      }),
  };
}

export function mergeCase(parts: number, rows: number): KernelCase {
  const row = heads * headDim;
  return {
    name: `mergeStates f16, ${parts} parts of ${rows} rows`,
    bytes: rows * (2 * (parts + 1) * row + 4 * (parts + 1) * heads),
    operations: 0,
    tolerance: 0.02,
    prepare: (device) =>
      prepared((owned) => {
        const outs = keep(owned, numbers(device, [parts, rows, heads, headDim], 'f16', 16));
        const lses = keep(owned, numbers(device, [parts, rows, heads], 'f32', 17)) as Tensor<'f32'>;
        const out = keep(owned, Tensor.empty(device, [rows, heads, headDim], 'f16'));
        const lse = keep(owned, Tensor.empty(device, [rows, heads], 'f32'));
        const enqueue = (): void => void mergeStates(device.defaultStream, { outs, lses, out, lse });
        return running(enqueue, out);
      }),
  };
}
