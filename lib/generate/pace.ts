// SPDX-License-Identifier: Apache-2.0

/** Milliseconds of steps that are enqueued ahead, so that the device has work while JavaScript is busy; and most steps. */
const aheadTime = 2;
const mostAhead = 8;
/** Steps that take less than this, in milliseconds, arrive several at once: only their sum means something. */
const countable = 1;
/** Share of the newest interval in the running mean. */
const freshness = 0.12;

/** How fast plain steps come. */
export class Pace {
  #last = performance.now();
  #recent: number | undefined;
  readonly #intervals: number[] = [];

  /** A token has arrived. */
  tick(): void {
    const now = performance.now();
    const interval = now - this.#last;
    this.#last = now;
    // Nothing was enqueued ahead of the first, which says little.
    const steady = this.steps > 1 ? (this.#recent ?? interval) : interval;
    this.#recent = steady + freshness * (interval - steady);
    this.#intervals.push(interval);
  }

  get steps(): number {
    return this.#intervals.length;
  }

  /** Steps worth enqueuing beyond the one that is waited for: more of the quick ones, and as few as possible to be in vain. */
  get ahead(): number {
    return this.#recent === undefined ? 1 : Math.min(mostAhead, Math.max(1, Math.ceil(aheadTime / this.#recent)));
  }

  /** The median interval, in milliseconds, or the mean of short ones; the first counts only if it is the only one. */
  get perStep(): number {
    const steady = this.#intervals.slice(this.steps > 1 ? 1 : 0).sort((a, b) => a - b);
    const mean = steady.reduce((sum, interval) => sum + interval, 0) / Math.max(1, steady.length);
    return mean < countable ? mean : (steady[steady.length >> 1] as number);
  }
}
