// SPDX-License-Identifier: Apache-2.0
import { PagewarpError } from '../errors.js';
import type { KvSequence } from '../kv/sequence.js';
import type { LlamaRunner } from '../model/llama.js';
import { cutOf } from '../model/rows.js';
import type { Drafter } from '../speculate/drafter.js';
import { compose } from './composition.js';
import { invalidLogits } from './draw.js';
import { Lane, type LaneOwner } from './lane.js';
import type { Sampler } from './sampler.js';
import { Slots } from './slots.js';
import { type Entry, enqueueStep, type StepOutcome } from './step.js';

/** Rows of prompts in a step that other generations wait for: what they cost is the time between two of their tokens. */
const promptRowsBeside = { cpu: 32, cuda: 256 };
/** A lane that had no part in so many steps is not expected in the next ones. */
const absentAfter = 16;
/** Steps under way when there are more lanes than a step has places. */
const fullAhead = 2;

/** What the steps of a model have been so far, without speculative passes. */
export interface BatchStatistics {
  steps: number;
  /** Rows that they computed: tokens of prompts, and one for each token after the first. */
  rows: number;
  /** Tokens drawn, those included that nobody asked for in the end. */
  tokens: number;
  /** Most generations that shared a step. */
  largest: number;
}

/**
 * Continuous batching (Orca; Yu et al., OSDI 2022): what the generations of a model want next becomes one step of the model, which
 * reads the weights once for all. They join and leave from step to step. Rows do not depend on each other, so that what a
 * generation gives does not depend on its company.
 *
 * A step is formed when the ones under way leave nobody behind that it could take: it is enqueued ahead if all of their lanes are
 * in it, too, and otherwise waits for them, so that lanes come together and stay together. A lane whose consumer does not pull is
 * simply not there.
 * @internal
 */
export class Scheduler implements LaneOwner, Disposable {
  readonly slots: Slots;
  readonly #runner: LlamaRunner;
  readonly #maxBatch: number;
  readonly #lanes = new Set<Lane>();
  /** The lanes of the steps under way, in order. */
  readonly #flying: (readonly Entry[])[] = [];
  /** When the last of them has arrived. */
  #landed: Promise<void> = Promise.resolve();
  /** Speculative passes under way, which hold pages for a moment. */
  #passes = 0;
  /** Steps and passes so far. */
  #turns = 0;
  #isDeferred = false;
  readonly #statistics: BatchStatistics = { steps: 0, rows: 0, tokens: 0, largest: 0 };

  /** @param maxBatch generations in a step, at most */
  constructor(runner: LlamaRunner, maxBatch: number) {
    this.#runner = runner;
    this.#maxBatch = maxBatch;
    this.slots = new Slots(runner.stream);
  }

