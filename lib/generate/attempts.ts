// SPDX-License-Identifier: Apache-2.0
import { Running } from './running.js';

/** Plain steps at the beginning, to know what they cost, and in later measurements. */
export const measuring = 4;
/** Passes until plain steps are measured again: when speculation clearly pays, and when it is a close thing. */
const remeasureAfter = 64;
const remeasureSoon = 12;
const clearly = 1.25;
/** Passes with drafts before a first judgement, and in a new attempt. */
export const trial = 6;
const retrial = 3;
/** Passes with drafts after which those that are worth less than half of plain steps are given up at once. */
const shortestTrial = 2;
const hopeless = 0.5;
/** Plain steps that may be lost in a first attempt, and in later ones until they have proved their worth. */
const mostLost = 4;
const mostLostAgain = 2;
/** Plain steps before the first new attempt after giving up, and most. */
const shortestPause = 96;
const longestPause = 768;
/** The least that passes may be worth, relative to plain steps: those with a draft, and all. */
const leastWithDraft = 1.01;
const least = 0.97;
/** What attempts may lose in the long run, as a share of plain decoding. */
const mostShare = 0.02;

/** Time and tokens of passes. */
class Goodput {
  readonly #time = new Running();
  readonly #tokens = new Running();

  get passes(): number {
    return this.#time.count;
  }

  /** Tokens per time. */
  get rate(): number {
    const time = this.#time.value ?? 0;
    return time > 0 ? (this.#tokens.value as number) / time : Number.POSITIVE_INFINITY;
  }

  add(time: number, tokens: number): void {
    this.#time.add(time);
    this.#tokens.add(tokens);
  }
}

/** A speculative pass, measured by the plain step that it took the place of. */
export interface AttemptedPass {
  /** As many plain steps would have taken as long, drafting included. */
  time: number;
  /** As many plain steps would have given its tokens. */
  tokens: number;
  hasDraft: boolean;
  /** Does its time say something of the passes to come? */
  isUsual: boolean;
}

/**
 * When to attempt speculation, and when to let it be. When passes do not pay, plain decoding goes on, and new attempts come after
 * longer and longer pauses. What attempts have cost, everything included, is a debt that plain steps pay off, a fiftieth of a step
 * each, before the next attempt begins. So any stretch of text takes at most 1.02 times what plain decoding takes, and what one
 * attempt can lose.
 *
 * All times are in plain steps of the moment.
 */
export class Attempts {
  #all = new Goodput();
  #withDraft = new Goodput();
  #enough = trial;
  /** What usual passes have lost lately, and how much that may be. */
  #lost = 0;
  #mostLost = mostLost;
  /** What all passes have lost and plain steps have not paid off yet; what was saved long ago is forgotten. */
  #debt = 0;
  #sinceMeasured = 0;
  #pause = shortestPause;
  #resting = measuring;

  /** Plain steps to be taken before the next attempt; 0: speculate now. */
  get rest(): number {
    return this.#resting;
  }

  /** Passes with drafts in this attempt, and what they bring relative to plain steps. */
  get passes(): number {
    return this.#withDraft.passes;
  }

  get rate(): number {
    return this.#withDraft.rate;
  }

  /** Plain steps have been taken. @param isMeasured it is known what each of them took */
  rested(steps: number, isMeasured: boolean): void {
    this.#owe(-mostShare * steps);
    if (!isMeasured) return;
    this.#resting = Math.max(0, this.#resting - steps);
    this.#sinceMeasured = 0;
  }

  /** @returns whether the attempt ends with it */
  pass({ time, tokens, hasDraft, isUsual }: AttemptedPass): boolean {
    const loss = time - tokens;
    this.#owe(loss);
    if (!isUsual) return false;
    this.#all.add(time, tokens);
    if (hasDraft) this.#withDraft.add(time, tokens);
    this.#lost = Math.max(-this.#mostLost, this.#lost + loss);
    this.#sinceMeasured++;
    if (this.#isLosing) {
      this.#giveUp();
      return true;
    }
    if (this.passes >= 2 * trial) {
      this.#pause = shortestPause;
      this.#mostLost = mostLost;
    }
    const close = this.rate < clearly;
    if (this.#sinceMeasured >= (close ? remeasureSoon : remeasureAfter)) this.#resting = measuring;
    return false;
  }

  /** There will be no other attempt. */
  end(): void {
    this.#resting = Number.POSITIVE_INFINITY;
  }

  get #isLosing(): boolean {
    if (this.#isHopeless || this.#lost > this.#mostLost) return true;
    if (this.passes >= this.#enough && this.rate < leastWithDraft) return true;
    return this.#all.passes >= 2 * trial && this.#all.rate < least;
  }

  get #isHopeless(): boolean {
    return this.passes >= shortestTrial && this.rate < hopeless;
  }

  #owe(steps: number): void {
    this.#debt = Math.max(-mostLost, this.#debt + steps);
  }

  #giveUp(): void {
    const pause = Math.min(longestPause, (this.rate < hopeless ? 4 : 1) * this.#pause);
    const paidOff = Math.ceil(this.#debt / mostShare);
    this.#resting = Math.max(pause, paidOff);
    this.#pause = Math.min(longestPause, 2 * pause);
    // The next attempt is judged on its own.
    this.#enough = retrial;
    this.#mostLost = mostLostAgain;
    this.#lost = 0;
    this.#all = new Goodput();
    this.#withDraft = new Goodput();
  }
}
