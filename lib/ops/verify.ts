// SPDX-License-Identifier: Apache-2.0
import { invalidArgument, shapeMismatch } from '../errors.js';
import { native } from '../native.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { checkNumber, checkShape, checkTensor } from './check.js';
import { checkLogits } from './sample.js';
import { checkParameters, type SamplingOptions, withSampling } from './sampling.js';

/** Where drafted tokens came from, which decides how likely a token had been to be drafted. */
export type DraftSource =
  /** Not by chance: prompt lookup, the argmax of a draft model, a user's guess. */
  | { kind: 'deterministic' }
  /** Drawn by {@link sample} from `logits`, [total drafted, vocabulary], with the request's own sampling parameters. */
  | {
      kind: 'sampled';
      logits: Tensor<FloatDType>;
      /** [requests, 8] from {@link packSampling}: how the drafter sampled, when it was not with the request's parameters. */
      parameters?: Tensor<'f32'>;
    };

/** Drafts whose lengths are on the device. */
export interface DraftIndptr {
  /** [requests + 1]: request b drafted tokens indptr[b] to indptr[b + 1]. */
  indptr: Tensor<'i32'>;
  /** No request drafted more than this. */
  maxLength: number;
}

export interface VerifyOptions extends SamplingOptions {
  /**
   * [total drafted + requests, vocabulary]: for each request, the target's logits after its last committed token, then after
   * each drafted token.
   */
  targetLogits: Tensor<FloatDType>;
  /** [total drafted], contiguous: the requests' drafts one after the other. A negative id ends its request's draft early. */
  draftTokens: Tensor<'i32'>;
  /** Drafted tokens per request. */
  draftLengths: readonly number[] | DraftIndptr;
  /** Default: deterministic. */
  draft?: DraftSource;
  /**
   * `rejection` (default): what is emitted is distributed exactly as plain sampling with the same parameters. `greedy`: the
   * same with every temperature 0, so the output is plain greedy decoding.
   */
  rule?: 'rejection' | 'greedy';
  /** [requests] positions of the first row of each request, to be advanced. */
  positions?: Tensor<'i32' | 'i64'>;
  /** Ask for the log-probabilities of the emitted tokens. */
  logprobs?: boolean;
}

/** Tensors on the device, so that the next step's commands can be enqueued without waiting for them. */
export interface VerifyResult {
  /** [requests]: drafted tokens that were accepted; one more token than that is emitted. */
  acceptedLengths: Tensor<'i32'>;
  /** [requests, longest draft + 1]: the accepted tokens, the token after them, then -1. */
  tokens: Tensor<'i32'>;
  /** [requests]: the last emitted token, input of the next step. -1 for a request with invalid logits or tokens. */
  lastTokens: Tensor<'i32'>;
  /** [requests]: `positions + acceptedLengths + 1`. With `positions`. */
  nextPositions?: Tensor<'i32' | 'i64'>;
  /** [requests, longest draft + 1]: log-softmax of the target's logits as given, at the emitted tokens. */
  logprobs?: Tensor<'f32'>;
}