  get statistics(): BatchStatistics {
    return { ...this.#statistics };
  }

  /** Lets a generation take part, until its lane is disposed. @param drafter whose sink is shown the features of its rows */
  open(kv: KvSequence, sampler: Sampler, drafter: Pick<Drafter, 'features'> | undefined): Lane {
    const lane = new Lane(this, kv, sampler, drafter);
    lane.lastTurn = this.#turns;
    this.#lanes.add(lane);
    return lane;
  }

  leave(lane: Lane): void {
    this.#lanes.delete(lane);
    this.#retryStarved();
    this.#defer();
  }

  /** At once when everybody is here; else when those that have just been given their tokens had the time to ask for more. */
  wake(): void {
    if (this.#ready().length === this.#lanes.size) this.#turn();
    else this.#defer();
  }

  pass(lane: Lane): Disposable {
    this.#passes++;
    lane.lastTurn = ++this.#turns;
    return {
      [Symbol.dispose]: () => {
        this.#passes--;
        this.#retryStarved();
        this.#defer();
      },
    };
  }

  roomFor(lane: Lane): number {
    const { freeTokens, pageSize } = this.#runner.cache;
    let others = 0;
    for (const other of this.#lanes) {
      if (other.isStarved) return 0;
      if (other !== lane && !other.hasEnded) others++;
    }
    return freeTokens - others * pageSize;
  }

  company(lane: Lane): number {
    let count = 0;
    for (const other of this.#lanes) {
      if (other !== lane && !other.hasEnded && other.lastTurn + absentAfter > this.#turns) count++;
    }
    return count;
  }

  dispose(): void {
    this.slots.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #defer(): void {
    if (this.#isDeferred || this.#ready().length === 0) return;
    this.#isDeferred = true;
    setImmediate(() => {
      this.#isDeferred = false;
      this.#turn();
    });
  }

  /** Forms as many steps as may be under way. */
  #turn(): void {
    for (;;) {
      const ready = this.#ready();
      if (ready.length === 0 || !this.#mayEnqueue(ready)) return;
      if (ready.length > 1) ready.sort((a, b) => a.lastTurn - b.lastTurn);
      this.#enqueue(this.#compose(ready.slice(0, this.#maxBatch)));
    }
  }

  #ready(): Lane[] {
    const ready: Lane[] = [];
    for (const lane of this.#lanes) if (lane.isReady) ready.push(lane);
    return ready;
  }

  #mayEnqueue(ready: readonly Lane[]): boolean {
    if (this.#flying.length === 0 || ready.length === this.#lanes.size) return true;
    for (const lane of this.#lanes) if (lane.isStarved) return false;
    if (ready.length >= this.#maxBatch && this.#flying.length < fullAhead) return true;
    const here = new Set(ready);
    return this.#flying.every((entries) => entries.every(({ lane }) => lane.hasEnded || here.has(lane)));
  }

  /** Finds room in the cache for what the next step takes. A lane that gets none is not in it. */
  #compose(ready: readonly Lane[]): Entry[] {
    const { stream } = this.#runner;
    const taken = ready.some((lane) => lane.promptLeft > 0) ? this.#shareOut(ready) : undefined;
    const entries: Entry[] = [];
    for (const [i, lane] of ready.entries()) {
      const rows = taken ? (taken[i] as number) : 1;
      if (rows === 0) continue;
      try {
        lane.kv.reserve(rows, stream);
        entries.push({ lane, rows, isPrompt: lane.promptLeft > 0, draws: rows >= lane.promptLeft });
      } catch (error) {
        this.#refuse(lane, error);
      }
    }
    return entries;
  }

  /** The rows of each lane in a step that prompts are a part of. */
  #shareOut(ready: readonly Lane[]): number[] {
    const { stream, chunk, maxRows } = this.#runner;
    const wishes = ready.map(({ promptLeft, promptRows }) => ({
      rows: Math.max(1, promptLeft),
      isPrompt: promptLeft > 0,
      cut: promptLeft > 0 ? cutOf(this.#runner, promptRows) : 1,
    }));
    const promptRows = this.#isDecoding ? Math.min(chunk, promptRowsBeside[stream.device.kind]) : chunk;
    return compose(wishes, { rows: maxRows, promptRows });
  }

  /** Does some generation that is present draw token after token? */
  get #isDecoding(): boolean {
    for (const lane of this.#lanes) {
      const isPresent = !lane.hasEnded && lane.lastTurn + absentAfter > this.#turns;
      if (isPresent && lane.promptLeft === 0) return true;
    }
    return false;
  }

  /**
   * A lane cannot have the step that it wants. Where that may change, because it is a step ahead or because others hold pages only
   * for a moment, it waits.
   */
  #refuse(lane: Lane, error: unknown): void {
    const isExhausted = error instanceof PagewarpError && error.code === 'ERR_CACHE_EXHAUSTED';
    const mayChange = isExhausted && (this.#flying.length > 0 || this.#passes > 0);
    if (lane.outstanding > 0 || mayChange) lane.isStarved = true;
    else lane.fail(error);
  }

  #retryStarved(): void {
    for (const lane of this.#lanes) lane.isStarved = false;
  }

  #enqueue(entries: Entry[]): void {
    if (entries.length === 0) return;
    let outcome: Promise<StepOutcome>;
    try {
      outcome = enqueueStep(this.#runner, this.slots, entries);
    } catch (error) {
      for (const { lane } of entries) lane.fail(error);
      return;
    }
    this.#turns++;
    this.#count(entries);
    this.#flying.push(entries);
    for (const { lane, isPrompt, draws } of entries) {
      lane.lastTurn = this.#turns;
      lane.enqueued(isPrompt, draws);
    }
    const settled = outcome.then(
      (result) => () => this.#arrive(entries, result),
      (error) => () => this.#fail(entries, error),
    );
    // Some outcomes take more reads than others; they count in the order of the steps.
    this.#landed = this.#landed.then(async () => (await settled)());
  }

  #arrive(entries: readonly Entry[], { drawn, error }: StepOutcome): void {
    this.#land();
    // Whose data was wrong is seen by its having no token, in this step or in one before that this one built on.
    const isKnown = entries.some(({ lane, draws }) => lane.hasEnded || (draws && !drawn.has(lane)));
    for (const { lane, draws } of entries) {
      const token = drawn.get(lane);
      if (error && !isKnown) lane.fail(error);
      else if (draws && !token) lane.fail(error ?? invalidLogits());
      else lane.arrive(token);
    }
    this.#defer();
  }

  #fail(entries: readonly Entry[], error: unknown): void {
    this.#land();
    for (const { lane } of entries) lane.fail(error);
    this.#defer();
  }

  #land(): void {
    this.#flying.shift();
    this.#retryStarved();
  }

  #count(entries: readonly Entry[]): void {
    const statistics = this.#statistics;
    statistics.steps++;
    statistics.largest = Math.max(statistics.largest, entries.length);
    for (const { rows, draws } of entries) {
      statistics.rows += rows;
      if (draws) statistics.tokens++;
    }
  }
}
