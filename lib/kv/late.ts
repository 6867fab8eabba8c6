// SPDX-License-Identifier: Apache-2.0
import { gatherRows } from '../ops/embedding.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import type { CacheBatch } from './batch.js';
import type { KvSequence } from './sequence.js';

/** A chain that is being verified: the device will know how many of its tokens are accepted. What follows it can be enqueued already. */
export interface PendingChain {
  /** [1] */
  readonly accepted: Tensor<'i32'>;
  readonly drafted: number;
}

/** Where rows end that follow such a chain, and nothing else does. */
export interface LatePlace {
  readonly pending: PendingChain;
  /**
   * Tokens of the sequence if all of the chain is accepted. The sequence has room for them, or has been cut since, the number of
   * accepted tokens having become known.
   */
  readonly end: number;
}

/** A batch of which the device will know how far its sequence goes: one for each case, in order of what is accepted. */
export interface LateBatch {
  readonly cases: readonly CacheBatch[];
  readonly pending: PendingChain;
}

/** The last rows of a sequence, which follow a chain that is being verified. */
export function lateBatch(sequence: KvSequence, queryLength: number, { pending, end }: LatePlace): LateBatch {
  const cases = Array.from({ length: pending.drafted + 1 }, (_, accepted) => {
    const length = Math.min(sequence.length, end - (pending.drafted - accepted));
    return sequence.cache.batch([{ sequence, queryLength, length }]);
  });
  return { cases, pending };
}

/** Puts into `out` what holds in the case that the device will know. @param cases one row for each */
export function chooseCase(
  stream: Stream,
  cases: readonly ArrayLike<number>[],
  { accepted }: PendingChain,
  out: Tensor<'i32'>,
): void {
  const width = out.size;
  const all = new Int32Array(cases.length * width);
  for (const [i, values] of cases.entries()) all.set(values, i * width);
  using rows = Tensor.empty(stream.device, [cases.length, width], 'i32');
  rows.write(all, stream);
  using row = out.reshape(1, width);
  gatherRows(stream, { x: rows, indices: accepted, out: row });
}

/** [1]: a number that grows with what is accepted of the chain. @param least if nothing is */
export function lateNumber(stream: Stream, least: number, pending: PendingChain): Tensor<'i32'> {
  const out = Tensor.empty(stream.device, [1], 'i32');
  const cases = Array.from({ length: pending.drafted + 1 }, (_, accepted) => [least + accepted]);
  chooseCase(stream, cases, pending, out);
  return out;
}
