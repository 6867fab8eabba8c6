// SPDX-License-Identifier: Apache-2.0

/** Lets AbortSignals end a wait at once. The listeners are removed on dispose. */
export class Interrupt implements Disposable {
  readonly #signals: readonly AbortSignal[];
  /** Ends each of the waits that are under way. Nothing of a wait is kept when it is over. */
  readonly #waiting = new Set<(reason: unknown) => void>();
  readonly #listener: (event: Event) => void;

  /** @throws the reason of a signal that is aborted already */
  constructor(signals: readonly AbortSignal[]) {
    for (const signal of signals) signal.throwIfAborted();
    this.#signals = signals;
    this.#listener = ({ target }) => {
      for (const end of this.#waiting) end((target as AbortSignal).reason);
    };
    for (const signal of signals) signal.addEventListener('abort', this.#listener, { once: true });
  }

  /** Settles as `promise` does, or rejects with an aborted signal's reason. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    const aborted = this.#signals.find((signal) => signal.aborted);
    if (aborted) {
      promise.catch(() => {}); // nobody waits for it any more
      throw aborted.reason;
    }
    let end!: (reason: unknown) => void;
    try {
      return await new Promise<T>((resolve, reject) => {
        end = reject;
        this.#waiting.add(end);
        promise.then(resolve, reject);
      });
    } finally {
      this.#waiting.delete(end);
    }
  }

  dispose(): void {
    for (const signal of this.#signals) signal.removeEventListener('abort', this.#listener);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
