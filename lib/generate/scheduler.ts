// SPDX-License-Identifier: Apache-2.0
import { disposed, PagewarpError } from '../errors.js';
import type { KvSequence } from '../kv/sequence.js';
import type { LlamaRunner } from '../model/llama.js';
import { cutOf } from '../model/rows.js';
import { type Drafter, noDraft, sizeOf } from '../speculate/drafter.js';
import { BatchControl } from './batchcontrol.js';
import { compose } from './composition.js';
import { invalidLogits } from './draw.js';
import { type DraftBudget, Lane, type LaneOwner } from './lane.js';
import { Patience } from './patience.js';
import { cutProposal, offerOf, type Proposal, type Verified } from './proposal.js';
import type { Sampler } from './sampler.js';
import { Slots } from './slots.js';
import { type Entry, enqueueStep, hasDraft, isAdaptive, nodesOf, type StepOutcome } from './step.js';
import { type BatchStatistics, StepRecords } from './steprecords.js';

/** Rows of prompts in a step that other generations wait for: what they cost is the time between two of their tokens. */
const promptRowsBeside = { cpu: 32, cuda: 256 };
/** A lane that had no part in so many steps is not expected in the next ones. */
const absentAfter = 16;
/** Steps under way when there are more lanes than a step has places. */
const fullAhead = 2;

