// SPDX-License-Identifier: Apache-2.0
import type { BatchControl } from './batchcontrol.js';
import type { Lane } from './lane.js';
import type { Verified } from './proposal.js';
import { type Entry, hasDraft, isAdaptive, nodesOf } from './step.js';

/** What the steps of a model have been so far. */
export interface BatchStatistics {
  steps: number;
  /** Rows that they computed: tokens of prompts, one for each token that was drawn last, and drafted ones. */
  rows: number;
  /** Tokens that they gave, those included that nobody asked for in the end. */
  tokens: number;
  /** Most generations that shared a step. */
  largest: number;
  /** Drafted tokens that were verified, and those of them that were accepted. */
  drafted: number;
  accepted: number;
  /** Steps that verified drafts of several generations, and most of these in one. */
  sharedVerifications: number;
  mostVerified: number;
}

/** One step, from its composition to its arrival. @internal */
export interface StepRecord {
  /** @param shapes that have been captured, its own included */
  enqueued(shapes: number): void;
  arrived(drawn: ReadonlyMap<Lane, Verified>): void;
}

/** Counts what steps do, and tells the control of speculation what those take that several generations share. @internal */
export class StepRecords {
  readonly #control: BatchControl;
  readonly #statistics: BatchStatistics = {
    steps: 0,
    rows: 0,
    tokens: 0,
    largest: 0,
    drafted: 0,
    accepted: 0,
    sharedVerifications: 0,
    mostVerified: 0,
  };
  #lastArrival = 0;

  constructor(control: BatchControl) {
    this.#control = control;
  }

  get statistics(): BatchStatistics {
    return { ...this.#statistics };
  }

  /** @param shapes that have been captured so far */
  begin(entries: readonly Entry[], shapes: number): StepRecord {
    const begun = performance.now();
    const drafting = entries.reduce((first, { lane }) => Math.min(first, lane.draftedSince ?? begun), begun);
    let isFirst = false;
    return {
      enqueued: (after) => {
        isFirst = after > shapes;
        this.#count(entries);
      },
      arrived: (drawn) => {
        const now = performance.now();
        const last = this.#lastArrival;
        this.#lastArrival = now;
        this.#countTokens(entries, drawn);
        this.#tell(entries, drawn, isFirst, now - Math.max(last, begun), now - Math.max(last, drafting));
      },
    };
  }

  #tell(
    entries: readonly Entry[],
    drawn: ReadonlyMap<Lane, Verified>,
    isFirst: boolean,
    time: number,
    timeWithDrafting: number,
  ): void {
    const hasPrompt = entries.some(({ isPrompt }) => isPrompt);
    let [rows, baseRows, tokens, added] = [0, 0, 0, 0];
    let [isAttempt, waitsForDrafts] = [false, false];
    for (const entry of entries) {
      const { lane, rows: own, proposal } = entry;
      const verified = drawn.get(lane);
      const mayBeCut = isAdaptive(entry);
      rows += own;
      baseRows += mayBeCut ? 1 : own;
      tokens += verified?.drawn.length ?? 0;
      if (mayBeCut) added += verified?.path.length ?? 0;
      isAttempt ||= mayBeCut;
      waitsForDrafts ||= proposal !== undefined && 'enqueued' in proposal.draft;
    }
    const isUnusual = hasPrompt || isFirst;
    isAttempt &&= !hasPrompt;
    // What a generation does by itself says what rows cost, but nothing of those that share steps.
    if (entries.length === 1 && !isAttempt) {
      if (!isUnusual && !waitsForDrafts) this.#control.measured(rows, time);
      return;
    }
    this.#control.took({
      baseRows,
      rows,
      tokens,
      added,
      isAttempt,
      waitsForDrafts,
      isUnusual,
      time,
      timeWithDrafting,
    });
  }

  #count(entries: readonly Entry[]): void {
    const statistics = this.#statistics;
    statistics.steps++;
    statistics.largest = Math.max(statistics.largest, entries.length);
    let verified = 0;
    for (const entry of entries) {
      statistics.rows += entry.rows;
      if (!hasDraft(entry)) continue;
      verified++;
      statistics.drafted += nodesOf(entry);
    }
    if (verified > 1) statistics.sharedVerifications++;
    statistics.mostVerified = Math.max(statistics.mostVerified, verified);
  }

  #countTokens(entries: readonly Entry[], drawn: ReadonlyMap<Lane, Verified>): void {
    for (const { lane } of entries) {
      const verified = drawn.get(lane);
      this.#statistics.tokens += verified?.drawn.length ?? 0;
      this.#statistics.accepted += verified?.path.length ?? 0;
    }
  }
}
