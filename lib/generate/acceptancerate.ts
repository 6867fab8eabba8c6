// SPDX-License-Identifier: Apache-2.0

/** The chance before anything was seen, and so many outcomes that it weighs as much as: the first few mean little by themselves. */
const guess = 0.7;
const guessWeight = 4;
/** Share of the newest outcome, once there have been many. */
const freshness = 0.05;
/** The least that is believed. */
const least = 0.05;

/** The chance that a level of a draft has an accepted token when the one above it has, as seen so far. */
export class AcceptanceRate {
  #mean = guess;
  #count = 0;

  /** undefined before any outcome. */
  get value(): number | undefined {
    return this.#count === 0 ? undefined : Math.max(least, this.#mean);
  }

  /** @param levels of a draft, the first `accepted` of which had an accepted token; those after the next were not judged */
  judged(levels: number, accepted: number): void {
    for (let level = 0; level < Math.min(levels, accepted + 1); level++) {
      this.#count++;
      const share = Math.max(freshness, 1 / (this.#count + guessWeight));
      this.#mean += share * ((level < accepted ? 1 : 0) - this.#mean);
    }
  }
}
