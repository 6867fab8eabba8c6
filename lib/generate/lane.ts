// SPDX-License-Identifier: Apache-2.0
import type { KvSequence } from '../kv/sequence.js';
import type { Drafter, FeatureSink } from '../speculate/drafter.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Drawn, Sampler } from './sampler.js';

/** Free pages below which steps ahead take none. */
const sparePages = 16;

/** What a scheduler does for its lanes. @internal */
export interface LaneOwner {
  /** A lane may want a step now. */
  wake(): void;
  leave(lane: Lane): void;
  /** Of a lane whose speculative pass begins. The result is disposed as it ends. */
  pass(lane: Lane): Disposable;
  /** Tokens that a speculative pass may take of the cache: those that no other lane needs for its next step. */
  roomFor(lane: Lane): number;
  /** Other lanes that have taken part in something lately. */
  company(lane: Lane): number;
}

/**
 * One generation in the scheduler of its model: the prompt tokens that are still to be computed, and then a token after another, as
 * far as its consumer has asked for them. Steps are enqueued before a step's token is known to the host (it is where the device
 * needs it), so that the device does not wait for JavaScript; what has not been asked for does not become a row of any step.
 * @internal
 */
export class Lane implements Disposable {
  readonly kv: KvSequence;
  readonly sampler: Sampler;
  /** Sees the logits of the rows that are drawn from, as their step is enqueued. */
  onLogits: ((logits: Tensor<'f32'>) => void) | undefined;
  /** Number of the step or speculative pass that it last took part in. */
  lastTurn = 0;
  /** There was no page for it; it waits for those that others hold for a moment. */
  isStarved = false;
  readonly #owner: LaneOwner;
  readonly #drafter: Pick<Drafter, 'features'> | undefined;
  #prompt: Int32Array = new Int32Array();
  /** Prompt tokens that steps have taken, and whether one of these steps is under way. */
  #taken = 0;
  #isPrefilling = false;
  /** Tokens that may be under way or have arrived without being taken. */
  #allowance = 0;
  #underWay = 0;
  readonly #arrived: Drawn[] = [];
  #waiting: { resolve: (drawn: Drawn) => void; reject: (error: unknown) => void } | undefined;
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

  /** Tokens to be computed before the first one is drawn. Nothing happens before that is asked for. */
  begin(prompt: Int32Array): void {
    this.#prompt = prompt;
  }

  /** Rows of the prompt: all, and those that no step has taken yet. */
  get promptRows(): number {
    return this.#prompt.length;
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
    const isAwaited = this.outstanding === 0 && this.#waiting !== undefined;
    return this.outstanding < this.#allowance && (isAwaited || this.#mayRunAhead);
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

  /** Wants no step beyond those under way until the next token is asked for. */
  rest(): void {
    this.#allowance = 0;
  }

  /** Its generation verifies a draft, in a pass of its own, until the result is disposed. */
  pass(): Disposable {
    return this.#owner.pass(this);
  }

  /** Tokens that a draft may take of the cache for the time of its pass. */
  get room(): number {
    return this.#owner.roomFor(this);
  }

  /** Are there other generations that steps can be shared with? */
  get hasCompany(): boolean {
    return this.#owner.company(this) > 0;
  }

  /** Takes the next rows of the prompt for a step. */
  takePrompt(rows: number): Int32Array {
    const part = this.#prompt.subarray(this.#taken, this.#taken + rows);
    this.#taken += rows;
    return part;
  }

  /** A step has been enqueued that computes some of the prompt, or draws a token, or both. */
  enqueued(isPrompt: boolean, draws: boolean): void {
    this.#isPrefilling = isPrompt;
    if (draws) this.#underWay++;
  }

  /** A step has run. @param drawn undefined when it drew nothing */
  arrive(drawn: Drawn | undefined): void {
    this.#isPrefilling = false;
    if (!drawn || this.hasEnded) return;
    this.#underWay--;
    this.#arrived.push(drawn);
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

  #settle(): void {
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
