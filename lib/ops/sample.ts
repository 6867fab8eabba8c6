// SPDX-License-Identifier: Apache-2.0
import { checkObject, invalidArgument } from '../errors.js';
import { native } from '../native.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { checkFloat, checkInteger, checkOutput, checkShape } from './check.js';
import { maxVocabulary, type SamplingOptions, withSampling } from './sampling.js';

export interface SampleOptions extends SamplingOptions {
  /** [rows, vocabulary]; one request per row. */
  logits: Tensor<FloatDType>;
  /** Ask for log-probabilities: of the drawn token, and of this many most probable tokens (0 to 1024). */
  logprobs?: number;
  /** [rows]: where the ids go. Default: a new i32 tensor. */
  out?: Tensor<'i32' | 'i64'>;
}

export interface SampleResult {
  /** [rows] token ids; -1 in rows with invalid logits. */
  ids: Tensor<'i32' | 'i64'>;
  /**
   * [rows]: log-softmax of the logits as given, before penalties and temperature, at the drawn token. With `logprobs`.
   */
  logprobs?: Tensor<'f32'>;
  /** [rows, n]: the n most probable tokens in order; -1 beyond the finite logits. With `logprobs` above 0. */
  topIds?: Tensor<'i32'>;
  /** [rows, n]: their log-probabilities. */
  topLogprobs?: Tensor<'f32'>;
}

/**
 * Draws one token per row. See {@link SamplingOptions} for the parameters and the order in which they apply; requests of a
 * batch may differ in all of them. A request's token depends on its logits, parameters, seed and offset, not on its batch,
 * on the number of threads or on the layout of the call.
 *
 * A row with a NaN, with +inf, or without any finite value gives -1 and ERR_INVALID_LOGITS at the next synchronisation; a
 * history with an id beyond the vocabulary, ERR_INVALID_TOKEN.
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function sample(stream: Stream, options: SampleOptions): SampleResult {
  checkObject('options', options);
  const { logits, logprobs: wanted } = options;
  checkLogits('logits', logits, stream);
  const rows = logits.shape[0] as number;
  if (wanted !== undefined) {
    checkInteger('logprobs', wanted, 0, 1024);
  }
  checkIds(options.out, rows, stream);
  return withSampling(stream, rows, options, (sampling) => {
    const { device } = stream;
    const result: SampleResult = { ids: options.out ?? Tensor.empty(device, [rows], 'i32') };
    if (wanted !== undefined) result.logprobs = Tensor.empty(device, [rows], 'f32');
    if (wanted) {
      result.topIds = Tensor.empty(device, [rows, wanted], 'i32');
      result.topLogprobs = Tensor.empty(device, [rows, wanted], 'f32');
    }
    native().sample(
      stream.native,
      logits.native,
      result.ids.native,
      result.logprobs?.native ?? null,
      result.topIds?.native ?? null,
      result.topLogprobs?.native ?? null,
      ...sampling,
    );
    return result;
  });
}

export interface ArgmaxOptions {
  /** [rows, vocabulary]. */
  logits: Tensor<FloatDType>;
  /** [rows]. Default: a new i32 tensor. */
  out?: Tensor<'i32' | 'i64'>;
}

/**
 * The most probable token of each row, the lowest id among equals. Invalid rows as in {@link sample}.
 * @returns `out`
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function argmax(stream: Stream, options: ArgmaxOptions): Tensor<'i32' | 'i64'> {
  checkObject('options', options);
  const { logits } = options;
  checkLogits('logits', logits, stream);
  const rows = logits.shape[0] as number;
  checkIds(options.out, rows, stream);
  const out = options.out ?? Tensor.empty(stream.device, [rows], 'i32');
  native().argmax(stream.native, logits.native, out.native);
  return out;
}

/** [rows, vocabulary], floating, with a vocabulary that ids can name. */
export function checkLogits(name: string, logits: Tensor, stream: Stream): void {
  checkFloat(name, logits, stream);
  checkShape(name, logits, ['rows', 'vocabulary'], 'one row of logits per token to draw');
  const vocabulary = logits.shape[1] as number;
  if (vocabulary < 1 || vocabulary > maxVocabulary) {
    throw invalidArgument(`vocabulary size of ${name}`, vocabulary, `from 1 to ${maxVocabulary}`);
  }
}

function checkIds(out: Tensor | undefined, rows: number, stream: Stream): void {
  if (!out) return;
  checkOutput('out', out, stream, ['i32', 'i64']);
  checkShape('out', out, [rows], 'one id per row of logits');
}
