// SPDX-License-Identifier: Apache-2.0
import { PagewarpError } from '../errors.js';

/** Numbers of pieces are below this one, so that two of them make an exact float64. */
const limit = 2 ** 26;
const empty = -1;

/**
 * Ranks of pairs of pieces: a hash table with open addressing in typed arrays, a tenth of what a Map of as many strings takes, and
 * outside of JavaScript's heap.
 */
export class PairRanks {
  #pairs: Float64Array = new Float64Array(1024).fill(empty);
  #ranks: Int32Array = new Int32Array(1024);
  #count = 0;

  get size(): number {
    return this.#count;
  }

  /** Of a pair that is set twice, the later rank counts. @throws PagewarpError ERR_INVALID_MODEL for numbers of 2^26 and more */
  set(left: number, right: number, rank: number): void {
    if (left >= limit || right >= limit) {
      throw new PagewarpError('ERR_INVALID_MODEL', `a vocabulary may have ${limit} pieces at most`);
    }
    const at = this.#find(left, right);
    this.#ranks[at] = rank;
    if (this.#pairs[at] !== empty) return;
    this.#pairs[at] = left * limit + right;
    if (2 * ++this.#count > this.#pairs.length) this.#grow();
  }

  get(left: number, right: number): number | undefined {
    const at = this.#find(left, right);
    return this.#pairs[at] === empty ? undefined : this.#ranks[at];
  }

  /** Where the pair is, or would be. */
  #find(left: number, right: number): number {
    const pair = left * limit + right;
    const mask = this.#pairs.length - 1;
    const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    let at = (mixed ^ (mixed >>> 15)) & mask;
    while (this.#pairs[at] !== empty && this.#pairs[at] !== pair) at = (at + 1) & mask;
    return at;
  }

  #grow(): void {
    const [pairs, ranks] = [this.#pairs, this.#ranks];
    this.#pairs = new Float64Array(2 * pairs.length).fill(empty);
    this.#ranks = new Int32Array(2 * pairs.length);
    for (const [i, pair] of pairs.entries()) {
      if (pair === empty) continue;
      const at = this.#find(Math.floor(pair / limit), pair % limit);
      this.#pairs[at] = pair;
      this.#ranks[at] = ranks[i] as number;
    }
  }
}
