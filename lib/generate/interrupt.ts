// SPDX-License-Identifier: Apache-2.0

/** Lets an AbortSignal end a wait at once. The listener is removed on dispose. */
export class Interrupt implements Disposable {
  readonly #signal: AbortSignal | undefined;
  readonly #aborted: Promise<never> | undefined;
  #listener: (() => void) | undefined;

  /** @throws the signal's reason when it is aborted already */
  constructor(signal: AbortSignal | undefined) {
    signal?.throwIfAborted();
    this.#signal = signal;
    if (!signal) return;
    this.#aborted = new Promise((_, reject) => {
      this.#listener = () => reject(signal.reason);
      signal.addEventListener('abort', this.#listener, { once: true });
    });
    this.#aborted.catch(() => {}); // reported by wait(), if anybody waits
  }

  /** Settles as `promise` does, or rejects with the signal's reason. */
  wait<T>(promise: Promise<T>): Promise<T> {
    return this.#aborted ? Promise.race([this.#aborted, promise]) : promise;
  }

  dispose(): void {
    if (this.#listener) this.#signal?.removeEventListener('abort', this.#listener);
    this.#listener = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
