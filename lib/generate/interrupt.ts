// SPDX-License-Identifier: Apache-2.0

type End = (reason: unknown) => void;

/** Who waits on which signal, and its one listener for all of them: of more than ten Node says that they look like a leak. */
const audiences = new WeakMap<AbortSignal, { ends: Set<End>; listener: () => void }>();

function listen(signal: AbortSignal, end: End): void {
  let audience = audiences.get(signal);
  if (!audience) {
    const ends = new Set<End>();
    const listener = (): void => {
      for (const each of ends) each(signal.reason);
    };
    audience = { ends, listener };
    audiences.set(signal, audience);
    signal.addEventListener('abort', listener, { once: true });
  }
  audience.ends.add(end);
}

function leave(signal: AbortSignal, end: End): void {
  const audience = audiences.get(signal);
  if (!audience?.ends.delete(end) || audience.ends.size > 0) return;
  audiences.delete(signal);
  signal.removeEventListener('abort', audience.listener);
}

/** Lets AbortSignals end a wait at once. The listeners are removed on dispose. */
export class Interrupt implements Disposable {
  readonly #signals: readonly AbortSignal[];
  /** Ends each of the waits that are under way. Nothing of a wait is kept when it is over. */
  readonly #waiting = new Set<End>();
  readonly #end: End = (reason) => {
    for (const end of this.#waiting) end(reason);
  };

  /** @throws the reason of a signal that is aborted already */
  constructor(signals: readonly AbortSignal[]) {
    for (const signal of signals) signal.throwIfAborted();
    this.#signals = signals;
    for (const signal of signals) listen(signal, this.#end);
  }

  /** Settles as `promise` does, or rejects with an aborted signal's reason. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    const aborted = this.#signals.find((signal) => signal.aborted);
    if (aborted) {
      promise.catch(() => {}); // nobody waits for it any more
      throw aborted.reason;
    }
    let end!: End;
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
    for (const signal of this.#signals) leave(signal, this.#end);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
