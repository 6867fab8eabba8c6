// SPDX-License-Identifier: Apache-2.0
/** How the rows of a step are computed and read. */
import type { LlamaRunner } from './llama.js';

/**
 * Keys per split of the attention of short steps. A fixed number, so that a row's result depends neither on the other rows of
 * its step nor on the threads: a verified token is computed as a decoded one would be.
 */
const keysPerSplit = 256;

/** Steps of at most this many rows split their attention so, and those with drafts. */
const largestExact = 65;

/** Rows of queries, times query heads per kv head, that attention packs into a tile of a prompt on the CPU: kCpuRowTile. */
const packedRows = 64;

/** Is the attention of a part of so many rows of a prompt computed many rows at a time (`packed` of a step's options)? */
export function isPacked(runner: LlamaRunner, promptRows: number, rows: number): boolean {
  if (runner.stream.device.kind === 'cuda') return rows > largestExact;
  return promptRows > largestExact && runner.chunk > largestExact;
}

/**
 * Rows that a prompt of so many can be cut after, and after any multiple of it, with no row's result depending on where it is
 * cut, bit for bit. A GPU does not promise that, and cuts anywhere.
 */
export function cutOf(runner: LlamaRunner, promptRows: number): number {
  const { heads, kvHeads } = runner.config;
  if (runner.stream.device.kind === 'cuda' || !isPacked(runner, promptRows, promptRows)) return 1;
  return Math.max(1, Math.floor((packedRows * kvHeads) / heads));
}

/**
 * How a prompt of so many rows is computed: keys and values of prompts of one kind are the same bit for bit where their tokens are,
 * on the CPU, with parts that begin at multiples of {@link cutOf}.
 */
export function kindOf(runner: LlamaRunner, promptRows: number): string {
  if (runner.stream.device.kind === 'cuda') return 'any';
  return isPacked(runner, promptRows, promptRows) ? 'packed' : 'exact';
}

/** Rows whose logits are wanted: so many, the last ones unless `picks` says which. */
export interface OutputRows {
  count: number;
  picks: readonly number[] | undefined;
}

export function outputRows(outputs: number | readonly number[], rows: number): OutputRows {
  if (typeof outputs === 'number') return { count: outputs, picks: undefined };
  const count = outputs.length;
  const areLast = outputs.every((row, i) => row === rows - count + i);
  return { count, picks: areLast ? undefined : outputs };
}

/** How a step's attention splits its keys. */
export function splitOf(rows: number, packed: readonly boolean[] | undefined): number | 'none' | (number | 'none')[] {
  if (!packed) return rows <= largestExact ? keysPerSplit : 'none';
  const splits = packed.map((isPacked) => (isPacked ? 'none' : keysPerSplit));
  return splits.every((split) => split === splits[0]) ? (splits[0] as number | 'none') : splits;
}
