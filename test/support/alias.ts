// SPDX-License-Identifier: Apache-2.0

/** Draws tokens from fixed distributions, each in the same time whatever its size (Walker's alias method). */
export class AliasTables {
  readonly #size: number;
  /** Of every distribution, of every cell: the share that is its own, and whose the rest is. */
  readonly #own: Float64Array;
  readonly #other: Int32Array;
  readonly #random: () => number;

  /** @param random uniform in [0, 1) */
  constructor(rows: readonly Float64Array[], random: () => number) {
    const size = rows[0]?.length ?? 0;
    this.#size = size;
    this.#random = random;
    this.#own = new Float64Array(rows.length * size).fill(1);
    this.#other = new Int32Array(rows.length * size);
    for (const [row, q] of rows.entries()) {
      const first = row * size;
      const sum = q.reduce((a, b) => a + b, 0);
      const left = q.map((share) => (share * size) / sum);
      // In rising order: what rounding leaves over at the end is whole, and no token without any chance.
      const order = [...left.keys()].sort((a, b) => (left[a] as number) - (left[b] as number));
      const small = order.filter((token) => (left[token] as number) < 1);
      const large = order.filter((token) => (left[token] as number) >= 1);
      for (let token = small.shift(); token !== undefined && large.length > 0; token = small.shift()) {
        const giver = large.at(-1) as number;
        this.#own[first + token] = left[token] as number;
        this.#other[first + token] = giver;
        left[giver] = (left[giver] as number) - (1 - (left[token] as number));
        if ((left[giver] as number) < 1) small.push(large.pop() as number);
      }
    }
  }

  /** A token of one of the distributions. */
  draw(row: number): number {
    const place = this.#random() * this.#size;
    const cell = Math.floor(place);
    const at = row * this.#size + cell;
    return place - cell < (this.#own[at] as number) ? cell : (this.#other[at] as number);
  }
}
