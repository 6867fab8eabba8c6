// SPDX-License-Identifier: Apache-2.0
import { invalidArgument } from '../errors.js';
import type { LlamaRunner } from '../model/llama.js';
import type { TokenSequence } from '../model/sequence.js';
import type { StepOptions } from '../model/step.js';
import { depthsOf, treeMask } from '../ops/treemask.js';
import type { VerifyRule } from '../ops/verify.js';
import { type Draft, type Drafter, type EnqueuedDraft, noDraft, sizeOf, truncated } from '../speculate/drafter.js';
import { Tensor } from '../tensor/tensor.js';
import { SpeculationControl } from './control.js';
import type { Interrupt } from './interrupt.js';
import type { Lane } from './lane.js';
import type { ResolvedOptions } from './options.js';
import type { Pace } from './pace.js';
import type { SpeculationStatistics } from './result.js';
import type { Drawn, Sampler, Verified } from './sampler.js';

/** Rows of one tree mask: a draft's nodes and the last token. */
const mostTreeRows = 64;

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
  #passes = 0;
  #drafted = 0;
  #accepted = 0;
  #plainSteps = 0;
  #draftTime = 0;
  /** Tokens that the drafter has been asked to follow. */
  #followed = 0;

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
    this.#control = options.adaptive ? new SpeculationControl() : undefined;
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

  /** Plain steps to be taken before the next pass. */
  get rest(): number {
    return this.#control?.rest ?? 0;
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
   * @returns what was drawn, at least one token
   */
  async pass(remaining: number): Promise<Drawn[]> {
    const started = performance.now();
    const { shapes } = this.#runner;
    const { length } = this.#sequence.tokens;
    const missed = length - this.#followed;
    const draft = this.#fitting(await this.#draft(remaining));
    const drafted = performance.now();
    const nodes = sizeOf(draft);
    const verified = nodes > 0 ? await this.#verify(draft).finally(() => release(draft)) : await this.#plain();
    const finished = performance.now();
    const accepted = verified.path.length;
    this.#followed = length + verified.drawn.length;
    this.#draftTime += drafted - started;
    if (nodes > 0) this.#passes++;
    else this.#plainSteps++;
    this.#drafted += nodes;
    this.#accepted += accepted;
    this.#control?.pass({
      drafted: nodes,
      depth: depthOf(draft),
      accepted,
      draftTime: drafted - started,
      verifyTime: finished - drafted,
      isFirst: this.#runner.shapes > shapes,
      missed,
    });
    return verified.drawn;
  }

  /** The drafter forgets the sequence, and may serve another generation. */
  dispose(): void {
    serving.delete(this.#drafter);
    this.#drafter.reset();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async #draft(remaining: number): Promise<Draft | EnqueuedDraft> {
    const { tokens } = this.#sequence;
    const possible = Math.min(this.#options.maxDraft, remaining - 1, this.#runner.maxRows - 1, this.#room);
    if (possible < 1) return noDraft;
    const { worth = 0, depth = possible, nodes = possible } = this.#control ?? {};
    const most = Math.min(possible, nodes);
    const { enqueue } = this.#drafter;
    const enqueued = enqueue?.call(this.#drafter, tokens, most, worth, depth);
    const draft =
      (enqueued && (await this.#interrupt.wait(Promise.resolve(enqueued)))) ??
      (await this.#interrupt.wait(Promise.resolve(this.#drafter.draft(tokens, most, worth))));
    if (this.#options.signal?.aborted) release(draft);
    this.#options.signal?.throwIfAborted();
    if ('enqueued' in draft) return draft;
    return truncated(draft, draft.parents ? Math.min(most, mostTreeRows - 1) : Math.min(most, depth));
  }

  /** Others may have taken pages since the draft was begun. */
  #fitting(draft: Draft | EnqueuedDraft): Draft | EnqueuedDraft {
    const room = Math.max(0, this.#room);
    if (sizeOf(draft) <= room) return draft;
    if (!('enqueued' in draft)) return truncated(draft, room);
    release(draft); // what only the device knows cannot be cut
    return noDraft;
  }

  /** Nodes that the cache has room for: speculation must not fail, nor let others fail, where plain decoding has room. */
  get #room(): number {
    return this.#lane.room - 1;
  }

  async #plain(): Promise<Verified> {
    let top: Promise<{ top?: Int32Array }> = Promise.resolve({});
    this.#lane.onLogits = (logits) => {
      top = this.#top(logits);
    };
    const drawn = await this.#interrupt.wait(this.#lane.next(1));
    this.#lane.onLogits = undefined;
    this.#drafter.observe({ draft: noDraft, path: [], tokens: [drawn.token], ...(await top) });
    return { drawn: [drawn], nodes: [], path: [] };
  }

  async #verify(draft: Draft | EnqueuedDraft): Promise<Verified> {
    const { tokens, kv } = this.#sequence;
    const { parents } = draft;
    const position = kv.length;
    const rows = 1 + sizeOf(draft);
    using _pass = this.#lane.pass();
    kv.reserve(rows, this.#runner.stream);
    const last = tokens.at(-1) as number;
    const ids = 'enqueued' in draft ? this.#joined(draft.enqueued) : Int32Array.of(last, ...draft.tokens);
    const logits = this.#forward(ids, rows, treeOptions(draft, position));
    if (ids instanceof Tensor) ids.dispose();
    const verifying = this.#sampler.verify(logits, draft, this.#rule(draft), position);
    const top = this.#top(logits);
    const verified = await this.#interrupt.wait(verifying);
    kv.keep([0, ...verified.path.map((node) => node + 1)], rows, this.#runner.stream);
    const emitted = verified.drawn.map(({ token }) => token);
    const known = 'tokens' in draft ? draft : { tokens: verified.nodes, ...(parents ? { parents } : {}) };
    this.#drafter.observe({ draft: known, path: verified.path, tokens: emitted, ...(await top) });
    return verified;
  }

  /** The token drawn last and a draft that the device alone knows. */
  #joined(draft: Tensor<'i32'>): Tensor<'i32'> {
    const { stream } = this.#runner;
    const ids = Tensor.empty(stream.device, [1 + (draft.shape[0] as number)], 'i32');
    using first = ids.slice(0, 0, 1);
    using others = ids.slice(0, 1, ids.shape[0] as number);
    first.copyFrom(this.#sampler.last, stream);
    others.copyFrom(draft, stream);
    return ids;
  }

  #rule(draft: Draft | EnqueuedDraft): VerifyRule {
    return this.#options.verification ?? (draft.source?.kind === 'sampled' ? 'rejection' : 'match');
  }

  /** Shows the rows' features to the drafter, too. */
  #forward(ids: Int32Array | Tensor<'i32'>, queryLength: number, options: StepOptions = {}): Tensor<'f32'> {
    const { kv } = this.#sequence;
    const runner = this.#runner;
    const sink = this.#drafter.features;
    const batch = runner.cache.batch([{ sequence: kv, queryLength }]);
    const logits = runner.forward(batch, ids, queryLength, sink ? { ...options, features: true } : options);
    sink?.take(runner.features(queryLength), kv.length - queryLength);
    return logits;
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

/** Gives back what the caller of a drafter owns. */
function release(draft: Draft | EnqueuedDraft): void {
  if ('enqueued' in draft) draft.enqueued.dispose();
}

/** How the rows of a tree differ from the next tokens: the last token of the context is their root. */
function treeOptions({ parents }: Draft | EnqueuedDraft, position: number): StepOptions | undefined {
  if (!parents) return undefined;
  const rows = [-1, ...parents.map((parent) => parent + 1)];
  const positions = depthsOf(rows).map((depth) => position + depth - 1);
  return { positions, mask: treeMask([rows]) };
}

function depthOf(draft: Draft | EnqueuedDraft): number {
  const { parents } = draft;
  return parents ? depthsOf(parents).reduce((deepest, depth) => Math.max(deepest, depth), 0) : sizeOf(draft);
}
