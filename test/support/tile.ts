// SPDX-License-Identifier: Apache-2.0
import { type RandomOptions, randomNumbers } from './random.js';

const blocks = new Map<string, Float32Array>();

/**
 * `count` numbers that repeat one random block of 65521, a prime, so that rows of usual lengths differ: millions of inputs at
 * the cost of a copy. Blocks are kept.
 */
export function tiledNumbers(count: number, options: RandomOptions): Float32Array {
  const name = JSON.stringify(options);
  const block = blocks.get(name) ?? randomNumbers(65521, options);
  blocks.set(name, block);
  const all = new Float32Array(count);
  for (let at = 0; at < count; at += block.length) all.set(block.subarray(0, Math.min(block.length, count - at)), at);
  return all;
}
