// SPDX-License-Identifier: Apache-2.0

/**
 * Finds stop strings in text that arrives in pieces. Text that might be the beginning of a stop string is held back until it
 * is known not to be, so that no part of a stop string is ever given out.
 */
export class StopMatcher {
  readonly #stops: readonly string[];
  #held = '';

  /** @param stops none of them empty */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /**
   * Takes the next piece. `text` is what is certain; `stop` the stop string that came first, after which nothing is to
   * follow. Of several that begin at one place, the longest that is complete counts.
   */
  push(piece: string): { text: string; stop?: string } {
    this.#held += piece;
    let at = Number.POSITIVE_INFINITY;
    let found: string | undefined;
    for (const stop of this.#stops) {
      const index = this.#held.indexOf(stop);
      if (index < 0 || index > at || (index === at && stop.length <= (found as string).length)) continue;
      at = index;
      found = stop;
    }
    if (found !== undefined) {
      const text = this.#held.slice(0, at);
      this.#held = '';
      return { text, stop: found };
    }
    const keep = this.#possibleStart();
    const text = this.#held.slice(0, this.#held.length - keep);
    this.#held = this.#held.slice(this.#held.length - keep);
    return { text };
  }

  /** The end: what was held back was no stop string. */
  flush(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }

  /** Length of the longest end of the held text that begins a stop string. */
  #possibleStart(): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, this.#held.length); length > longest; length--) {
        if (this.#held.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
