// SPDX-License-Identifier: Apache-2.0
import type { KvSequence } from '../kv/sequence.js';
import { type Drafter, type FeatureSink, sizeOf } from '../speculate/drafter.js';
import type { Proposal, Verified } from './proposal.js';
import type { Drawn, Sampler } from './sampler.js';

/** Free pages below which steps ahead take none. */
const sparePages = 16;

/** How far a generation in company may draft for its next step. @internal */
export interface DraftBudget {
  depth: number;
  /** Of a tree. */
  nodes: number;
  worth: number;
  /** The chance of acceptance that it was chosen for. */
  acceptance: number;
  /** Expected milliseconds of the step without any draft. */
  plainTime: number;
}

/** What a scheduler does for its lanes. @internal */
export interface LaneOwner {
  /** A lane may want a step now. */
  wake(): void;
  /** A lane has its draft, or does without. */
  drafted(lane: Lane): void;
  leave(lane: Lane): void;
  /** Tokens that a draft may take of the cache: those that no other lane needs for its next step. */
  roomFor(lane: Lane): number;
  /** Other lanes that have taken part in something lately. */
  company(lane: Lane): number;
  /** How far a lane in company may draft now; undefined: not at all. */
  budgetOf(lane: Lane): DraftBudget | undefined;
  /** Enqueues a step for what follows the lane's draft that is being verified, at once. @returns whether there was room */
  follow(lane: Lane, proposal: Proposal): boolean;
}

/**
 * One generation in the scheduler of its model: the prompt tokens that are still to be computed, and then a token after another, as
 * far as its consumer has asked for them, or drafts to be verified. Steps are enqueued before a step's token is known to the host (it
 * is where the device needs it), so that the device does not wait for JavaScript; what has not been asked for does not become a row
 * of any step.
 * @internal
 */
export class Lane implements Disposable {
  readonly kv: KvSequence;
  readonly sampler: Sampler;
  /** Number of the step that it last took part in. */
  lastTurn = 0;
  /** Other lanes in that step. */
  lastCompany = 0;
  /** There was no page for it; it waits for those that others hold for a moment. */
  isStarved = false;
  /** What its drafts come to, and since which step: for who decides on those of several. undefined: nobody else decides. */
  prospect: { acceptance: number | undefined; most: number; turn: number } | undefined;
  readonly #owner: LaneOwner;
  readonly #drafter: Pick<Drafter, 'features'> | undefined;
  #prompt: Int32Array = new Int32Array();
  /** Tokens of the prompt before these that were in the cache already. */
  #adopted = 0;
  /** Prompt tokens that steps have taken, and whether one of these steps is under way. */
  #taken = 0;
  #isPrefilling = false;
  /** Tokens that may be under way or have arrived without being taken. */
  #allowance = 0;
  #underWay = 0;
  readonly #arrived: Drawn[] = [];
  #waiting: { resolve: (drawn: Drawn) => void; reject: (error: unknown) => void } | undefined;
  #proposal: Proposal | undefined;
  /** Who waits for drafts to be verified, in their order. */
  readonly #verifying: { resolve: (verified: Verified) => void; reject: (error: unknown) => void }[] = [];
  #draftingSince: number | undefined;
  #draftedSince: number | undefined;
  #lengthBefore = 0;
  #usualNodes = 0;
  #failure: { error: unknown } | undefined;
  #isClosed = false;

  /** @internal Use {@link Scheduler.open}. */
  constructor(owner: LaneOwner, kv: KvSequence, sampler: Sampler, drafter: Pick<Drafter, 'features'> | undefined) {
    this.#owner = owner;
    this.kv = kv;
    this.sampler = sampler;
    this.#drafter = drafter;
  }

  /** Is shown the features of its rows. */
  get sink(): FeatureSink | undefined {
    return this.#drafter?.features;
  }

  /**
   * Tokens to be computed before the first one is drawn. Nothing happens before that is asked for.
   * @param adopted tokens before them that another generation has computed; the rest is computed as if all of them were
   */
  begin(prompt: Int32Array, adopted: number): void {
    this.#prompt = prompt;
    this.#adopted = adopted;
  }

  /** Rows of the prompt: all, those included that were adopted, and those that no step has taken yet. */
  get promptRows(): number {
    return this.#adopted + this.#prompt.length;
  }

  get promptLeft(): number {
    return this.#prompt.length - this.#taken;
  }

  /** Tokens under way, and arrived but not taken. */
  get outstanding(): number {
    return this.#underWay + this.#arrived.length;
  }

  /** Does it take part no more? */
  get hasEnded(): boolean {
    return this.#isClosed || this.#failure !== undefined;
  }