/**
 * Continuous batching (Orca; Yu et al., OSDI 2022): what the generations of a model want next becomes one step of the model, which
 * reads the weights once for all. They join and leave from step to step. Rows do not depend on each other, so that what a
 * generation gives does not depend on its company.
 *
 * A step is formed when the ones under way leave nobody behind that it could take: it is enqueued ahead if all of their lanes are
 * in it, too, and otherwise waits for them, so that lanes come together and stay together. A lane whose consumer does not pull is
 * simply not there; one that makes a draft is waited for a little.
 *
 * Drafts of several generations are verified in one step, each as far as {@link BatchControl} finds that it pays for all.
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
  /** Steps so far. */
  #turns = 0;
  #isDeferred = false;
  readonly #control = new BatchControl();
  readonly #records = new StepRecords(this.#control);
  readonly #patience: Patience;
  readonly #closing = new AbortController();
  /** How far the lanes in company may draft, until a step changes it. */
  #budgets: { lanes: number; of: ReadonlyMap<Lane, DraftBudget> } | undefined;

  /** @param maxBatch generations in a step, at most */
  constructor(runner: LlamaRunner, maxBatch: number) {
    this.#runner = runner;
    this.#maxBatch = maxBatch;
    this.slots = new Slots(runner.stream);
    this.#patience = new Patience(() => this.#turn());
  }

  /** Aborted when there will be no more steps: who waits for one, or makes a draft for one, waits no longer. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  get statistics(): BatchStatistics {
    return this.#records.statistics;
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

  drafted(lane: Lane): void {
    this.#patience.drafted(lane);
    this.#retryStarved(); // a draft may have held pages
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
    for (const other of this.#lanes) if (other !== lane && this.#isPresent(other)) count++;
    return count;
  }

  budgetOf(lane: Lane): DraftBudget | undefined {
    if (this.#budgets?.lanes !== this.#lanes.size) this.#budgets = { lanes: this.#lanes.size, of: this.#plan() };
    return this.#budgets.of.get(lane);
  }

  follow(lane: Lane, proposal: Proposal): boolean {
    const rows = 1 + sizeOf(proposal.draft);
    if (this.#closing.signal.aborted || this.roomFor(lane) < rows) return false;
    try {
      lane.kv.reserve(rows, this.#runner.stream);
    } catch {
      return false;
    }
    this.#enqueue([{ lane, rows, isPrompt: false, draws: true, proposal }]);
    return true;
  }

  dispose(): void {
    this.#closing.abort(disposed('LanguageModel'));
    this.#patience.dispose();
    this.slots.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #isPresent(lane: Lane): boolean {
    return !lane.hasEnded && lane.lastTurn + absentAfter > this.#turns;
  }

  /** Shares the rows of the next step out to the lanes that would draft. Beside prompts, whose rows cost more, none does. */
  #plan(): Map<Lane, DraftBudget> {
    const present = [...this.#lanes].filter((lane) => this.#isPresent(lane));
    const budgets = new Map<Lane, DraftBudget>();
    if (present.some(({ promptLeft }) => promptLeft > 0)) return budgets;
    const drafting = present.filter(({ prospect }) => prospect);
    if (drafting.length === 0) return budgets;
    const count = Math.min(present.length, this.#maxBatch);
    const whole = present.reduce((sum, { usualNodes }) => sum + usualNodes, 0);
    const base = { rows: count + whole, tokens: count };
    const prospects = drafting.flatMap(({ prospect }) =>
      prospect ? [{ ...prospect, since: this.#turns - prospect.turn }] : [],
    );
    const plan = this.#control.plan(prospects, base, this.#runner.maxOutputs - base.rows);
    const { depths, chances, nodes, worth } = plan;
    const plainTime = this.#control.stepTime(base.rows) ?? 0;
    for (const [i, lane] of drafting.entries()) {
      const depth = depths[i] as number;
      const acceptance = chances[i] as number;
      if (depth > 0) budgets.set(lane, { depth, nodes: Math.max(depth, nodes), worth, acceptance, plainTime });
    }
    return budgets;
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
      if (this.#patience.waitsFor(this.#lanes, () => this.#control.stepTime(ready.length))) return;
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
    const isMixed = ready.some((lane) => lane.promptLeft > 0 || lane.wholeNodes > 0);
    const taken = isMixed ? this.#shareOut(ready) : undefined;
    const entries: Entry[] = [];
    for (const [i, lane] of ready.entries()) {
      const share = taken ? (taken[i] as number) : 1;
      if (share === 0) continue;
      const isPrompt = lane.promptLeft > 0;
      const rows = isPrompt ? share : 1;
      try {
        lane.kv.reserve(rows, stream);
        entries.push({ lane, rows, isPrompt, draws: rows >= lane.promptLeft, proposal: lane.proposal });
      } catch (error) {
        this.#refuse(lane, error);
      }
    }
    return entries.some(hasDraft) ? this.#withDrafts(entries) : entries;
  }

  /** The rows of each lane in a step that prompts, or drafts that nobody cuts, are a part of. */
  #shareOut(ready: readonly Lane[]): number[] {
    const { stream, chunk, maxRows, maxOutputs } = this.#runner;
    const wishes = ready.map(({ promptLeft, promptRows, wholeNodes }) => ({
      rows: promptLeft > 0 ? promptLeft : 1 + wholeNodes,
      isPrompt: promptLeft > 0,
      cut: promptLeft > 0 ? cutOf(this.#runner, promptRows) : 1,
    }));
    const promptRows = this.#isDecoding ? Math.min(chunk, promptRowsBeside[stream.device.kind]) : chunk;
    return compose(wishes, { rows: maxRows, outputs: maxOutputs, promptRows });
  }

  /** Adds the rows of drafts to a step that has one of each lane: of those that are adaptive, as many as pay. */
  #withDrafts(entries: readonly Entry[]): Entry[] {
    const { stream, maxRows, maxOutputs } = this.#runner;
    const whole = (entry: Entry): number => (isAdaptive(entry) ? 0 : nodesOf(entry));
    const rows = entries.reduce((sum, entry) => sum + entry.rows + whole(entry), 0);
    const outputs = entries.reduce((sum, entry) => sum + (entry.draws ? 1 : 0) + whole(entry), 0);
    const adaptive = entries.filter((entry) => isAdaptive(entry) && hasDraft(entry));
    const base = { rows, tokens: entries.filter(({ draws }) => draws).length };
    const isBesidePrompts = entries.some(({ isPrompt }) => isPrompt);
    const most = isBesidePrompts ? 0 : Math.min(maxRows - rows, maxOutputs - outputs);
    const offers = adaptive.map(({ proposal }) => offerOf(proposal as Proposal));
    const counts = adaptive.length > 0 ? this.#control.choose(offers, base, most) : [];
    const chosen = new Map(adaptive.map((entry, i) => [entry, counts[i] as number]));
    return entries.map((entry) => {
      if (!entry.proposal || !hasDraft(entry)) return entry;
      const { lane } = entry;
      const wanted = chosen.get(entry) ?? nodesOf(entry);
      // Speculation must not fail, nor let others fail, where plain decoding has room.
      let proposal = cutProposal(entry.proposal, Math.min(wanted, Math.max(0, this.roomFor(lane))));
      try {
        lane.kv.reserve(sizeOf(proposal.draft), stream);
      } catch {
        proposal = { ...proposal, draft: noDraft };
      }
      return { ...entry, rows: 1 + sizeOf(proposal.draft), proposal };
    });
  }

  /** Does some generation that is present draw token after token? */
  get #isDecoding(): boolean {
    for (const lane of this.#lanes) if (this.#isPresent(lane) && lane.promptLeft === 0) return true;
    return false;
  }

  /**
   * A lane cannot have the step that it wants. Where that may change, because it is a step ahead or because others hold pages only
   * for a moment, it waits.
   */
  #refuse(lane: Lane, error: unknown): void {
    const isExhausted = error instanceof PagewarpError && error.code === 'ERR_CACHE_EXHAUSTED';
    const areHeld = this.#flying.length > 0 || [...this.#lanes].some((other) => other.holdsForDraft);
    if (lane.outstanding > 0 || (isExhausted && areHeld)) lane.isStarved = true;
    else lane.fail(error);
  }

  #retryStarved(): void {
    for (const lane of this.#lanes) lane.isStarved = false;
  }

  #enqueue(entries: Entry[]): void {
    if (entries.length === 0) return;
    const record = this.#records.begin(entries, this.#runner.shapes);
    let outcome: Promise<StepOutcome>;
    try {
      outcome = enqueueStep(this.#runner, this.slots, entries);
    } catch (error) {
      for (const { lane } of entries) lane.fail(error);
      return;
    }
    record.enqueued(this.#runner.shapes);
    this.#turns++;
    this.#flying.push(entries);
    for (const { lane, isPrompt, draws } of entries) {
      lane.lastTurn = this.#turns;
      lane.lastCompany = entries.length - 1;
      lane.enqueued(isPrompt, draws);
    }
    const settled = outcome.then(
      (result) => () => {
        record.arrived(result.drawn);
        this.#arrive(entries, result);
      },
      (error) => () => this.#fail(entries, error),
    );
    // Some outcomes take more reads than others; they count in the order of the steps.
    this.#landed = this.#landed.then(async () => (await settled)());
  }

  #arrive(entries: readonly Entry[], { drawn, failed, error }: StepOutcome): void {
    // Pages of drafts that were not accepted are free before others ask for some.
    for (const entry of entries) this.#keep(entry, drawn.get(entry.lane));
    this.#land();
    // Whose data was wrong is seen by its having no token, in this step or in one before that this one built on.
    const isKnown = entries.some(({ lane, draws }) => lane.hasEnded || (draws && !drawn.has(lane)));
    for (const { lane, draws } of entries) {
      const verified = drawn.get(lane);
      if (error && !isKnown) lane.fail(error);
      else if (draws && !verified) lane.fail(failed?.get(lane) ?? error ?? invalidLogits());
      else lane.arrive(verified);
    }
    this.#defer();
  }

  /** Keeps the accepted path of a draft in the cache and in the history. */
  #keep({ lane, rows }: Entry, verified: Verified | undefined): void {
    if (!verified || rows === 1 || lane.hasEnded || sizeOf(verified.draft) === 0) return;
    try {
      lane.sampler.commit(verified.drawn.map(({ token }) => token));
      const { draft, path } = verified;
      if (draft.parents) lane.kv.keep([0, ...path.map((node) => node + 1)], rows, this.#runner.stream);
      // What follows a chain that was verified lies so much further to the front.
      else lane.kv.truncate(lane.kv.length - (rows - 1 - path.length));
    } catch (error) {
      lane.fail(error);
    }
  }

  #fail(entries: readonly Entry[], error: unknown): void {
    this.#land();
    for (const { lane } of entries) lane.fail(error);
    this.#defer();
  }

  #land(): void {
    this.#flying.shift();
    this.#budgets = undefined;
    this.#retryStarved();
  }
}
