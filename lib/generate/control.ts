// SPDX-License-Identifier: Apache-2.0

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

/** Share of the newest observation in a running mean. */
const freshness = 0.12;

/** A running mean: of everything at first, of the newer observations later. */
class Running {
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

/** Time and tokens of passes. */
class Goodput {
  readonly #time = new Running();
  readonly #tokens = new Running();

  get passes(): number {
    return this.#time.count;
  }

  /** Tokens per millisecond. */
  get rate(): number {
    const time = this.#time.value ?? 0;
    return time > 0 ? (this.#tokens.value as number) / time : Number.POSITIVE_INFINITY;
  }

  add(time: number, tokens: number): void {
    this.#time.add(time);
    this.#tokens.add(tokens);
  }
}

/** Plain steps at the beginning, to know what they cost, and in later measurements. */
const measuring = 4;
/** Passes until plain steps are measured again: when speculation clearly pays, and when it is a close thing. */
const remeasureAfter = 64;
const remeasureSoon = 12;
const clearly = 1.25;
/** Passes with drafts before a first judgement, and in a new attempt. */
const trial = 6;
const retrial = 3;
/** Passes with drafts after which those that are worth less than half of plain steps are given up at once. */
const shortestTrial = 2;
const hopeless = 0.5;
/** Plain steps that may be lost in a first attempt, and in later ones until they have proved their worth. */
const mostLost = 4;
const mostLostAgain = 2;
/** Levels and nodes of a draft while it is not known what one costs. */
const trialDepth = 2;
const trialNodes = 4;
/** After more plain steps than this a drafter has much to catch up with, which says nothing of the passes to come. */
const caughtUp = 16;
/** Plain steps before the first new attempt after giving up, and most. */
const shortestPause = 96;
const longestPause = 768;
/** The least that passes may be worth, relative to plain steps: those with a draft, and all. */
const leastWithDraft = 1.01;
const least = 0.97;
/** What attempts may lose in the long run, and what drafters may take to catch up, as shares of plain decoding. */
const mostShare = 0.02;
const mostToCatchUp = 0.03;
/** How much quicker than tokens one by one drafters are expected to catch up with many, until it is known. */
const catchUpSpeed = 5;
/** Plain steps that a draft of which nothing is accepted may take. */
const mostPerPass = 8;

/**
 * Decides per generation whether to speculate and how far, by what it measures: the goodput, tokens per time, of speculative
 * passes against plain steps (SmartSpec; Liu et al., 2024), and for each further drafted token its chance of being accepted
 * against what drafting and verifying it costs (the stopping rule of SpecDec++; Huang et al., 2024, with the drafter's own
 * confidence for its trained head). When passes do not pay, plain decoding goes on, and new attempts come after longer and
 * longer pauses. Attempts begin with short drafts and end when they have cost a few plain steps.
 *
 * What attempts have cost, everything included, is a debt that plain steps pay off, a fiftieth of a step each, before the next
 * attempt begins. So any stretch of text takes at most 1.02 times what plain decoding takes, and what one attempt can lose. A
 * drafter that would be too long in catching up with what was decoded without it is not tried again.
 */
export class SpeculationControl {
  /** Milliseconds of a plain step. */
  readonly #plain = new Running();
  /** Chance that a judged level has an accepted token. */
  readonly #acceptance = new Running();
  readonly #draftPerLevel = new Running();
  /** Milliseconds that each further row adds to a pass. */
  readonly #perRow = new Running();
  #catchesUp = true;
  #all = new Goodput();
  #withDraft = new Goodput();
  #enough = trial;
  /** Milliseconds that usual passes have lost lately, and how many plain steps that may be. */
  #lost = 0;
  #mostLost = mostLost;
  /** Milliseconds that all passes have lost and plain steps have not paid off yet; what was saved long ago is forgotten. */
  #debt = 0;
  /** The last pass whose drafter had to catch up: with how many tokens, and milliseconds beyond those of a plain step. */
  #caughtUp = { tokens: 0, time: 0, depth: 0, drafted: 0 };
  #sinceMeasured = 0;
  #pause = shortestPause;
  #saved = 0;
  #resting = measuring;

  /** Plain steps to be taken before the next attempt; 0: speculate now. */
  get rest(): number {
    return this.#resting;
  }

  /** Estimated milliseconds that speculation has saved so far; negative when it has cost some. */
  get saved(): number {
    return this.#saved;
  }

