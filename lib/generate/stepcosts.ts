// SPDX-License-Identifier: Apache-2.0
import { Running } from './running.js';

/** Until it has been measured, a further row is taken to cost this share of what a row of the measured step does. */
const unknownShare = 0.25;
/** Steps after which what one of so many rows took says nothing any more: contexts have grown. */
const forgottenAfter = 2000;
/** Measurements after which the cost of a number of rows counts as known. */
const enough = 3;

interface Measured {
  rows: number;
  time: Running;
  /** Number of the last of these steps. */
  step: number;
}

/**
 * What steps of a model take, by their number of rows, as measured while they run: steps that are limited by reading the weights
 * cost the same whatever their rows, others more with each row, and where one becomes the other differs by model and machine.
 */
export class StepCosts {
  #steps = 0;
  readonly #measured = new Map<number, Measured>();
  /** By rows; made anew when something has been measured. */
  #sorted: readonly Measured[] | undefined;
  /** Their times; made anew with each measurement. */
  #rising: readonly number[] | undefined;

  /** A step of so many rows has taken so many milliseconds. */
  add(rows: number, milliseconds: number): void {
    this.#steps++;
    let measured = this.#measured.get(rows);
    if (!measured || this.#isForgotten(measured)) {
      measured = { rows, time: new Running(), step: 0 };
      this.#measured.set(rows, measured);
      this.#sorted = undefined;
    }
    measured.time.add(milliseconds);
    measured.step = this.#steps;
    this.#rising = undefined;
  }

  /** Has a step of so many rows been measured a few times, not too long ago? */
  isKnown(rows: number): boolean {
    const measured = this.#measured.get(rows);
    return measured !== undefined && measured.time.count >= enough && !this.#isForgotten(measured);
  }

  /** Most rows of a step that has been measured. */
  get mostRows(): number {
    return this.#ordered.at(-1)?.rows ?? 0;
  }

  /** Expected milliseconds of a step of so many rows: more rows never take less. undefined when nothing is known. */
  time(rows: number): number | undefined {
    const ordered = this.#ordered;
    const [first] = ordered;
    if (!first) return undefined;
    const rising = this.#rising ?? risingTimes(ordered);
    this.#rising = rising;
    const above = firstNotBelow(ordered, rows);
    const value = rising[Math.min(above, ordered.length - 1)] as number;
    if (above === 0 || ordered[above]?.rows === rows) return value;
    const below = ordered[above - 1] as Measured;
    const least = rising[above - 1] as number;
    const known = ordered[above];
    const slope = known ? (value - least) / (known.rows - below.rows) : this.#slopeTo(first, below, least);
    return least + (rows - below.rows) * slope;
  }

  /** Milliseconds of each row beyond those that have been measured. */
  #slopeTo(first: Measured, { rows }: Measured, time: number): number {
    if (rows === first.rows) return (unknownShare * time) / rows;
    return (time - (first.time.value as number)) / (rows - first.rows);
  }

  get #ordered(): readonly Measured[] {
    if (!this.#sorted || this.#steps % 256 === 0) {
      const fresh = [...this.#measured.values()].filter((measured) => !this.#isForgotten(measured));
      this.#sorted = fresh.sort((a, b) => a.rows - b.rows);
      this.#rising = undefined;
    }
    return this.#sorted;
  }

  #isForgotten({ step }: Measured): boolean {
    return step + forgottenAfter < this.#steps;
  }
}

/** The first element of at least so many rows, or their number. */
function firstNotBelow(ordered: readonly Measured[], rows: number): number {
  let [begin, end] = [0, ordered.length];
  while (begin < end) {
    const middle = (begin + end) >> 1;
    if ((ordered[middle] as Measured).rows < rows) begin = middle + 1;
    else end = middle;
  }
  return begin;
}

/** The mean times, in order of rows, none below one before. */
function risingTimes(measured: readonly Measured[]): number[] {
  let most = 0;
  return measured.map(({ time }) => {
    most = Math.max(most, time.value as number);
    return most;
  });
}
