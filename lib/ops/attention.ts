// SPDX-License-Identifier: Apache-2.0
import { checkInstance, checkObject, invalidArgument, PagewarpError, unsupported } from '../errors.js';
import { cacheHeadDim, type KvLayer, nativeKvLayer } from '../kv/layer.js';
import { native } from '../native.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { AttentionPlan } from './attentionplan.js';
import { checkFloat, checkFloatOutput, checkNumber, checkOutput, checkShape, checkTensor } from './check.js';
import { type KvSource, resolveKvLayer } from './kvcache.js';
import { requireSupport } from './supports.js';

export type AttentionOptions<D extends FloatDType = FloatDType> = KvSource & {
  /**
   * [rows, heads, headDim]; may be a view into a fused projection. In a capture there may be more rows than the plan has, for
   * the plans of later replays; rows beyond a plan's own give zeros and an lse of -Infinity.
   */
  q: Tensor<D>;
  plan: AttentionPlan;
  /** [rows, heads, headDim]. Default: a new tensor of q's dtype. */
  out?: Tensor<FloatDType>;
  /** [rows, heads]. Default: a new tensor; `false`: not wanted. */
  lse?: Tensor<'f32'> | false;
  /** Factor on q . k. Default 1 / sqrt(headDim). */
  scale?: number;
  /** logit = softCap * tanh(logit / softCap) (Gemma 2). */
  softCap?: number;
  /** [heads]: logit -= slope * distance (ALiBi; Press et al., 2022). */
  alibiSlopes?: Tensor<'f32'>;
  /**
   * [heads]: a learned logit that takes part in the denominator and has no value (gpt-oss). It is part of the lse: of
   * partial results that are to be merged, exactly one may have it.
   */
  sinks?: Tensor<'f32'>;
  /** At least `plan.workspaceBytes`; for replays, as much as the largest plan. Default: memory of the device's own. */
  workspace?: Tensor;
};

/**
 * Paged flash attention over a ragged batch: out = softmax(scale * q . k + mask) . v for each query row over its sequence's
 * keys, any number of query heads sharing a kv head. A row that sees no key gives zeros and an lse of -Infinity. What lies in
 * unused slots and in other pages never matters, NaN included.
 * (FlashAttention; Dao et al., 2022. Flash-Decoding; Dao et al., 2023.)
 * @returns `out`, and `lse` [rows, heads]: the natural logarithm of the sum of the exponentials, undefined if not wanted
 * @throws PagewarpError ERR_STALE_PLAN for a plan made for other shapes, another cache or sequences that have changed since;
 *   ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function attention(
  stream: Stream,
  options: AttentionOptions,
): { out: Tensor<FloatDType>; lse: Tensor<'f32'> | undefined } {
  checkObject('options', options);
  const { q, plan, softCap = 0, alibiSlopes, sinks, workspace } = options;
  const layer = resolveKvLayer(options, stream);
  checkFloat('q', q, stream);
  checkPlan(plan, options, layer, q, stream);
  const [, heads, headDim] = q.shape as [number, number, number];
  requireSupport(stream, 'attention', { headDim });
  const scale = options.scale ?? 1 / Math.sqrt(headDim);
  checkNumber('scale', scale, 'a finite number', () => true);
  checkNumber('softCap', softCap, '0 (none) or more', (n) => n >= 0);
  for (const [name, perHead] of [
    ['alibiSlopes', alibiSlopes],
    ['sinks', sinks],
  ] as const) {
    if (!perHead) continue;
    checkTensor(name, perHead, stream, ['f32']);
    checkShape(name, perHead, [heads], 'one per query head');
  }
  if (alibiSlopes && plan.hasWideTrees) throw unsupported('ALiBi with trees of more than 64 nodes', 'smaller trees');
  if (workspace) checkWorkspace(workspace, plan, stream);
  const out = checkedOut(stream, options.out, q.shape, q.dtype);
  const lse = checkedLse(stream, options.lse, q.shape.slice(0, 2));
  stream.takes(plan, q.shape[0] as number);
  native().attention(
    stream.native,
    plan.native,
    q.native,
    out.native,
    lse?.native ?? null,
    alibiSlopes?.native ?? null,
    sinks?.native ?? null,
    workspace?.native ?? null,
    scale,
    softCap,
    ...nativeKvLayer(layer),
  );
  return { out, lse };
}

export interface MergeStatesOptions {
  /** [parts, rows, heads, headDim]: results of `attention` over disjoint keys. */
  outs: Tensor<FloatDType>;
  /** [parts, rows, heads] */
  lses: Tensor<'f32'>;
  /** [rows, heads, headDim]. Default: a new tensor of the parts' dtype. */
  out?: Tensor<FloatDType>;
  /** [rows, heads]. Default: a new tensor; `false`: not wanted. */
  lse?: Tensor<'f32'> | false;
}

