// SPDX-License-Identifier: Apache-2.0
import { Attempts } from './attempts.js';
import { caughtUp } from './control.js';
import { gainsOf, type Offer, type StepBase, shareRows } from './goodput.js';
import { Running } from './running.js';
import { StepCosts } from './stepcosts.js';

/** A generation that could draft for a step. */
export interface Prospect {
  /** Chance that a level of its draft has an accepted token, when the one above it has; undefined: none was seen yet. */
  acceptance: number | undefined;
  /** Steps since it was seen. */
  since: number;
  /** Most nodes that it drafts. */
  most: number;
}

/** How far the generations of a step may draft. */
export interface DraftPlan {
  /** Levels of each, and the chance of acceptance that they were chosen for. */
  depths: readonly number[];
  chances: readonly number[];
  /** Most nodes of one of them that drafts a tree. */
  nodes: number;
  /** Chance of acceptance that pays for a node. */
  worth: number;
}

/** What a step that some generations shared has been. */
export interface SharedStep {
  /** Without the drafts that are adaptive, and with them. */
  baseRows: number;
  rows: number;
  /** What it has given, and how much of that adaptive drafts have added. */
  tokens: number;
  added: number;
  /** Were adaptive generations asked for drafts for it? */
  isAttempt: boolean;
  /** Was drafted by commands that it had to wait for. */
  waitsForDrafts: boolean;
  /** Had rows of prompts, or was the first of its shape: its time says nothing of others. */
  isUnusual: boolean;
  /** Milliseconds, and from when the first of its drafts was begun. */
  time: number;
  timeWithDrafting: number;
}

/** Levels of each draft in an attempt of which it is not known yet what it costs. */
const trialDepth = 1;
/** Steps after which what was seen of a drafter's acceptance counts half. */
const halfForgotten = 64;
/** The chance of acceptance of drafters of whom nothing is known: what it is can only be seen when they are asked. */
const unknownAcceptance = 0.8;
/** Steps may have so many times the rows of those that have been measured. */
const farthest = 2;
/** Levels that are worth less than this chance are not looked at. */
const leastChance = 0.005;

/**
 * Decides for generations that share steps how much of each one's speculation they have: what gives the highest goodput of all
 * together ({@link shareRows}), with step times as they are measured, row counts and all. {@link Attempts} compares what comes of it
 * to steps of the same generations without drafts: where speculation does not pay, since rows are dear or drafts wrong, it is off.
 *
 * It has no clock and does not know the generations: whoever has them tells it of steps.
 */
export class BatchControl {
  readonly #attempts = new Attempts();
  readonly #costs = new StepCosts();
  /** Milliseconds of drafting a node. */
  readonly #perDrafted = new Running();
  #sinceAttempt = Number.POSITIVE_INFINITY;

  /** Shared steps until drafts are attempted again. */
  get rest(): number {
    return this.#attempts.rest;
  }

  /** Expected milliseconds of a step of so many rows, if anything is known. */
  stepTime(rows: number): number | undefined {
    return this.#costs.time(rows);
  }

  /**
   * How far generations should draft for the next step.
   * @param most rows that drafts may have together
   */
  plan(prospects: readonly Prospect[], base: StepBase, most: number): DraftPlan {
    const chances = prospects.map(({ acceptance, since }) => remembered(acceptance, since));
    const none = { depths: prospects.map(() => 0), chances, nodes: 0, worth: 0.9 };
    // Drafts that nobody cuts differ in length from step to step: what such steps take is estimated.
    const isKnown = base.rows > base.tokens ? this.#costs.mostRows > 0 : this.#costs.isKnown(base.rows);
    if (this.rest > 0 || !isKnown) return none;
    const affordable = this.#affordable(base, most);
    const deepest = this.#isTrying ? trialDepth : affordable;
    const offers = prospects.map(({ most: own }, i): Offer => {
      const chance = chances[i] as number;
      const useful = Math.ceil(Math.log(leastChance) / Math.log(Math.min(0.99, chance)));
      return { gains: gainsOf(Math.min(own, deepest, useful), chance) };
    });
    const perDrafted = this.#perDrafted.value ?? 0;
    const time = (rows: number): number => this.#time(rows) + perDrafted * (rows - base.rows);
    const { counts, worth } = shareRows(offers, base, affordable, time);
    const drafting = counts.filter((count) => count > 0).length;
    return { depths: counts, chances, nodes: Math.floor(affordable / Math.max(1, drafting)), worth };
  }

  /** How much of each draft is verified, now that they are there. @param most rows that they may have together */
  choose(offers: readonly Offer[], base: StepBase, most: number): number[] {
    if (this.stepTime(base.rows) === undefined) return offers.map(() => 0);
    return shareRows(offers, base, this.#affordable(base, most), (rows) => this.#time(rows)).counts;
  }

  /** A generation had a step of so many rows for itself. */
  measured(rows: number, milliseconds: number): void {
    this.#costs.add(rows, milliseconds);
  }

  /** Takes what a step has been. */
  took(step: SharedStep): void {
    const { baseRows, rows, tokens, added, isAttempt, waitsForDrafts, isUnusual, time, timeWithDrafting } = step;
    const drafted = rows - baseRows;
    if (!isUnusual && !(waitsForDrafts && drafted > 0)) this.#costs.add(rows, time);
    if (!isAttempt) {
      this.#attempts.rested(1, !isUnusual);
      this.#sinceAttempt++;
      return;
    }
    const plain = this.stepTime(baseRows);
    if (plain === undefined || plain <= 0) return;
    const isCaughtUp = this.#sinceAttempt <= caughtUp;
    this.#sinceAttempt = 0;
    const isUsual = isCaughtUp && !isUnusual;
    if (isUsual && drafted > 0) this.#perDrafted.add(Math.max(0, timeWithDrafting - this.#time(rows)) / drafted);
    this.#attempts.pass({
      time: timeWithDrafting / plain,
      tokens: tokens / Math.max(1, tokens - added),
      hasDraft: drafted > 0,
      isUsual,
    });
  }

  /** Has it not been seen yet what drafts of this attempt cost? */
  get #isTrying(): boolean {
    return this.#sinceAttempt > caughtUp || this.#attempts.passes === 0;
  }

  /** Rows that may be added without going far beyond what has been measured, or what an attempt may cost. */
  #affordable({ rows }: StepBase, most: number): number {
    const measured = farthest * Math.max(rows, this.#costs.mostRows) - rows;
    return Math.max(0, Math.min(most, this.#isTrying ? rows : measured));
  }

  #time(rows: number): number {
    return this.#costs.time(rows) as number;
  }
}

/** An acceptance rate that was seen so many steps ago: drafters that were wrong are asked again after a while. */
function remembered(acceptance = unknownAcceptance, since = 0): number {
  return unknownAcceptance + (acceptance - unknownAcceptance) * 2 ** (-since / halfForgotten);
}
