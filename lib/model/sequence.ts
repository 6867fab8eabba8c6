// SPDX-License-Identifier: Apache-2.0
import { invalidArgument, PagewarpError } from '../errors.js';
import type { KvSequence } from '../kv/sequence.js';

/**
 * A text in a model's cache: tokens, and the keys and values of those that have been computed. Generating from a sequence
 * appends to it; forks share what they have in common, so that a long prompt is computed once for many continuations.
 */
export class TokenSequence implements Disposable {
  /** @internal */
  readonly kv: KvSequence;
  readonly #tokens: number[];
  #busy = false;

  /** @internal Use {@link LanguageModel.createSequence}. */
  constructor(kv: KvSequence, tokens: readonly number[] = []) {
    this.kv = kv;
    this.#tokens = [...tokens];
  }

  /** Every token so far, prompt and output. */
  get tokens(): readonly number[] {
    return this.#tokens;
  }

  get length(): number {
    return this.#tokens.length;
  }

  /** Tokens whose keys and values are in the cache. */
  get cachedLength(): number {
    return Math.min(this.kv.length, this.#tokens.length);
  }

  get isDisposed(): boolean {
    return this.kv.isDisposed;
  }

  /**
   * A sequence with the same tokens, which costs no memory until the two differ.
   * @throws PagewarpError ERR_INVALID_ARGUMENT while a generation appends to this one, ERR_DISPOSED
   */
  fork(): TokenSequence {
    this.#requireIdle();
    const kv = this.kv.fork();
    if (kv.length > this.#tokens.length) kv.truncate(this.#tokens.length);
    return new TokenSequence(kv, this.#tokens);
  }

  /** Forgets the tokens from position `length` on. @throws PagewarpError ERR_INVALID_ARGUMENT, ERR_DISPOSED */
  truncate(length: number): void {
    this.#requireIdle();
    if (!Number.isInteger(length) || length < 0 || length > this.#tokens.length) {
      throw invalidArgument('length', length, `an integer from 0 to the sequence's length, ${this.#tokens.length}`);
    }
    this.#tokens.length = length;
    this.settle();
  }

  /** Gives the cache's pages back. Harmless when repeated. A generation that is under way ends with ERR_DISPOSED. */
  dispose(): void {
    this.kv.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Appends tokens that are not computed yet. @internal */
  append(tokens: Iterable<number>): void {
    for (const token of tokens) this.#tokens.push(token);
  }

  /**
   * Drops keys and values of tokens that are no longer, or never became, part of the text.
   * @param computed and of those from this position on
   * @internal
   */
  settle(computed: number = this.#tokens.length): void {
    const length = Math.min(computed, this.#tokens.length);
    if (!this.kv.isDisposed && !this.kv.cache.isDisposed && this.kv.length > length) this.kv.truncate(length);
  }

  /** Claims the sequence for one generation at a time. @internal */
  claim(): void {
    this.#requireIdle();
    this.#busy = true;
  }

  /** @internal */
  release(): void {
    this.#busy = false;
    this.settle();
  }

  #requireIdle(): void {
    this.kv.requireAlive();
    if (this.#busy) {
      throw new PagewarpError(
        'ERR_INVALID_ARGUMENT',
        'the sequence is in use by a generation that has not ended; fork it before, or wait',
      );
    }
  }
}
