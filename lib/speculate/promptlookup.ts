// SPDX-License-Identifier: Apache-2.0
import { checkObject } from '../errors.js';
import { checkInteger, checkNumber } from '../ops/check.js';
import type { Draft, Drafter } from './drafter.js';

export interface PromptLookupOptions {
  /** Longest suffix that is looked up. Default 4. */
  maxNgram?: number;
  /** Shortest. Default 2. */
  minNgram?: number;
  /** Most tokens that are drafted at once. Default 8. */
  maxDraft?: number;
}

/**
 * Prompt lookup decoding (Saxena, 2023; the same idea as LLMA: Yang et al., "Inference with reference", 2023): what followed
 * the last few tokens when they occurred before is what will follow now. The longest suffix that has occurred decides, and
 * its most recent occurrence. Strong where output repeats input: summaries, edits, code, retrieval.
 *
 * The index is incremental: each token costs one hash entry per n-gram length, whatever the context's length.
 * @throws PagewarpError ERR_INVALID_ARGUMENT
 */
export function promptLookup(options: PromptLookupOptions = {}): Drafter {
  checkObject('options', options);
  const { maxNgram = 4, minNgram = 2, maxDraft = 8 } = options;
  checkInteger('minNgram', minNgram, 1);
  checkNumber(
    'maxNgram',
    maxNgram,
    'an integer from minNgram to 64',
    (n) => Number.isInteger(n) && n >= minNgram && n <= 64,
  );
  checkInteger('maxDraft', maxDraft, 1);
  return new PromptLookup(minNgram, maxNgram, maxDraft);
}

class PromptLookup implements Drafter {
  readonly #minNgram: number;
  readonly #maxNgram: number;
  readonly #maxDraft: number;
  /** Per n-gram length: hash of an n-gram to the position after its most recent occurrence. Hits are compared in full. */
  readonly #ends: Map<number, number>[];
  #indexed = 0; // n-grams that end at or before this position are in the index
  #lastIndexed = -1; // the token before that position

  constructor(minNgram: number, maxNgram: number, maxDraft: number) {
    this.#minNgram = minNgram;
    this.#maxNgram = maxNgram;
    this.#maxDraft = maxDraft;
    this.#ends = Array.from({ length: maxNgram - minNgram + 1 }, () => new Map());
  }

  draft(context: ArrayLike<number>, maxTokens: number): Draft {
    this.#index(context);
    const length = Math.min(maxTokens, this.#maxDraft);
    const start = length > 0 ? this.#find(context) : undefined;
    if (start === undefined) return { tokens: [] };
    // Beyond the end of the context the copy goes on with what it has copied: a period repeats.
    const period = context.length - start;
    return { tokens: Array.from({ length }, (_, i) => context[start + (i % period)] as number) };
  }

  observe(): void {}

  reset(): void {
    for (const map of this.#ends) map.clear();
    this.#indexed = 0;
    this.#lastIndexed = -1;
  }

  dispose(): void {
    this.reset();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Adds the n-grams that something follows: all that end before the context's end. */
  #index(context: ArrayLike<number>): void {
    const replaced =
      context.length < this.#indexed || (this.#indexed > 0 && context[this.#indexed - 1] !== this.#lastIndexed);
    if (replaced) this.reset();
    for (let end = this.#indexed + 1; end < context.length; end++) {
      this.#visitSuffixes(context, end, (ends, hash) => {
        ends.set(hash, end);
      });
      this.#indexed = end;
      this.#lastIndexed = context[end - 1] as number;
    }
  }

  /** The position after the most recent earlier occurrence of the longest suffix that has one. */
  #find(context: ArrayLike<number>): number | undefined {
    let found: number | undefined;
    this.#visitSuffixes(context, context.length, (ends, hash, n) => {
      const end = ends.get(hash);
      if (end !== undefined && sameTokens(context, end - n, context.length - n, n)) found = end;
    });
    return found;
  }

  /** Calls `visit` with the map and the hash of each n-gram that ends at `end`, the shortest first. */
  #visitSuffixes(
    context: ArrayLike<number>,
    end: number,
    visit: (ends: Map<number, number>, hash: number, n: number) => void,
  ): void {
    let hash = 0;
    for (let n = 1; n <= Math.min(this.#maxNgram, end); n++) {
      hash = Math.imul(hash ^ (context[end - n] as number), 0x01000193) ^ (hash >>> 15);
      const ends = this.#ends[n - this.#minNgram];
      if (ends) visit(ends, hash, n);
    }
  }
}

function sameTokens(context: ArrayLike<number>, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (context[a + i] !== context[b + i]) return false;
  return true;
}
