// SPDX-License-Identifier: Apache-2.0
import type { KvSequence } from '../kv/sequence.js';
import type { LlamaRunner, StepOptions } from '../model/llama.js';
import type { TokenSequence } from '../model/sequence.js';
import { depthsOf, treeMask } from '../ops/treemask.js';
import type { VerifyRule } from '../ops/verify.js';
import { type Draft, type Drafter, noDraft, truncated } from '../speculate/drafter.js';
import type { Tensor } from '../tensor/tensor.js';
import { SpeculationControl } from './control.js';
import type { Interrupt } from './interrupt.js';
import type { ResolvedOptions } from './options.js';
import type { SpeculationStatistics } from './result.js';
import type { Drawn, Sampler, Verified } from './sampler.js';

/** Rows of one tree mask: a draft's nodes and the last token. */
const mostTreeRows = 64;

/**
 * Enqueues a step over the newest tokens of one sequence, for which it has room already, and shows its features to the drafter.
 * @returns the logits of the last `outputs` rows
 */
export function forwardNext(
  runner: LlamaRunner,
  kv: KvSequence,
  ids: Int32Array | Tensor<'i32'>,
  outputs: number,
  drafter: Drafter | undefined,
  options: StepOptions = {},
): Tensor<'f32'> {
  const queryLength = ids instanceof Int32Array ? ids.length : 1;
  const batch = runner.cache.batch([{ sequence: kv, queryLength }]);
  const sink = drafter?.features;
  const logits = runner.forward(batch, ids, outputs, sink ? { ...options, features: true } : options);
  sink?.take(runner.features(queryLength), kv.length - queryLength);
  return logits;
}

/** How fast plain steps come, without what their consumer does between them. */
export class Pace {
  #last = performance.now();
  readonly #intervals: number[] = [];

  /** A token has arrived. */
  tick(): void {
    const now = performance.now();
    this.#intervals.push(now - this.#last);
    this.#last = now;
  }

  get steps(): number {
    return this.#intervals.length;
  }

  /** The median interval, in milliseconds; the first, which nothing was enqueued ahead of, counts only if it is the only one. */
  get perStep(): number {
    const steady = this.#intervals.slice(this.steps > 1 ? 1 : 0).sort((a, b) => a - b);
    return steady[steady.length >> 1] ?? 0;
  }
}

/** The speculative passes of one generation: draft, verify in one pass, keep what was accepted (Leviathan et al., 2023). */
export class Speculation {
  readonly #runner: LlamaRunner;
  readonly #sequence: TokenSequence;
  readonly #options: ResolvedOptions;
  readonly #drafter: Drafter;
  readonly #sampler: Sampler;
  readonly #interrupt: Interrupt;
  readonly #control: SpeculationControl | undefined;
  #passes = 0;
  #drafted = 0;
  #accepted = 0;
  #plainSteps = 0;
  #draftTime = 0;

  /** @throws PagewarpError when the drafter cannot serve this generation */
  constructor(
    runner: LlamaRunner,
    sequence: TokenSequence,
    options: ResolvedOptions,
    drafter: Drafter,
    sampler: Sampler,
    interrupt: Interrupt,
  ) {
    this.#runner = runner;
    this.#sequence = sequence;
    this.#options = options;
    this.#drafter = drafter;
    this.#sampler = sampler;
    this.#interrupt = interrupt;
    this.#control = options.adaptive ? new SpeculationControl() : undefined;
    const { sampling, seed } = options;
    drafter.reset({ vocabulary: runner.config.vocabulary, sampling, seed, runner, kv: sequence.kv });
  }

  /** Plain steps to be taken before the next pass. */
  get rest(): number {
    return this.#control?.rest ?? 0;
  }

  /** Takes the pace of plain steps. */
  rested(pace: Pace): void {
    this.#plainSteps += pace.steps;
    this.#control?.plain(pace.steps, pace.perStep);
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
    const draft = await this.#draft(remaining);
    const drafted = performance.now();
    const { tokens } = draft;
    const verified = tokens.length > 0 ? await this.#verify(draft) : await this.#plain();
    const finished = performance.now();
    const accepted = verified.path.length;
    this.#draftTime += drafted - started;
    if (tokens.length > 0) this.#passes++;
    else this.#plainSteps++;
    this.#drafted += tokens.length;
    this.#accepted += accepted;
    this.#control?.pass({
      drafted: tokens.length,
      depth: depthOf(draft),
      accepted,
      draftTime: drafted - started,
      verifyTime: finished - drafted,
      isFirst: this.#runner.shapes > shapes,
    });
    return verified.drawn;
  }

  async #draft(remaining: number): Promise<Draft> {
    const { tokens, kv } = this.#sequence;
    // Speculation must not fail where plain decoding has room.
    const room = kv.cache.freeTokens - 1;
    const most = Math.min(this.#options.maxDraft, remaining - 1, this.#runner.maxRows - 1, room);
    if (most < 1) return noDraft;
    const draft = await this.#interrupt.wait(
      Promise.resolve(this.#drafter.draft(tokens, most, this.#control?.worth ?? 0)),
    );
    this.#options.signal?.throwIfAborted();
    if (draft.parents) return truncated(draft, Math.min(most, mostTreeRows - 1));
    return truncated(draft, Math.min(most, this.#control?.depth ?? most));
  }

  async #plain(): Promise<Verified> {
    const { tokens, kv } = this.#sequence;
    kv.reserve(1, this.#runner.stream);
    const logits = this.#forward([tokens.at(-1) as number]);
    const drawn = this.#sampler.draw(logits, kv.length - 1);
    const top = this.#top(logits);
    const verified = { drawn: [await this.#interrupt.wait(drawn)], path: [] };
    this.#drafter.observe({ draft: noDraft, path: [], tokens: [verified.drawn[0]?.token as number], ...(await top) });
    return verified;
  }

  async #verify(draft: Draft): Promise<Verified> {
    const { tokens, kv } = this.#sequence;
    const position = kv.length;
    const rows = 1 + draft.tokens.length;
    kv.reserve(rows, this.#runner.stream);
    const logits = this.#forward([tokens.at(-1) as number, ...draft.tokens], treeOptions(draft, position));
    const verifying = this.#sampler.verify(logits, draft, this.#rule(draft), position);
    const top = this.#top(logits);
    const verified = await this.#interrupt.wait(verifying);
    kv.keep([0, ...verified.path.map((node) => node + 1)], rows, this.#runner.stream);
    const emitted = verified.drawn.map(({ token }) => token);
    this.#drafter.observe({ draft, path: verified.path, tokens: emitted, ...(await top) });
    return verified;
  }

  #rule(draft: Draft): VerifyRule {
    return this.#options.verification ?? (draft.source?.kind === 'sampled' ? 'rejection' : 'match');
  }

  #forward(ids: readonly number[], options?: StepOptions) {
    return forwardNext(this.#runner, this.#sequence.kv, Int32Array.from(ids), ids.length, this.#drafter, options);
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

/** How the rows of a tree differ from the next tokens: the last token of the context is their root. */
function treeOptions({ parents }: Draft, position: number): StepOptions | undefined {
  if (!parents) return undefined;
  const rows = [-1, ...parents.map((parent) => parent + 1)];
  const positions = depthsOf(rows).map((depth) => position + depth - 1);
  return { positions, mask: treeMask([rows]) };
}

function depthOf({ tokens, parents }: Draft): number {
  return parents ? depthsOf(parents).reduce((deepest, depth) => Math.max(deepest, depth), 0) : tokens.length;
}
