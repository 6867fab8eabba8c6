// SPDX-License-Identifier: Apache-2.0
import type { Lane } from './lane.js';

/** How long a step waits for drafts: such a share of what it takes itself, and at least so many milliseconds. */
const share = 0.5;
const least = 2;

/**
 * Lets a step wait for generations that make a draft, so that those that draft come together, but not long, and not for those that
 * were too slow the last time.
 */
export class Patience implements Disposable {
  readonly #overdue: () => void;
  readonly #slow = new WeakSet<Lane>();
  #patience = least;
  #timer: NodeJS.Timeout | undefined;

  /** @param overdue called when there is no more waiting */
  constructor(overdue: () => void) {
    this.#overdue = overdue;
  }

  /** Is there a lane whose draft is worth waiting for? @param stepTime expected milliseconds of the step that waits */
  waitsFor(lanes: Iterable<Lane>, stepTime: () => number | undefined): boolean {
    let last = Number.NEGATIVE_INFINITY;
    for (const lane of lanes) {
      const { draftingSince } = lane;
      if (draftingSince === undefined || lane.hasEnded || this.#slow.has(lane)) continue;
      last = Math.max(last, draftingSince);
    }
    if (last < 0) return false; // most often nobody drafts
    this.#patience = Math.max(least, share * (stepTime() ?? 0));
    const left = last + this.#patience - performance.now();
    if (left <= 0) return false;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#overdue();
    }, Math.ceil(left));
    return true;
  }

  /** A lane has its draft, or does without. */
  drafted(lane: Lane): void {
    const { draftingSince } = lane;
    if (draftingSince === undefined) return;
    if (performance.now() - draftingSince > this.#patience) this.#slow.add(lane);
    else this.#slow.delete(lane);
  }

  dispose(): void {
    clearTimeout(this.#timer);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
