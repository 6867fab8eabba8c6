// SPDX-License-Identifier: Apache-2.0

import { checkObject, invalidArgument, unsupported } from '../errors.js';
import { native } from '../native.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { checkInteger, checkShape, checkTensor } from './check.js';
import { checkLogits } from './sample.js';
import { type SamplingOptions, withSampling } from './sampling.js';

export interface CandidateOptions extends SamplingOptions {
  /** [rows, vocabulary]; one request per row. */
  logits: Tensor<FloatDType>;
  /** Candidates per row, 1 to 64. */
  count: number;
  /**
   * `top`: the most probable ones, in order; a deterministic draft. `independent`: draws, possibly the same token several
   * times. `distinct`: draws without replacement, in order (the Gumbel top-k trick; Kool et al., ICML 2019).
   */
  kind: 'top' | 'independent' | 'distinct';
  /**
   * [rows]: rows with the same seed and offset, such as the nodes of one depth of a tree, draw independently when their
   * branches differ; from 0 to 2^24. Default 0.
   */
  branches?: Tensor<'i32'>;
  /**
   * With `distinct`: also return the falling keys of the Gumbel top-k trick, relative to the row's own log-probability. A
   * tensor [rows] says what the first key of each row is: the row's own key in a stochastic beam search.
   */
  keys?: boolean | Tensor<'f32'>;
}

export interface CandidateResult {
  /** [rows, count] token ids, -1 beyond the support and in rows with invalid logits. */
  ids: Tensor<'i32'>;
  /** [rows, count]: log q of the candidates under the distribution that they were drawn from; -Infinity with id -1. */
  logprobs: Tensor<'f32'>;
  /** [rows, count]. With `keys`. */
  keys?: Tensor<'f32'>;
}

/** pw_candidate_kind */
const kinds = { top: 0, independent: 1, distinct: 2 } as const;

/**
 * Draws several candidates per row, the children of a node of a draft tree, from the distribution of {@link sample}. The first
 * of `independent` and `distinct` candidates of branch 0 is the token that `sample` draws.
 *
 * Invalid rows as in {@link sample}.
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function drawCandidates(stream: Stream, options: CandidateOptions): CandidateResult {
  checkObject('options', options);
  const { logits, count, kind, branches, keys = false } = options;
  if (!Object.hasOwn(kinds, kind)) throw invalidArgument('kind', kind, "'top', 'independent' or 'distinct'");
  checkInteger('count', count, 1, 64);
  checkLogits('logits', logits, stream);
  const rows = logits.shape[0] as number;
  if (branches) {
    checkTensor('branches', branches, stream, ['i32']);
    checkShape('branches', branches, [rows], 'one branch per row');
  }
  if (keys && kind !== 'distinct') throw unsupported(`keys of ${kind} candidates`, 'keys of distinct candidates');
  if (keys instanceof Tensor) {
    checkTensor('keys', keys, stream, ['f32']);
    checkShape('keys', keys, [rows], 'the first key of each row');
  }
  return withSampling(stream, rows, options, (sampling) => {
    const { device } = stream;
    const result: CandidateResult = {
      ids: Tensor.empty(device, [rows, count], 'i32'),
      logprobs: Tensor.empty(device, [rows, count], 'f32'),
    };
    if (keys) result.keys = Tensor.empty(device, [rows, count], 'f32');
    native().drawCandidates(
      stream.native,
      logits.native,
      kinds[kind],
      branches?.native ?? null,
      result.ids.native,
      result.logprobs.native,
      keys instanceof Tensor ? keys.native : null,
      result.keys?.native ?? null,
      ...sampling,
    );
    return result;
  });
}