/**
 * Joins partial attention results over disjoint sets of keys: shared prefixes (cascade inference), splits between devices.
 * A part whose lse is -Infinity is not looked at; where all are, the result is zero and -Infinity.
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function mergeStates(
  stream: Stream,
  options: MergeStatesOptions,
): { out: Tensor<FloatDType>; lse: Tensor<'f32'> | undefined } {
  checkObject('options', options);
  const { outs, lses } = options;
  checkFloat('outs', outs, stream);
  checkShape('outs', outs, ['parts', 'rows', 'heads', 'headDim'], 'partial results stacked along the first dimension');
  checkTensor('lses', lses, stream, ['f32']);
  checkShape('lses', lses, outs.shape.slice(0, 3), 'one lse per part, row and head');
  const out = checkedOut(stream, options.out, outs.shape.slice(1), outs.dtype);
  const lse = checkedLse(stream, options.lse, outs.shape.slice(1, 3));
  native().mergeStates(stream.native, outs.native, lses.native, out.native, lse?.native ?? null);
  return { out, lse };
}

function checkPlan(plan: AttentionPlan, source: KvSource, layer: KvLayer, q: Tensor, stream: Stream): void {
  checkInstance('plan', plan, AttentionPlan);
  const table = plan.pageTable;
  plan.requireFresh();
  if (plan.batch && !('kv' in source) && plan.batch.cache !== source.cache) throw stalePlan('another cache');
  const [pages, pageSize, kvHeads] = layer.k.shape as [number, number, number];
  const headDim = cacheHeadDim(layer);
  const cacheIs = { pages, pageSize, kvHeads, headDim };
  for (const name of ['pages', 'pageSize', 'kvHeads', 'headDim'] as const) {
    if (table[name] !== cacheIs[name]) throw stalePlan(`a cache with ${name} ${table[name]}, not ${cacheIs[name]}`);
  }
  checkShape('q', q, ['rows', 'heads', headDim], 'queries of the head dimension of the cache');
  const rows = q.shape[0] as number;
  if (stream.isCapturing ? rows < plan.rows : rows !== plan.rows) throw stalePlan(`${plan.rows} rows, not ${rows}`);
  if (q.shape[1] !== plan.heads) throw stalePlan(`${plan.heads} heads, not ${q.shape[1]}`);
}

function stalePlan(madeFor: string): PagewarpError {
  return new PagewarpError('ERR_STALE_PLAN', `the plan was made for ${madeFor}`);
}

function checkWorkspace(workspace: Tensor, plan: AttentionPlan, stream: Stream): void {
  checkTensor('workspace', workspace, stream, ['u8', 'f32']);
  const bytes = workspace.size * (workspace.dtype === 'f32' ? 4 : 1);
  if (!workspace.isContiguous) throw invalidArgument('workspace', 'a strided view', 'contiguous');
  if (bytes < plan.workspaceBytes) {
    throw invalidArgument('workspace', `${bytes} bytes`, `at least the plan's ${plan.workspaceBytes} bytes`);
  }
}

function checkedOut(
  stream: Stream,
  out: Tensor<FloatDType> | undefined,
  shape: readonly number[],
  dtype: FloatDType,
): Tensor<FloatDType> {
  if (!out) return Tensor.empty(stream.device, shape, dtype);
  checkFloatOutput('out', out, stream);
  checkShape('out', out, shape, 'one output per query row');
  return out;
}

function checkedLse(
  stream: Stream,
  lse: Tensor<'f32'> | false | undefined,
  shape: readonly number[],
): Tensor<'f32'> | undefined {
  if (lse === false) return undefined;
  if (!lse) return Tensor.empty(stream.device, shape, 'f32');
  checkOutput('lse', lse, stream, ['f32']);
  checkShape('lse', lse, shape, 'one value per query row and head');
  return lse;
}
