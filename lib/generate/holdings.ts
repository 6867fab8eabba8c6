// SPDX-License-Identifier: Apache-2.0
import { withAll } from '../errors.js';
import type { TokenSequence } from '../model/sequence.js';
import { watchForLeak } from '../tensor/resource.js';
import type { ResolvedOptions } from './options.js';
import { type GenerateResult, Recorder } from './result.js';

/** Settles the promise of a generation's result. @internal */
export interface Settle {
  resolve: (result: GenerateResult) => void;
  reject: (error: unknown) => void;
}

/**
 * What a generation takes for the time that it runs: its place in the scheduler, pages of the cache, its sequence and drafter. It
 * is kept apart from the iterator that its consumer holds, and knows nothing of it, so that an iterator that was dropped without
 * being ended can be found by the garbage collector and everything given back in its place.
 * @internal
 */
export class Holdings {
  readonly recorder = new Recorder();
  readonly #options: ResolvedOptions;
  readonly #settle: Settle;
  readonly #resources: Disposable[] = [];
  #sequence: TokenSequence | undefined;
  #isOwnSequence = false;
  #lengthBefore = 0;
  #hasFailed = false;
  #hasEnded = false;

  constructor(options: ResolvedOptions, settle: Settle) {
    this.#options = options;
    this.#settle = settle;
  }

  /** Ends the generation when nobody can reach `iterator` any more. */
  follow(iterator: object): void {
    dropped.register(
      iterator,
      { holdings: this, warn: watchForLeak('the iterator of a generation', 'return()') },
      this,
    );
  }

  /** Takes something to be disposed of at the end, the last one first. */
  hold<R extends Disposable>(resource: R): R {
    this.#resources.push(resource);
    return resource;
  }

  /** @param isOwn made for this generation alone, and disposed of after it */
  claim(sequence: TokenSequence, isOwn: boolean): TokenSequence {
    sequence.claim();
    this.#sequence = sequence; // from here on ours to release
    this.#isOwnSequence = isOwn;
    this.#lengthBefore = sequence.length;
    return sequence;
  }

  /** After an error the caller's sequence is what it was. */
  fail(error: unknown): void {
    this.#hasFailed = true;
    this.#settle.reject(error);
    const sequence = this.#sequence;
    if (!sequence || sequence.isDisposed) return;
    sequence.release();
    sequence.truncate(this.#lengthBefore);
  }

  /**
   * Gives everything back, and settles the result. Harmless when repeated.
   * @throws whatever fails to be given back, unless the generation has failed already: a drafter may fail to forget
   */
  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    dropped.unregister(this);
    const { ownsDrafter, drafter } = this.#options;
    if (ownsDrafter && drafter) this.#resources.unshift(drafter);
    try {
      withAll(this.#resources.reverse(), (resource) => resource[Symbol.dispose]());
    } catch (error) {
      // Who iterates and who awaits the result are told of the same error: the first one.
      if (this.#hasFailed) return;
      this.fail(error);
      throw error;
    } finally {
      this.#sequence?.release();
      if (this.#isOwnSequence) this.#sequence?.dispose();
      this.#settle.resolve(this.recorder.result(this.#options.seed));
    }
  }
}

/** Iterators that may be dropped before they have ended. */
const dropped = new FinalizationRegistry<{ holdings: Holdings; warn: (() => void) | undefined }>(
  ({ holdings, warn }) => {
    warn?.();
    try {
      holdings.end();
    } catch (error) {
      process.emitWarning(error as Error); // a drafter's; there is nobody left to whom it could be thrown
    }
  },
);
