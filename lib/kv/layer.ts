// SPDX-License-Identifier: Apache-2.0
import { checkInstance, checkObject, invalidArgument, shapeMismatch, unsupported } from '../errors.js';
import type { NativeKvLayer } from '../native.js';
import type { DType } from '../tensor/dtype.js';
import { Tensor } from '../tensor/tensor.js';

/**
 * How a cache stores keys and values. `i8`, `fp8e4m3` and `i4` are codes with one f32 scale per token and kv head, the
 * largest magnitude of the row divided by that of the codes: 127, 448 or 7.
 */
export type CacheDType = 'f32' | 'f16' | 'bf16' | 'i8' | 'fp8e4m3' | 'fp8e5m2' | 'i4';

/** pw_kv_type */
const codes: Record<CacheDType, number> = { f32: 0, f16: 1, bf16: 2, i8: 3, fp8e4m3: 4, fp8e5m2: 5, i4: 6 };

/** Cache types that backends store. */
export type StoredCacheDType = 'f32' | 'f16' | 'bf16' | 'i8' | 'fp8e4m3' | 'i4';
/** Element types of pools. */
export type PoolDType = 'f32' | 'f16' | 'bf16' | 'i8' | 'u8';

/** What a cache type is stored in. */
interface Pool {
  /** Of the tensor. */
  dtype: PoolDType;
  /** Of a cache element, and cache elements in an element of the tensor. */
  bits: number;
  packed: number;
  /** There are scales. */
  scaled: boolean;
}

const pools: Record<StoredCacheDType, Pool> = {
  f32: { dtype: 'f32', bits: 32, packed: 1, scaled: false },
  f16: { dtype: 'f16', bits: 16, packed: 1, scaled: false },
  bf16: { dtype: 'bf16', bits: 16, packed: 1, scaled: false },
  i8: { dtype: 'i8', bits: 8, packed: 1, scaled: true },
  fp8e4m3: { dtype: 'u8', bits: 8, packed: 1, scaled: true },
  i4: { dtype: 'u8', bits: 4, packed: 2, scaled: true },
};

/** @throws PagewarpError ERR_INVALID_ARGUMENT for no cache type at all, ERR_UNSUPPORTED for one that no backend stores yet */
export function checkCacheDType(dtype: CacheDType, name = 'dtype'): StoredCacheDType {
  if (!Object.hasOwn(codes, dtype)) throw invalidArgument(name, dtype, `one of ${storedCacheDTypes}`);
  if (!isStored(dtype)) throw unsupported(`a KV cache of ${dtype}`, storedCacheDTypes);
  return dtype;
}

/** The types that backends store, in words. */
export const storedCacheDTypes: string = Object.keys(pools).join(', ');

export function isStored(dtype: CacheDType): dtype is StoredCacheDType {
  return Object.hasOwn(pools, dtype);
}

/** The tensors that a cache type is stored in. */
export function poolOf(dtype: StoredCacheDType): Pool {
  return pools[dtype];
}

/** Bytes of one token's keys, or values, of one kv head. */
export function cacheRowBytes(dtype: StoredCacheDType, headDim: number): number {
  const { bits, scaled } = poolOf(dtype);
  return (headDim * bits) / 8 + (scaled ? 4 : 0);
}

/**
 * One layer's pools. Strides are free but for the last dimension, which is contiguous: NHD and HND are stride patterns, and
 * keys and values may differ.
 */
export interface KvLayer {
  /** How elements are stored. Default: the dtype of `k`; needed where that is u8. */
  type?: StoredCacheDType;
  /**
   * [pages, pageSize, kvHeads, headDim] f32, f16, bf16, i8 or, for `fp8e4m3`, u8; for `i4` u8 [..., headDim / 2], an even
   * element in the low half of a byte and the next in the high half, both in two's complement.
   */
  k: Tensor;
  /** Same shape and dtype. */
  v: Tensor;
  /** [pages, pageSize, kvHeads], with codes: key = code * scale. */
  kScale?: Tensor<'f32'> | undefined;
  vScale?: Tensor<'f32'> | undefined;
}

/** @throws PagewarpError ERR_INVALID_ARGUMENT, ERR_UNSUPPORTED for u8 pools without `type`, as for {@link checkCacheDType} */
export function cacheType({ type, k }: KvLayer): StoredCacheDType {
  if (type === undefined && k.dtype === 'u8') throw invalidArgument('type', type, "'fp8e4m3' or 'i4' with u8 pools");
  return checkCacheDType(type ?? (k.dtype as CacheDType), type === undefined ? 'dtype of k' : 'type');
}

/** Of keys and values, whatever their pools' elements hold. */
export function cacheHeadDim(layer: KvLayer): number {
  return (layer.k.shape[3] as number) * poolOf(cacheType(layer)).packed;
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
  const type = cacheType(layer);
  const { dtype, scaled } = poolOf(type);
  for (const [name, pool] of [
    ['k', k],
    ['v', v],
  ] as const) {
    if (pool.dtype !== dtype) throw invalidArgument(`dtype of ${name}`, pool.dtype, `${dtype}, for a cache of ${type}`);
    if (pool.strides[3] !== 1)
      throw invalidArgument(name, `strides [${pool.strides.join(', ')}]`, 'contiguous in its last dimension');
  }
  if ((kScale !== undefined) !== scaled || (vScale !== undefined) !== scaled) {
    const given = kScale || vScale ? 'given' : 'missing';
    throw invalidArgument('scales', given, `${scaled ? 'given' : 'absent'} for a cache of ${type}`);
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
    codes[cacheType(layer)],
    layer.k.native,
    layer.v.native,
    layer.kScale?.native ?? null,
    layer.vScale?.native ?? null,
  ];
}