/**
 * Verifies drafted tokens against the target model's logits: speculative sampling (Leviathan et al., "Fast inference from
 * transformers via speculative decoding", ICML 2023; Chen et al., "Accelerating large language model decoding with speculative
 * sampling", 2023) over a chain. The token x drafted from q is accepted with probability min(1, p(x) / q(x)); the first
 * rejected one is replaced by a draw from the residual relu(p - q); when all are accepted, one more is drawn from the next p.
 * p and q are the distributions that {@link sample} draws from with the same parameters; accepted tokens count as history.
 *
 * Two independent random numbers belong to each position (to accept, to draw), both different from that of plain sampling
 * at the same seed and offset, which therefore may have drawn the draft. Rows after a rejection are not read.
 *
 * Invalid logits and ids beyond the vocabulary surface as ERR_INVALID_LOGITS and ERR_INVALID_TOKEN at the next
 * synchronisation; their request accepts nothing and emits -1.
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function verify(stream: Stream, options: VerifyOptions): VerifyResult {
  const { targetLogits, draftTokens, draftLengths, draft = { kind: 'deterministic' }, rule = 'rejection' } = options;
  if (rule !== 'rejection' && rule !== 'greedy') throw invalidArgument('rule', rule, "'rejection' or 'greedy'");
  checkTensor('draftTokens', draftTokens, stream, ['i32']);
  checkShape('draftTokens', draftTokens, ['total'], 'the drafts one after the other');
  if (!draftTokens.isContiguous) throw invalidArgument('draftTokens', 'a strided view', 'contiguous');
  const total = draftTokens.shape[0] as number;
  const { requests, longest } = checkDraftLengths(draftLengths, total, stream);
  checkLogits('targetLogits', targetLogits, stream);
  const vocabulary = targetLogits.shape[1] as number;
  checkShape('targetLogits', targetLogits, [total + requests, vocabulary], 'a row per drafted token and per request');
  const { positions } = options;
  if (positions) {
    checkTensor('positions', positions, stream, ['i32', 'i64']);
    checkShape('positions', positions, [requests], 'one position per request');
  }
  const source = checkDraft(draft, total, vocabulary, requests, stream);

  return withSampling(stream, requests, options, (sampling) => {
    const { device } = stream;
    const indptr = 'indptr' in draftLengths ? draftLengths.indptr : uploadIndptr(draftLengths, stream);
    const result: VerifyResult = {
      acceptedLengths: Tensor.empty(device, [requests], 'i32'),
      tokens: Tensor.empty(device, [requests, longest + 1], 'i32'),
      lastTokens: Tensor.empty(device, [requests], 'i32'),
    };
    if (positions) result.nextPositions = Tensor.empty(device, [requests], positions.dtype);
    if (options.logprobs) result.logprobs = Tensor.empty(device, [requests, longest + 1], 'f32');
    native().verify(
      stream.native,
      targetLogits.native,
      draftTokens.native,
      indptr.native,
      source?.logits.native ?? null,
      source?.parameters?.native ?? null,
      rule === 'greedy',
      result.acceptedLengths.native,
      result.tokens.native,
      result.lastTokens.native,
      positions?.native ?? null,
      result.nextPositions?.native ?? null,
      result.logprobs?.native ?? null,
      ...sampling,
    );
    if (!('indptr' in draftLengths)) indptr.dispose();
    return result;
  });
}

function checkDraftLengths(
  lengths: readonly number[] | DraftIndptr,
  total: number,
  stream: Stream,
): { requests: number; longest: number } {
  if ('indptr' in lengths) {
    checkTensor('draftLengths.indptr', lengths.indptr, stream, ['i32']);
    checkShape('draftLengths.indptr', lengths.indptr, ['requests + 1'], 'where each draft begins, and the end');
    const requests = (lengths.indptr.shape[0] as number) - 1;
    if (requests < 0) throw shapeMismatch('draftLengths.indptr', [0], ['requests + 1'], 'it has at least one entry');
    checkLength('draftLengths.maxLength', lengths.maxLength);
    return { requests, longest: lengths.maxLength };
  }
  let sum = 0;
  let longest = 0;
  for (const length of lengths) {
    checkLength('draftLengths', length);
    sum += length;
    longest = Math.max(longest, length);
  }
  if (sum !== total) throw shapeMismatch('draftTokens', [total], [sum], 'draftLengths add up to that');
  return { requests: lengths.length, longest };
}

function checkLength(name: string, length: number): void {
  checkNumber(name, length, 'an integer of at least 0', (n) => Number.isInteger(n) && n >= 0);
}

function checkDraft(
  draft: DraftSource,
  total: number,
  vocabulary: number,
  requests: number,
  stream: Stream,
): Extract<DraftSource, { kind: 'sampled' }> | undefined {
  if (draft.kind === 'deterministic') return undefined;
  if (draft.kind !== 'sampled') {
    throw invalidArgument('draft.kind', (draft as { kind: unknown }).kind, "'deterministic' or 'sampled'");
  }
  checkLogits('draft.logits', draft.logits, stream);
  checkShape(
    'draft.logits',
    draft.logits,
    [total, vocabulary],
    'one row per drafted token, with the target vocabulary',
  );
  if (draft.parameters) checkParameters('draft.parameters', draft.parameters, requests, stream);
  return draft;
}

function uploadIndptr(lengths: readonly number[], stream: Stream): Tensor<'i32'> {
  const indptr = new Int32Array(lengths.length + 1);
  lengths.forEach((length, i) => {
    indptr[i + 1] = (indptr[i] as number) + length;
  });
  const tensor = Tensor.empty(stream.device, [indptr.length], 'i32');
  tensor.write(indptr, stream);
  return tensor;
}
