// SPDX-License-Identifier: Apache-2.0
/** One operator measured beside onnxruntime-node's, in turns. */
import type { Stream } from '../../lib/index.js';
import { Child } from './child.js';
import { hasPeer, peers } from './peers.js';
import { median, spread } from './statistics.js';

/** The peer's process; undefined, and a line that says so, when it is not installed. */
export function startOnnxRuntime(threads: number): Child | undefined {
  if (!hasPeer('onnxruntime-node')) return undefined;
  return new Child([process.execPath, 'onnxruntime.mjs', String(threads)], peers);
}

/** Milliseconds per run of commands that `enqueue` puts on the stream, from JavaScript and back. */
async function time(stream: Stream, enqueue: () => void, runs: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < runs; i++) {
    enqueue();
    await stream.synchronize();
  }
  return (performance.now() - start) / runs;
}

export interface Comparison {
  /** Milliseconds, ours and theirs, of each pair. */
  ours: number[];
  theirs: number[];
}

/** Alternates between both sides; each turn lasts about `turnMilliseconds`. One turn of each is not counted. */
export async function compareInTurns(
  stream: Stream,
  enqueue: () => void,
  peer: Child | undefined,
  repeats: number,
  turnMilliseconds = 150,
): Promise<Comparison> {
  const result: Comparison = { ours: [], theirs: [] };
  const runsFor = (milliseconds: number): number => Math.max(1, Math.ceil(turnMilliseconds / milliseconds));
  const ourRuns = runsFor(await time(stream, enqueue, 1));
  const theirTime = async (runs: number): Promise<number> =>
    (await (peer as Child).ask<{ milliseconds: number }>({ op: 'time', runs })).milliseconds;
  const theirRuns = peer ? runsFor(await theirTime(1)) : 0;
  for (let round = -1; round < repeats; round++) {
    const ours = await time(stream, enqueue, ourRuns);
    const theirs = peer ? await theirTime(theirRuns) : Number.NaN;
    if (round < 0) continue;
    result.ours.push(ours);
    result.theirs.push(theirs);
  }
  return result;
}

/** "0.31 [0.30-0.33] | 1.2 [1.1-1.3] | 3.9 [3.6-4.1]": ours, theirs, and how many times faster, pair by pair. */
export function describeComparison({ ours, theirs }: Comparison): string {
  const ratios = theirs.map((milliseconds, i) => milliseconds / (ours[i] as number));
  const digits = median(ours) < 10 ? 3 : 1;
  return `${spread(ours, digits)} | ${spread(theirs, digits)} | ${spread(ratios, 2)}`;
}

/** Largest difference of two results, relative to the root mean square of the second. */
export function relativeDifference(ours: ArrayLike<number>, theirs: ArrayLike<number>): number {
  let largest = 0;
  let squares = 0;
  for (let i = 0; i < theirs.length; i++) {
    largest = Math.max(largest, Math.abs((ours[i] as number) - (theirs[i] as number)));
    squares += (theirs[i] as number) ** 2;
  }
  return largest / Math.sqrt(squares / theirs.length);
}
