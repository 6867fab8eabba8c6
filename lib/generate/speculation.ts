// SPDX-License-Identifier: Apache-2.0
import { checkObject, invalidArgument, PagewarpError, shapeMismatch } from '../errors.js';
import type { LlamaRunner } from '../model/llama.js';
import type { TokenSequence } from '../model/sequence.js';
import { depthsOf } from '../ops/treemask.js';
import type { VerifyRule } from '../ops/verify.js';
import {
  type Draft,
  type Drafter,
  type EnqueuedDraft,
  mostOfTree,
  noDraft,
  sizeOf,
  truncated,
} from '../speculate/drafter.js';
import { Event } from '../tensor/stream.js';
import type { Tensor } from '../tensor/tensor.js';
import { SpeculationControl } from './control.js';
import { ChainInFlight, Flight, type Prepared } from './flight.js';
import type { Interrupt } from './interrupt.js';
import type { Lane } from './lane.js';
import type { ResolvedOptions } from './options.js';
import type { Pace } from './pace.js';
import type { Proposal, Verified } from './proposal.js';
import type { SpeculationStatistics } from './result.js';
import type { Drawn, Sampler } from './sampler.js';

/** How far a draft may go. */
interface Limits {
  nodes: number;
  /** Of a chain. */
  depth: number;
  /** Chance of acceptance that pays for a node. */
  worth: number;
}

const noLimits: Limits = { nodes: 0, depth: 0, worth: 1 };

/** Drafters that generations under way speculate with. */
const serving = new WeakSet<Drafter>();

/** The speculative passes of one generation: draft, verify in one pass, keep what was accepted (Leviathan et al., 2023). @internal */
export class Speculation implements Disposable {
  readonly #runner: LlamaRunner;
  readonly #sequence: TokenSequence;
  readonly #options: ResolvedOptions;
  readonly #drafter: Drafter;
  readonly #sampler: Sampler;
  readonly #lane: Lane;
  readonly #interrupt: Interrupt;
  readonly #control: SpeculationControl | undefined;
  /** The next pass, which has been enqueued before what came of this one was known. */
  #ahead: Flight | undefined;
  /** When the last one landed. */
  #landed = 0;
  #verified: Event | undefined;
  #passes = 0;
  #drafted = 0;
  #accepted = 0;
  #sharedPasses = 0;
  #plainSteps = 0;
  #draftTime = 0;
  /** Tokens that the drafter has been asked to follow. */
  #followed = 0;
  /** The step that last told how drafts fare. */
  #judged: number;

