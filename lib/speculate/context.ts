// SPDX-License-Identifier: Apache-2.0

/** Follows a context that grows from call to call, for drafters that read each token once. */
export class ContextReader {
  #read = 0;
  #last = -1;

  /**
   * Calls `take` for each new token, in order, after `restart` when the context is another one than before.
   */
  update(context: ArrayLike<number>, take: (token: number, index: number) => void, restart: () => void): void {
    if (context.length < this.#read || (this.#read > 0 && context[this.#read - 1] !== this.#last)) {
      restart();
      this.reset();
    }
    for (; this.#read < context.length; this.#read++) take(context[this.#read] as number, this.#read);
    this.#last = this.#read > 0 ? (context[this.#read - 1] as number) : -1;
  }

  reset(): void {
    this.#read = 0;
    this.#last = -1;
  }
}
