// SPDX-License-Identifier: Apache-2.0
import { checkObject, invalidArgument } from '../errors.js';
import type { PagedKvCache } from '../kv/cache.js';
import { cacheHeadDim, cacheType, checkKvLayer, type KvLayer, nativeKvLayer, poolOf } from '../kv/layer.js';
import { native } from '../native.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import type { Tensor } from '../tensor/tensor.js';
import { checkWritten } from '../tensor/written.js';
import { checkFloat, checkFloatOutput, checkShape, checkTensor } from './check.js';
import { checkRopeTable, pairingCode, type RopePairing } from './rope.js';

/** A layer of a {@link PagedKvCache}, or pools of the caller's own. */
export type KvSource = { cache: PagedKvCache; layer: number } | { kv: KvLayer };

/** The layer that `source` names, checked, on the stream's device. */
export function resolveKvLayer(source: KvSource, stream: Stream): KvLayer {
  if ('kv' in source) checkKvLayer(source.kv);
  else checkObject('cache', source.cache);
  const layer = 'kv' in source ? source.kv : source.cache.layer(source.layer);
  const { dtype } = poolOf(cacheType(layer));
  checkTensor('k pool', layer.k, stream, [dtype]);
  checkTensor('v pool', layer.v, stream, [dtype]);
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
 * Writes new tokens' keys and values into the cache, converting (to codes: quantising with one scale per token and head) on
 * the way. A slot outside the pool is skipped and reported at the stream's next synchronisation.
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function appendKv(stream: Stream, options: KvRowsOptions): void {
  const layer = checkRows(stream, options);
  checkPoolsWritten(layer);
  const { k, v, slots } = options;
  native().appendKv(stream.native, k.native, v.native, slots.native, ...nativeKvLayer(layer));
}

export type RopeAppendKvOptions = KvRowsOptions & {
  /** [rows, heads, headDim]; may be a view into a fused projection. Default: none, only keys are turned. */
  q?: Tensor<FloatDType>;
  /** Where the turned queries go. Default: in place. */
  qOut?: Tensor<FloatDType>;
  /** [rows, rotaryDim], from `ropeTable`. */
  table: Tensor<'f32'>;
  pairing: RopePairing;
};

/**
 * `rope` and `appendKv` in one command, bit for bit: turns queries, and writes turned keys and values into the cache. `k`
 * itself stays as it is.
 * @returns the turned queries: `q` itself unless `qOut` was given
 * @throws PagewarpError like {@link appendKv}
 */
export function ropeAppendKv(stream: Stream, options: RopeAppendKvOptions): Tensor<FloatDType> | undefined {
  const layer = checkRows(stream, options);
  checkPoolsWritten(layer);
  const { k, v, slots, q, table, pairing } = options;
  const qOut = (q && options.qOut) ?? q;
  const [rows, , headDim] = k.shape as [number, number, number];
  const code = pairingCode(pairing);
  checkRopeTable(stream, table, rows, headDim);
  if (!q && options.qOut) throw invalidArgument('qOut', 'given', 'absent without q');
  if (q && qOut !== undefined) {
    checkFloat('q', q, stream);
    checkShape('q', q, [rows, 'heads', headDim], 'queries have the rows and the head size of the keys');
    checkFloatOutput('qOut', qOut, stream);
    checkShape('qOut', qOut, q.shape, 'it must have the shape of q');
  }
  native().ropeAppendKv(
    stream.native,
    q?.native ?? null,
    qOut?.native ?? null,
    table.native,
    code,
    k.native,
    v.native,
    slots.native,
    ...nativeKvLayer(layer),
  );
  return qOut;
}

/**
 * Reads tokens back into `k` and `v`: for saving a sequence, and for tests. Rows with slot -1 become zero.
 * @throws PagewarpError like {@link appendKv}
 */
export function gatherKv(stream: Stream, options: KvRowsOptions): void {
  const layer = checkRows(stream, options);
  const { k, v, slots } = options;
  checkWritten('k', k);
  checkWritten('v', v);
  native().gatherKv(stream.native, k.native, v.native, slots.native, ...nativeKvLayer(layer));
}

function checkPoolsWritten({ k, v, kScale, vScale }: KvLayer): void {
  for (const [name, pool] of Object.entries({ 'k pool': k, 'v pool': v, kScale, vScale })) {
    if (pool) checkWritten(name, pool);
  }
}

function checkRows(stream: Stream, options: KvRowsOptions): KvLayer {
  checkObject('options', options);
  const layer = resolveKvLayer(options, stream);
  const { k, v, slots } = options;
  checkFloat('k', k, stream);
  checkFloat('v', v, stream);
  const kvHeads = layer.k.shape[2] as number;
  checkShape('k', k, ['rows', kvHeads, cacheHeadDim(layer)], 'one row per token, like the cache');
  checkShape('v', v, k.shape, 'the same rows as k');
  checkTensor('slots', slots, stream, ['i32', 'i64']);
  checkShape('slots', slots, [k.shape[0] as number], 'one slot per row');
  return layer;
}