  /** @throws PagewarpError when the drafter cannot serve this generation */
  constructor(
    runner: LlamaRunner,
    sequence: TokenSequence,
    options: ResolvedOptions,
    drafter: Drafter,
    sampler: Sampler,
    lane: Lane,
    interrupt: Interrupt,
  ) {
    this.#runner = runner;
    this.#sequence = sequence;
    this.#options = options;
    this.#drafter = drafter;
    this.#sampler = sampler;
    this.#lane = lane;
    this.#interrupt = interrupt;
    this.#judged = lane.lastTurn;
    this.#control = options.adaptive ? new SpeculationControl(options.maxDraft) : undefined;
    if (serving.has(drafter)) {
      throw invalidArgument('speculate', 'a drafter that serves another generation', 'one that serves this one alone');
    }
    serving.add(drafter);
    try {
      const { sampling, seed } = options;
      drafter.reset({ vocabulary: runner.config.vocabulary, sampling, seed, runner, kv: sequence.kv });
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Is the next pass under way? */
  get isAhead(): boolean {
    return this.#ahead !== undefined;
  }

  /** Plain steps to be taken before the next pass. */
  get rest(): number {
    return this.#control?.rest ?? 0;
  }

  /**
   * The same in company: as many as there are, or none.
   * @param remaining tokens that may still be generated
   */
  restInCompany(remaining: number): number {
    this.#offer(remaining);
    return this.#lane.budget ? 0 : Number.POSITIVE_INFINITY;
  }

  /** Takes the pace of plain steps. @param isOwn no other generation had a part in them */
  rested(pace: Pace, isOwn: boolean): void {
    this.#plainSteps += pace.steps;
    if (isOwn) this.#control?.plain(pace.steps, pace.perStep);
    else this.#control?.unmeasured(pace.steps);
  }

  get statistics(): SpeculationStatistics {
    const passes = this.#passes;
    return {
      passes,
      sharedPasses: this.#sharedPasses,
      plainSteps: this.#plainSteps,
      drafted: this.#drafted,
      accepted: this.#accepted,
      acceptanceRate: this.#drafted > 0 ? this.#accepted / this.#drafted : 0,
      meanAcceptedLength: passes > 0 ? this.#accepted / passes : 0,
      meanEmittedLength: passes > 0 ? 1 + this.#accepted / passes : 0,
      draftTime: this.#draftTime / 1000,
      ...(this.#control ? { timeSaved: this.#control.saved / 1000 } : {}),
    };
  }

  /**
   * One pass of the target model.
   * @param remaining tokens that may still be generated, at least 1
   * @param isShared its step is one of several generations, who decide together on what they draft
   * @returns what was drawn, at least one token
   */
  async pass(remaining: number, isShared: boolean): Promise<Drawn[]> {
    const started = this.#ahead ? this.#landed : performance.now();
    const { shapes } = this.#runner;
    const { length } = this.#sequence.tokens;
    const missed = length - this.#followed;
    const budget = isShared ? this.#lane.budget : undefined;
    const flight =
      this.#ahead ??
      (isShared
        ? await this.#begin(remaining, budget ?? noLimits, budget?.acceptance ?? 0)
        : await this.#begin(remaining, this.#control));
    // One that was under way has taken what has passed since the one before it landed, however late it is asked for.
    const drafted = this.#ahead ? this.#landed : performance.now();
    this.#ahead = undefined;
    const { drawn, path, draft: verified } = await this.#land(flight, remaining, isShared);
    const finished = flight.landed;
    this.#landed = finished;
    const accepted = path.length;
    const nodes = verified.tokens.length;
    this.#followed = length + drawn.length;
    this.#draftTime += drafted - started;
    if (nodes > 0) this.#passes++;
    else this.#plainSteps++;
    if (nodes > 0 && this.#lane.lastCompany > 0) this.#sharedPasses++;
    this.#drafted += nodes;
    this.#accepted += accepted;
    const depth = depthOf(verified);
    if (isShared || this.#lane.lastCompany > 0) {
      const saved = budget ? drawn.length * budget.plainTime - (finished - started) : 0;
      this.#control?.shared({ depth, accepted }, saved);
      if (nodes > 0) this.#judged = this.#lane.lastTurn;
      return drawn;
    }
    this.#control?.pass({
      drafted: nodes,
      depth,
      accepted,
      draftTime: drafted - started,
      verifyTime: finished - drafted,
      isFirst: this.#runner.shapes > shapes,
      missed,
    });
    return drawn;
  }

  /** The drafter forgets the sequence, and may serve another generation. */
  dispose(): void {
    if (this.#ahead) drop(this.#ahead.prepared);
    this.#verified?.dispose();
    serving.delete(this.#drafter);
    this.#drafter.reset();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Says what its drafts come to, for those who decide together. */
  #offer(remaining: number): void {
    const control = this.#control;
    const canDraft = control && control.rest !== Number.POSITIVE_INFINITY;
    const most = Math.min(this.#options.maxDraft, remaining - 1);
    this.#lane.prospect = canDraft ? { acceptance: control.seenAcceptance, most, turn: this.#judged } : undefined;
  }

  #limits(remaining: number, own: Limits | undefined): Limits {
    const { maxRows, maxOutputs } = this.#runner;
    const possible = Math.min(this.#options.maxDraft, remaining - 1, maxRows - 1, maxOutputs - 1, this.#room);
    const { worth = 0, depth = possible, nodes = possible } = own ?? {};
    return { nodes: Math.min(possible, nodes), depth, worth };
  }

  async #draft({ nodes, depth, worth }: Limits): Promise<Draft | EnqueuedDraft> {
    if (nodes < 1) return noDraft;
    const { tokens, cachedLength } = this.#sequence;
    const { enqueue } = this.#drafter;
    const enqueued = enqueue?.call(this.#drafter, tokens, nodes, worth, depth);
    const draft =
      (enqueued && (await this.#interrupt.wait(Promise.resolve(enqueued)))) ??
      (await this.#interrupt.wait(Promise.resolve(this.#drafter.draft(tokens, nodes, worth))));
    this.#sequence.settle(cachedLength); // a part of the model that was disposed meanwhile has left its nodes
    checkObject('draft', draft);
    if (this.#options.signal?.aborted) release(draft);
    this.#options.signal?.throwIfAborted();
    if ('enqueued' in draft) return draft;
    checkObject('tokens of a draft', draft.tokens);
    const made = truncated(draft, Math.min(nodes, draft.parents ? mostOfTree(this.#runner) : depth));
    checkDraft(made, this.#runner.config.vocabulary);
    return made;
  }

  /** Nodes that the cache has room for: speculation must not fail, nor let others fail, where plain decoding has room. */
  get #room(): number {
    return this.#lane.room - 1;
  }

  /**
   * Drafts, and has it verified.
   * @param acceptance of its levels, where others decide how much of it is verified
   */
  async #begin(remaining: number, own: Limits | undefined, acceptance?: number): Promise<Flight> {
    this.#lane.draft();
    const draft = await this.#draft(this.#limits(remaining, own));
    const last = this.#sequence.tokens.at(-1) as number;
    const prepared = this.#prepare(draft, { last, acceptance });
    return new Flight(prepared, this.#lane.verify(prepared.proposal));
  }

  /** Drafts what follows a chain that is being verified, and has it verified, before the host knows what comes of the chain. */
  async #follow({ prepared: { chain } }: Flight, remaining: number): Promise<Flight | undefined> {
    if (!chain?.isEnqueued || this.#lane.hasCompany || this.#options.signal?.aborted) return undefined;
    // What this pass costs decides how far the next one goes. Where plain steps are due, it is the last one.
    if (this.#control?.isTrying || this.rest > 0) return undefined;
    const { nodes, depth, worth } = this.#limits(remaining - chain.drafted - 1, this.#control);
    const most = Math.min(nodes, this.#runner.maxLateRows - 1);
    // Where the end of the text is near, how far to draft depends on what is accepted; and what was drawn by chance, on that.
    if (most < chain.drafted) return undefined;
    const draft = await this.#interrupt.wait(Promise.resolve(this.#drafter.follow?.(chain, most, worth, depth)));
    if (!draft) return undefined;
    const end = chain.context.length + chain.drafted + 1 + sizeOf(draft);
    const late = { last: undefined, acceptance: undefined, late: { pending: chain, end } };
    const prepared = this.#prepare(draft, late);
    const verifying = this.#lane.follow(prepared.proposal);
    if (verifying) return new Flight(prepared, verifying);
    drop(prepared);
    draft.withdraw?.();
    return undefined;
  }

  #prepare(draft: Draft | EnqueuedDraft, how: Pick<Proposal, 'last' | 'acceptance' | 'late'>): Prepared {
    let top: Promise<{ top?: Int32Array }> = Promise.resolve({});
    const chain = this.#chainOf(draft);
    const onLogits = (logits: Tensor<'f32'>): void => {
      top = this.#top(logits);
    };
    if (chain) release(draft);
    const proposal = {
      draft: chain?.draft ?? draft,
      rule: this.#rule(draft),
      ...how,
      onLogits,
      ...(chain ? { onVerdict: chain.onVerdict } : {}),
    };
    return { proposal, chain, top: () => top };
  }

  /**
   * What another draft could follow. Who keeps a history, or is shown features, must know where rows are; and those in company are
   * verified by one command.
   */
  #chainOf(draft: Draft | EnqueuedDraft): ChainInFlight | undefined {
    if (!('enqueued' in draft) || draft.parents || !this.#drafter.follow) return undefined;
    if (this.#sampler.history || this.#lane.sink || this.#lane.hasCompany) return undefined;
    const { stream } = this.#runner;
    this.#verified ??= new Event();
    return new ChainInFlight(stream, draft, this.#sampler.last, this.#sequence.tokens, this.#verified);
  }

  /** Waits for what comes of a draft; what may follow it is enqueued before. */
  async #land(flight: Flight, remaining: number, isShared: boolean): Promise<Verified> {
    try {
      if (!isShared) this.#ahead = await this.#follow(flight, remaining);
      const { verified, ...top } = await this.#interrupt.wait(flight.outcome);
      const { drawn, draft, path } = verified;
      this.#drafter.observe({ draft, path, tokens: drawn.map(({ token }) => token), ...top });
      return verified;
    } finally {
      this.#lane.rest(); // no step is to begin with what is given back
      drop(flight.prepared);
    }
  }

  #rule(draft: Draft | EnqueuedDraft): VerifyRule {
    return this.#options.verification ?? (draft.source?.kind === 'sampled' ? 'rejection' : 'match');
  }

  /** The most probable tokens after each row, for a drafter that wants them. */
  #top(logits: Parameters<Sampler['mostProbable']>[0]): Promise<{ top?: Int32Array }> {
    const { topTokens = 0 } = this.#drafter;
    if (topTokens === 0) return Promise.resolve({});
    const top = this.#sampler.mostProbable(logits, topTokens).then((ids) => ({ top: ids }));
    top.catch(() => {}); // what broke the step is reported by the tokens' own promise, too
    return top;
  }
}

/** Gives back what belongs to a draft that has been verified, or will be for nobody. */
function drop({ proposal: { draft }, chain }: Prepared): void {
  if (chain) chain.dispose();
  else release(draft);
}

/** Gives back what the caller of a drafter owns. */
function release(draft: Draft | EnqueuedDraft): void {
  if ('enqueued' in draft) draft.enqueued.dispose();
}

/** What is wrong with a draft is to concern no other generation of its step. */
function checkDraft({ tokens, parents }: Draft, vocabulary: number): void {
  for (const token of tokens) {
    if (Number.isInteger(token) && token >= 0 && token < vocabulary) continue;
    throw new PagewarpError(
      'ERR_INVALID_TOKEN',
      `drafted token ${token}: tokens of this model are 0 to ${vocabulary - 1}`,
    );
  }
  if (!parents) return;
  if (parents.length !== tokens.length)
    throw shapeMismatch('parents', [parents.length], [tokens.length], 'one per node');
  depthsOf(parents);
}

function depthOf({ tokens, parents }: Draft): number {
  return parents ? depthsOf(parents).reduce((deepest, depth) => Math.max(deepest, depth), 0) : tokens.length;
}
