// SPDX-License-Identifier: Apache-2.0
import { checkInstance, checkObject, invalidArgument, shapeMismatch, unsupported } from '../errors.js';
import type { NativeKvLayer } from '../native.js';
import type { DType } from '../tensor/dtype.js';
import { Tensor } from '../tensor/tensor.js';

/** How a cache stores keys and values. `i8` has one f32 scale per token and kv head. */
export type CacheDType = 'f32' | 'f16' | 'bf16' | 'i8' | 'fp8e4m3' | 'fp8e5m2' | 'i4';

/** pw_kv_type */
const codes: Record<CacheDType, number> = { f32: 0, f16: 1, bf16: 2, i8: 3, fp8e4m3: 4, fp8e5m2: 5, i4: 6 };
const stored = ['f32', 'f16', 'bf16', 'i8'] as const;
export type StoredCacheDType = (typeof stored)[number];

/** @throws PagewarpError ERR_INVALID_ARGUMENT for no cache type at all, ERR_UNSUPPORTED for one that no backend stores yet */
export function checkCacheDType(dtype: CacheDType, name = 'dtype'): StoredCacheDType {
  if (!Object.hasOwn(codes, dtype)) throw invalidArgument(name, dtype, `one of ${Object.keys(codes).join(', ')}`);
  if (!(stored as readonly string[]).includes(dtype)) throw unsupported(`a KV cache of ${dtype}`, stored.join(', '));
  return dtype as StoredCacheDType;
}

/**
 * One layer's pools. Strides are free but for the last dimension, which is contiguous: NHD and HND are stride patterns, and
 * keys and values may differ.
 */
export interface KvLayer {
  /** [pages, pageSize, kvHeads, headDim] f32, f16, bf16 or i8. */
  k: Tensor;
  /** Same shape and dtype. */
  v: Tensor;
  /** [pages, pageSize, kvHeads], with i8: key = code * scale. */
  kScale?: Tensor<'f32'> | undefined;
  vScale?: Tensor<'f32'> | undefined;
}

/** @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT */
export function checkKvLayer(layer: KvLayer): void {
  checkObject('kv', layer);
  const { k, v, kScale, vScale } = layer;
  checkInstance('k pool', k, Tensor);
  checkInstance('v pool', v, Tensor);
  if (k.rank !== 4) throw shapeMismatch('k', k.shape, ['pages', 'pageSize', 'kvHeads', 'headDim'], 'a pool of pages');
  if (v.rank !== 4 || v.shape.some((n, d) => n !== k.shape[d])) {
    throw shapeMismatch('v', v.shape, k.shape, 'the pools of keys and values have one shape');
  }
  checkCacheDType(k.dtype as CacheDType);
  if (v.dtype !== k.dtype) throw invalidArgument('dtype of v', v.dtype, `${k.dtype}, like k`);
  for (const [name, pool] of [
    ['k', k],
    ['v', v],
  ] as const) {
    if (pool.strides[3] !== 1)
      throw invalidArgument(name, `strides [${pool.strides.join(', ')}]`, 'contiguous in its last dimension');
  }
  if ((kScale !== undefined) !== (k.dtype === 'i8') || (vScale !== undefined) !== (k.dtype === 'i8')) {
    throw invalidArgument('scales', kScale || vScale ? 'given' : 'missing', 'given for i8 and only for i8');
  }
  for (const [name, scale] of [
    ['kScale', kScale],
    ['vScale', vScale],
  ] as const) {
    if (scale === undefined) continue;
    const shape = k.shape.slice(0, 3);
    if (scale.rank !== 3 || scale.shape.some((n, d) => n !== shape[d])) {
      throw shapeMismatch(name, scale.shape, shape, 'one scale per token and kv head');
    }
    if ((scale.dtype as DType) !== 'f32') throw unsupported(`${name} of dtype ${scale.dtype}`, 'f32');
  }
}

/** The layer as native functions take it. */
export function nativeKvLayer(layer: KvLayer): NativeKvLayer {
  return [
    codes[layer.k.dtype as StoredCacheDType],
    layer.k.native,
    layer.v.native,
    layer.kScale?.native ?? null,
    layer.vScale?.native ?? null,
  ];
}