  /**
   * The chance of acceptance above which a further node pays for its row and its share of the drafting: the tokens that would
   * come in the time that it takes.
   */
  get worth(): number {
    const plain = this.#plain.value ?? 0;
    if (plain <= 0) return 0;
    const node = (this.#perRow.value ?? 0) + (this.#draftPerLevel.value ?? 0);
    const { passes, rate } = this.#withDraft;
    return Math.min(0.9, node * Math.max(1 / plain, passes >= trial ? rate : 0));
  }

  /** Deepest chain that is worth it, from the rate at which levels are accepted: until the next one's chance is too small. */
  get depth(): number {
    if (this.#isTrying) return trialDepth;
    const most = this.#affordable((this.#perRow.value ?? 0) + (this.#draftPerLevel.value ?? 0));
    const acceptance = Math.max(0.05, this.#acceptance.value ?? 0.5);
    const worth = Math.max(0.02, this.worth);
    const depth = acceptance > 0.98 ? 64 : Math.max(1, Math.floor(Math.log(worth) / Math.log(acceptance)));
    return Math.min(depth, most);
  }

  /** Most nodes that are worth trying. A drafter that needs more drafts nothing at first. */
  get nodes(): number {
    return this.#catchesUp ? trialNodes : Math.min(64, this.#affordable(this.#perRow.value ?? 0));
  }

  /** Takes the milliseconds per token of a burst of plain steps. */
  plain(steps: number, perStep: number): void {
    if (steps > 0) this.#plain.add(perStep, steps / measuring);
    this.#owe(-mostShare * steps * perStep);
    this.#resting = 0;
    this.#sinceMeasured = 0;
    if (steps > caughtUp) this.#catchesUp = true;
  }

  /** Steps have been taken whose time says nothing of plain steps: others were computed with them. */
  unmeasured(steps: number): void {
    this.#owe(-mostShare * steps * (this.#plain.value ?? 0));
    if (steps > caughtUp) this.#catchesUp = true;
  }

  pass({ drafted, depth, accepted, draftTime, verifyTime, isFirst = false, missed = 0 }: Pass): void {
    const plain = this.#plain.value as number;
    const time = draftTime + verifyTime;
    const loss = time - (accepted + 1) * plain;
    this.#saved -= loss;
    this.#owe(loss);
    if (missed > caughtUp && !isFirst) this.#caughtUp = { tokens: missed, time: time - plain, depth, drafted };
    for (let level = 0; level < Math.min(depth, accepted + 1); level++) this.#acceptance.add(level < accepted ? 1 : 0);
    const isUsual = !isFirst && !this.#catchesUp;
    this.#catchesUp = false;
    if (!isUsual) return;
    this.#all.add(time, accepted + 1);
    if (drafted > 0) {
      this.#withDraft.add(time, accepted + 1);
      this.#draftPerLevel.add(draftTime / depth);
      this.#perRow.add(Math.max(0, verifyTime - plain) / drafted);
    }
    this.#lost = Math.max(-this.#mostLost * plain, this.#lost + loss);
    this.#sinceMeasured++;
    if (this.#isLosing(plain)) {
      this.#giveUp(this.#withDraft.rate * plain < hopeless);
      return;
    }
    if (this.#withDraft.passes >= 2 * trial) {
      this.#pause = shortestPause;
      this.#mostLost = mostLost;
    }
    const close = this.#withDraft.rate * plain < clearly;
    if (this.#sinceMeasured >= (close ? remeasureSoon : remeasureAfter)) this.#resting = measuring;
  }

  /** Is it unknown yet what a pass costs? */
  get #isTrying(): boolean {
    return this.#catchesUp || this.#perRow.count === 0;
  }

  #isLosing(plain: number): boolean {
    const { passes, rate } = this.#withDraft;
    if (this.#isHopeless(plain) || this.#lost > this.#mostLost * plain) return true;
    if (passes >= this.#enough && rate * plain < leastWithDraft) return true;
    return this.#all.passes >= 2 * trial && this.#all.rate * plain < least;
  }

  #isHopeless(plain: number): boolean {
    const { passes, rate } = this.#withDraft;
    return passes >= shortestTrial && rate * plain < hopeless;
  }

  #owe(milliseconds: number): void {
    const forgotten = -mostLost * (this.#plain.value ?? 0);
    this.#debt = Math.max(forgotten, this.#debt + milliseconds);
  }

  /** How many nodes of so many milliseconds a pass may have. */
  #affordable(perNode: number): number {
    const most = mostPerPass * (this.#plain.value ?? 0);
    return perNode > 0 ? Math.max(1, Math.floor(most / perNode)) : 64;
  }

  /** Milliseconds per token that the drafter takes to catch up, as measured last or as expected. */
  get #perMissed(): number {
    const { tokens, time, depth, drafted } = this.#caughtUp;
    const [perLevel, perRow] = [this.#draftPerLevel.value ?? 0, this.#perRow.value ?? 0];
    return tokens > 0 ? (time - depth * perLevel - drafted * perRow) / tokens : perLevel / catchUpSpeed;
  }

  #giveUp(hopeless: boolean): void {
    const pause = Math.min(longestPause, (hopeless ? 4 : 1) * this.#pause);
    const plain = this.#plain.value as number;
    const paidOff = Math.ceil(this.#debt / (mostShare * plain));
    this.#resting = this.#perMissed > mostToCatchUp * plain ? Number.POSITIVE_INFINITY : Math.max(pause, paidOff);
    this.#pause = Math.min(longestPause, 2 * pause);
    // The next attempt is judged on its own.
    this.#enough = retrial;
    this.#mostLost = mostLostAgain;
    this.#lost = 0;
    this.#all = new Goodput();
    this.#withDraft = new Goodput();
  }
}
