// SPDX-License-Identifier: Apache-2.0
import { usualDraft } from '../speculate/drafter.js';
import { AcceptanceRate } from './acceptancerate.js';
import { Attempts, measuring, trial } from './attempts.js';
import { Running } from './running.js';

/** What one speculative pass came to. */
export interface Pass {
  /** Drafted nodes; 0 when the drafter had no idea. */
  drafted: number;
  /** Levels of the draft, and accepted tokens. */
  depth: number;
  accepted: number;
  /** Milliseconds of drafting, and of the pass that verified. */
  draftTime: number;
  verifyTime: number;
  /** The step was the first one of its shape, whose time says nothing of the later ones. Default false. */
  isFirst?: boolean;
  /** Tokens that the drafter had not followed, and had to catch up with. Default 0. */
  missed?: number;
}

/** Levels and nodes of a draft while it is not known what one costs. */
const trialDepth = 2;
const trialNodes = 4;
/** After more plain steps than this a drafter has much to catch up with, which says nothing of the passes to come. */
export const caughtUp = 16;
/** What drafters may take to catch up, as a share of plain decoding. */
const mostToCatchUp = 0.03;
/** How much quicker than tokens one by one drafters are expected to catch up with many, until it is known. */
const catchUpSpeed = 5;
/** Plain steps that a draft of which nothing is accepted may take. */
const mostPerPass = 8;
/** The chance that a level has an accepted token while nothing is known of it. */
const unknownAcceptance = 0.5;

/**
 * Decides per generation whether to speculate and how far, by what it measures: the goodput, tokens per time, of speculative
 * passes against plain steps (SmartSpec; Liu et al., 2024), and for each further drafted token its chance of being accepted
 * against what drafting and verifying it costs (the stopping rule of SpecDec++; Huang et al., 2024, with the drafter's own
 * confidence for its trained head). {@link Attempts} says when it is to be tried; attempts begin with short drafts. A drafter that
 * would be too long in catching up with what was decoded without it is not tried again.
 *
 * This is for a generation that has the model for itself; of several the {@link BatchControl} decides together.
 */
export class SpeculationControl {
  readonly #attempts = new Attempts();
  /** Nodes that a draft may have at most. */
  readonly #most: number;
  /** Milliseconds of a plain step. */
  readonly #plain = new Running();
  readonly #acceptance = new AcceptanceRate();
  readonly #draftPerLevel = new Running();
  /** Milliseconds that each further row adds to a pass. */
  readonly #perRow = new Running();
  #catchesUp = true;
  /** The last pass whose drafter had to catch up: with how many tokens, and milliseconds beyond those of a plain step. */
  #caughtUp = { tokens: 0, time: 0, depth: 0, drafted: 0 };
  #saved = 0;

  /** @param most nodes that a draft may have */
  constructor(most: number = usualDraft) {
    this.#most = most;
  }

  /** Plain steps to be taken before the next attempt; 0: speculate now. */
  get rest(): number {
    return this.#attempts.rest;
  }

  /** Estimated milliseconds that speculation has saved so far; negative when it has cost some. */
  get saved(): number {
    return this.#saved;
  }

  /** Chance that a level of a draft has an accepted token, when the one above it has. */
  get acceptance(): number {
    return this.seenAcceptance ?? unknownAcceptance;
  }

  /** The same, undefined before any draft was judged. */
  get seenAcceptance(): number | undefined {
    return this.#acceptance.value;
  }

  /**
   * The chance of acceptance above which a further node pays for its row and its share of the drafting: the tokens that would
   * come in the time that it takes.
   */
  get worth(): number {
    const plain = this.#plain.value ?? 0;
    if (plain <= 0) return 0;
    const node = (this.#perRow.value ?? 0) + (this.#draftPerLevel.value ?? 0);
    const { passes, rate } = this.#attempts;
    return Math.min(0.9, (node / plain) * Math.max(1, passes >= trial ? rate : 0));
  }

  /** Is it unknown yet what a pass costs? */
  get isTrying(): boolean {
    return this.#catchesUp || this.#perRow.count === 0;
  }

  /** Deepest chain that is worth it, from the rate at which levels are accepted: until the next one's chance is too small. */
  get depth(): number {
    if (this.isTrying) return trialDepth;
    const most = this.#affordable((this.#perRow.value ?? 0) + (this.#draftPerLevel.value ?? 0));
    const { acceptance } = this;
    const worth = Math.max(0.02, this.worth);
    const depth = acceptance > 0.98 ? this.#most : Math.max(1, Math.floor(Math.log(worth) / Math.log(acceptance)));
    return Math.min(depth, most);
  }

  /** Most nodes that are worth trying. A drafter that needs more drafts nothing at first. */
  get nodes(): number {
    return this.#catchesUp ? trialNodes : Math.min(this.#most, this.#affordable(this.#perRow.value ?? 0));
  }

  /** Takes the milliseconds per token of a burst of plain steps. */
  plain(steps: number, perStep: number): void {
    if (steps > 0) this.#plain.add(perStep, steps / measuring);
    this.#attempts.rested(steps, true);
    if (steps > caughtUp) this.#catchesUp = true;
  }

  /** Steps have been taken whose time says nothing of plain steps: others were computed with them. */
  unmeasured(steps: number): void {
    this.#attempts.rested(steps, false);
    if (steps > caughtUp) this.#catchesUp = true;
  }

  /** A pass in company, whose time others decide. @param saved milliseconds, as far as that is known */
  shared({ depth, accepted }: Pick<Pass, 'depth' | 'accepted'>, saved: number): void {
    this.#acceptance.judged(depth, accepted);
    this.#saved += saved;
  }

  pass({ drafted, depth, accepted, draftTime, verifyTime, isFirst = false, missed = 0 }: Pass): void {
    const plain = this.#plain.value as number;
    const time = draftTime + verifyTime;
    this.#saved -= time - (accepted + 1) * plain;
    if (missed > caughtUp && !isFirst) this.#caughtUp = { tokens: missed, time: time - plain, depth, drafted };
    this.#acceptance.judged(depth, accepted);
    const isUsual = !isFirst && !this.#catchesUp;
    this.#catchesUp = false;
    const hasDraft = drafted > 0;
    if (isUsual && hasDraft) {
      this.#draftPerLevel.add(draftTime / depth);
      this.#perRow.add(Math.max(0, verifyTime - plain) / drafted);
    }
    const hasEnded = this.#attempts.pass({ time: time / plain, tokens: accepted + 1, hasDraft, isUsual });
    if (hasEnded && this.#perMissed > mostToCatchUp * plain) this.#attempts.end();
  }

  /** How many nodes of so many milliseconds a pass may have. */
  #affordable(perNode: number): number {
    const most = mostPerPass * (this.#plain.value ?? 0);
    return perNode > 0 ? Math.max(1, Math.floor(most / perNode)) : this.#most;
  }

  /** Milliseconds per token that the drafter takes to catch up, as measured last or as expected. */
  get #perMissed(): number {
    const { tokens, time, depth, drafted } = this.#caughtUp;
    const [perLevel, perRow] = [this.#draftPerLevel.value ?? 0, this.#perRow.value ?? 0];
    return tokens > 0 ? (time - depth * perLevel - drafted * perRow) / tokens : perLevel / catchUpSpeed;
  }
}
