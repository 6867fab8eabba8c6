// SPDX-License-Identifier: Apache-2.0
/** What the trials of group Q have in common, on chains and on trees. */
import { type CpuIsa, type SamplingOptions, type Stream, sample, Tensor } from '../../lib/index.js';
import { runsFull } from './grid.js';
import { availableIsas } from './isa.js';
import { announceSkip } from './skip.js';

export interface LosslessRun<T> {
  test: T;
  isa: CpuIsa;
  /** Trials. */
  count: number;
  drawsOnDevice: boolean;
}

/**
 * Where the cases run: all of them `most` times on the best instruction set, with drafts from the host; those marked "everywhere" also
 * `some` times with drafts from the device, and on the portable kernels. With PAGEWARP_FULL=1 everything `most` times everywhere.
 */
export function losslessRuns<T extends { everywhere?: boolean }>(
  cases: readonly T[],
  most: number,
  some: number,
): LosslessRun<T>[] {
  const isas = availableIsas();
  const best = isas.at(-1) as CpuIsa;
  if (!runsFull) {
    announceSkip(
      `losslessness: ${most} trials a case on ${best}, of cases marked "everywhere" ${some} elsewhere, with drafts from the device too; PAGEWARP_FULL=1 has ${most} of each`,
    );
  }
  return cases.flatMap((test) => {
    const isEverywhere = runsFull || test.everywhere;
    return isas.flatMap((isa) => {
      const isBest = isa === best;
      const runs: LosslessRun<T>[] = [];
      if (isBest || runsFull) runs.push({ test, isa, count: most, drawsOnDevice: false });
      if (isEverywhere && (isBest || runsFull || isa === 'portable')) {
        runs.push({ test, isa, count: runsFull ? most : some, drawsOnDevice: true });
      }
      return runs;
    });
  });
}

/** The seeds of some trials of a batch. */
export function seedsOf(trials: ArrayLike<number>): BigInt64Array {
  const words = new Int32Array(2 * trials.length); // low, high
  for (let i = 0; i < trials.length; i++) {
    words[2 * i] = trials[i] as number;
    words[2 * i + 1] = 2;
  }
  return new BigInt64Array(words.buffer);
}

/** The trials of a batch in which no drafted token was accepted, so that one token came. */
export function singlesOf(accepted: Int32Array): Int32Array {
  const found = new Int32Array(accepted.length);
  let count = 0;
  for (let trial = 0; trial < accepted.length; trial++) if (accepted[trial] === 0) found[count++] = trial;
  return found.subarray(0, count);
}

/**
 * Draws the next token of some trials plainly, with the seeds that verified them.
 * @param parameters [batch, 8], all rows alike
 * @param inputs [trials, vocabulary] logits, and histories
 */
export async function drawNext(
  stream: Stream,
  trials: Int32Array,
  at: number,
  parameters: Tensor<'f32'>,
  inputs: { logits: Tensor<'f32'> } & Pick<SamplingOptions, 'history'>,
): Promise<Int32Array> {
  const { device } = stream;
  const count = trials.length;
  using table = parameters.slice(0, 0, count);
  using seed = Tensor.from(device, seedsOf(trials), [count], 'i64');
  using offset = Tensor.full(device, [count], 'i32', at);
  const { ids } = sample(stream, { ...inputs, parameters: table, seed, offset });
  const drawn = ids.read(stream) as Promise<Int32Array>;
  ids.dispose();
  return await drawn;
}
