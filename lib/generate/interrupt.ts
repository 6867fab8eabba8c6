// SPDX-License-Identifier: Apache-2.0

/** Lets AbortSignals end a wait at once. The listeners are removed on dispose. */
export class Interrupt implements Disposable {
  readonly #signals: readonly AbortSignal[];
  readonly #aborted: Promise<never>;
  readonly #listener: (event: Event) => void;

  /** @throws the reason of a signal that is aborted already */
  constructor(signals: readonly AbortSignal[]) {
    for (const signal of signals) signal.throwIfAborted();
    this.#signals = signals;
    let reject!: (reason: unknown) => void;
    this.#aborted = new Promise((_, fail) => {
      reject = fail;
    });
    this.#aborted.catch(() => {}); // reported by wait(), if anybody waits
    this.#listener = ({ target }) => reject((target as AbortSignal).reason);
    for (const signal of signals) signal.addEventListener('abort', this.#listener, { once: true });
  }

  /** Settles as `promise` does, or rejects with an aborted signal's reason. */
  wait<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([this.#aborted, promise]);
  }

  dispose(): void {
    for (const signal of this.#signals) signal.removeEventListener('abort', this.#listener);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
