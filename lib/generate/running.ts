// SPDX-License-Identifier: Apache-2.0

/** Share of the newest observation in a running mean. */
const freshness = 0.12;

/** A running mean: of everything at first, of the newer observations later. */
export class Running {
  #mean: number | undefined;
  #count = 0;

  get value(): number | undefined {
    return this.#mean;
  }

  get count(): number {
    return this.#count;
  }

  /** @param weight of so many observations */
  add(x: number, weight = 1): void {
    this.#count += weight;
    const share = Math.max(1 - (1 - freshness) ** weight, weight / this.#count);
    this.#mean = (this.#mean ?? x) + share * (x - (this.#mean ?? x));
  }
}
