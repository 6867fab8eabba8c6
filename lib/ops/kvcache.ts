// SPDX-License-Identifier: Apache-2.0
import { checkObject } from '../errors.js';
import type { PagedKvCache } from '../kv/cache.js';
import { checkKvLayer, type KvLayer, nativeKvLayer } from '../kv/layer.js';
import { native } from '../native.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import type { Tensor } from '../tensor/tensor.js';
import { checkFloat, checkShape, checkTensor } from './check.js';

/** A layer of a {@link PagedKvCache}, or pools of the caller's own. */
export type KvSource = { cache: PagedKvCache; layer: number } | { kv: KvLayer };

/** The layer that `source` names, checked, on the stream's device. */
export function resolveKvLayer(source: KvSource, stream: Stream): KvLayer {
  if ('kv' in source) checkKvLayer(source.kv);
  else checkObject('cache', source.cache);
  const layer = 'kv' in source ? source.kv : source.cache.layer(source.layer);
  checkTensor('k pool', layer.k, stream, ['f32', 'f16', 'bf16', 'i8']);
  checkTensor('v pool', layer.v, stream, ['f32', 'f16', 'bf16', 'i8']);
  return layer;
}

export type KvRowsOptions = KvSource & {
  /** [rows, kvHeads, headDim]; may be a view into a fused projection. */
  k: Tensor<FloatDType>;
  /** Same shape. */
  v: Tensor<FloatDType>;
  /** [rows]: page * pageSize + offset of each row, -1 for none. */
  slots: Tensor<'i32' | 'i64'>;
};

/**
 * Writes new tokens' keys and values into the cache, converting (for `i8`: quantising with one scale per token and head) on
 * the way. A slot outside the pool is skipped and reported at the stream's next synchronisation.
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function appendKv(stream: Stream, options: KvRowsOptions): void {
  const layer = checkRows(stream, options);
  const { k, v, slots } = options;
  native().appendKv(stream.native, k.native, v.native, slots.native, ...nativeKvLayer(layer));
}

/**
 * Reads tokens back into `k` and `v`: for saving a sequence, and for tests. Rows with slot -1 become zero.
 * @throws PagewarpError like {@link appendKv}
 */
export function gatherKv(stream: Stream, options: KvRowsOptions): void {
  const layer = checkRows(stream, options);
  const { k, v, slots } = options;
  native().gatherKv(stream.native, k.native, v.native, slots.native, ...nativeKvLayer(layer));
}

function checkRows(stream: Stream, options: KvRowsOptions): KvLayer {
  checkObject('options', options);
  const layer = resolveKvLayer(options, stream);
  const { k, v, slots } = options;
  checkFloat('k', k, stream);
  checkFloat('v', v, stream);
  const [, , kvHeads, headDim] = layer.k.shape as [number, number, number, number];
  checkShape('k', k, ['rows', kvHeads, headDim], 'one row per token, like the cache');
  checkShape('v', v, k.shape, 'the same rows as k');
  checkTensor('slots', slots, stream, ['i32', 'i64']);
  checkShape('slots', slots, [k.shape[0] as number], 'one slot per row');
  return layer;
}
