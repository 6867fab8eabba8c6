// SPDX-License-Identifier: Apache-2.0
import type { CacheBatch } from '../../lib/index.js';
import type { LateBatch } from '../../lib/kv/late.js';

/** Sequences that a step of a model is for. Where only the device knows the places there is one. */
export function sequencesOf(batch: CacheBatch | LateBatch): number {
  return 'cases' in batch ? 1 : batch.queryLengths.length;
}