  /** Is the next step of the generation wanted, and does it not wait for one under way? */
  get isReady(): boolean {
    if (this.hasEnded || this.isStarved) return false;
    if (this.promptLeft > 0) return this.#allowance > 0 && !this.#isPrefilling;
    if (this.#proposal) return true;
    const isAwaited = this.outstanding === 0 && this.#waiting !== undefined;
    return this.outstanding < this.#allowance && (isAwaited || this.#mayRunAhead);
  }

  /** What it wants to have verified in its next step. */
  get proposal(): Proposal | undefined {
    return this.#proposal;
  }

  /** Nodes of what it wants to have verified, if nobody is to leave some out; and of what it wanted last. */
  get wholeNodes(): number {
    return this.#proposal && this.#proposal.acceptance === undefined ? sizeOf(this.#proposal.draft) : 0;
  }

  get usualNodes(): number {
    return this.#usualNodes;
  }

  /** When it began to draft, as long as it does; and when it began with the draft that waits for its step. */
  get draftingSince(): number | undefined {
    return this.#draftingSince;
  }

  get draftedSince(): number | undefined {
    return this.#draftedSince;
  }

  /** Does it draft with a part of the model, and hold pages of the cache meanwhile? */
  get holdsForDraft(): boolean {
    return !this.hasEnded && this.#draftingSince !== undefined && this.kv.length > this.#lengthBefore;
  }

  /**
   * The next token.
   * @param allowance tokens that may be under way from now on, this one included; 0 only takes what is outstanding
   */
  next(allowance: number): Promise<Drawn> {
    const next = new Promise<Drawn>((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
    this.#allowance = allowance;
    this.#settle();
    if (this.isReady) this.#owner.wake();
    return next;
  }

  /** Wants no step beyond those under way until the next token is asked for, or a draft is to be verified. */
  rest(): void {
    this.#allowance = 0;
    this.#proposal = undefined;
  }

  /** Its next step waits for a draft that is being made. Nothing is outstanding. */
  draft(): void {
    this.#draftingSince = performance.now();
    this.#lengthBefore = this.kv.length;
  }

  /** The tokens of its next step, which verifies a draft, all of it or as much as the scheduler sees fit. Nothing is outstanding. */
  verify(proposal: Proposal): Promise<Verified> {
    const verified = this.#verdict();
    this.#proposal = proposal;
    this.#usualNodes = this.wholeNodes;
    this.#owner.drafted(this);
    this.#draftedSince = this.#draftingSince;
    this.#draftingSince = undefined;
    this.#settle();
    if (this.isReady) this.#owner.wake();
    return verified;
  }

  /** The tokens of a step behind the one that verifies its draft now; undefined: there is none. */
  follow(proposal: Proposal): Promise<Verified> | undefined {
    if (this.hasEnded || !this.#owner.follow(this, proposal)) return undefined;
    const verified = this.#verdict();
    this.#settle();
    return verified;
  }

  /** Tokens that a draft may take of the cache for the time of its step. */
  get room(): number {
    return this.#owner.roomFor(this);
  }

  /** Are there other generations that steps can be shared with? */
  get hasCompany(): boolean {
    return this.#owner.company(this) > 0;
  }

  /** How far it may draft in company; undefined: not at all. */
  get budget(): DraftBudget | undefined {
    return this.#owner.budgetOf(this);
  }

  /** Takes the next rows of the prompt for a step. */
  takePrompt(rows: number): Int32Array {
    const part = this.#prompt.subarray(this.#taken, this.#taken + rows);
    this.#taken += rows;
    return part;
  }

  /** A step has been enqueued that computes some of the prompt, or draws a token or verifies its draft, or both. */
  enqueued(isPrompt: boolean, draws: boolean): void {
    this.#isPrefilling = isPrompt;
    this.#proposal = undefined;
    this.#draftedSince = undefined;
    if (draws) this.#underWay++;
  }

  /** A step has run. @param verified undefined when it drew nothing */
  arrive(verified: Verified | undefined): void {
    this.#isPrefilling = false;
    if (!verified || this.hasEnded) return;
    this.#underWay--;
    const waiting = this.#verifying.shift();
    if (waiting) {
      waiting.resolve(verified);
      return;
    }
    this.#arrived.push(verified.drawn[0] as Drawn);
    this.#settle();
  }

  /** Takes no part any more; its consumer is told after the tokens that have arrived. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#settle();
  }

  /** Ends its part. Steps under way run, for nobody. */
  dispose(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#owner.leave(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** A step ahead may be in vain: where pages are few it takes none that another sequence may need now. */
  get #mayRunAhead(): boolean {
    const { kv } = this;
    if (kv.isDisposed || kv.cache.isDisposed) return false;
    const { pageSize, freeTokens } = kv.cache;
    return kv.length % pageSize !== 0 || freeTokens >= sparePages * pageSize;
  }

  /** What will come of the draft whose verification is wanted now. */
  #verdict(): Promise<Verified> {
    return new Promise((resolve, reject) => {
      this.#verifying.push({ resolve, reject });
    });
  }

  #settle(): void {
    if (this.#failure) {
      for (const { reject } of this.#verifying.splice(0)) reject(this.#failure.error);
    }
    if (!this.#waiting) return;
    const { resolve, reject } = this.#waiting;
    if (this.#arrived.length > 0) {
      this.#waiting = undefined;
      this.#allowance--;
      resolve(this.#arrived.shift() as Drawn);
    } else if (this.#failure) {
      this.#waiting = undefined;
      reject(this.#failure.error);
    }
  }
}
