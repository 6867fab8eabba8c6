// SPDX-License-Identifier: Apache-2.0
import { invalidArgument, PagewarpError } from '../errors.js';
import type { LlamaRunner } from '../model/llama.js';
import { cutOf, kindOf } from '../model/rows.js';
import { TokenSequence } from '../model/sequence.js';
import type { Detokenizer } from '../tokenizer/detokenizer.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { Holdings, type Settle } from './holdings.js';
import { Interrupt } from './interrupt.js';
import type { Lane } from './lane.js';
import type { ResolvedOptions } from './options.js';
import { Pace } from './pace.js';
import type { GenerateChunk, GenerateResult, Recorder } from './result.js';
import { type Drawn, Sampler } from './sampler.js';
import type { Scheduler } from './scheduler.js';
import { Speculation } from './speculation.js';
import { StopMatcher } from './stop.js';

/** What a generation needs of its model. @internal */
export interface GenerationContext {
  runner: LlamaRunner;
  scheduler: Scheduler;
  tokenizer: Tokenizer;
  /** Tokens that a sequence may have. */
  contextLength: number;
  /** Do prompts begin with what others have computed? */
  prefixCache: boolean;
}

/**
 * Text as it is generated: iterate over it. Leaving the loop, an abort or an error ends the generation and leaves the cache
 * clean. Nothing runs before the first chunk is asked for. Who calls the iterator's `next()` instead of using a loop ends it with
 * `return()`; one that is dropped without keeps its pages of the cache until the garbage collector finds it.
 */
export class Generation implements AsyncIterable<GenerateChunk> {
  /**
   * Settles when the generation has ended: also when its consumer left early or it was aborted (`cancelled`); rejects when
   * it failed. Does not start it: iterate, or call {@link Generation.complete}.
   */
  readonly result: Promise<GenerateResult>;
  readonly #begin: () => { steps: AsyncGenerator<GenerateChunk, void, void>; leaving: AbortController };
  #started = false;

  /** @internal Use {@link LanguageModel.generate}. */
  constructor(
    context: GenerationContext,
    prompt: () => readonly number[],
    options: ResolvedOptions,
    sequence: TokenSequence | undefined,
  ) {
    let settle!: Settle;
    this.result = new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
    this.result.catch(() => {}); // the iterator reports it, too
    this.#begin = () => {
      const holdings = new Holdings(options, settle);
      const leaving = new AbortController();
      const steps = run(context, prompt, options, sequence, holdings, leaving.signal);
      holdings.follow(steps);
      return { steps, leaving };
    };
  }

  /** @throws PagewarpError ERR_INVALID_ARGUMENT when it is being iterated, or has been */
  [Symbol.asyncIterator](): AsyncGenerator<GenerateChunk, void, void> {
    if (this.#started) {
      throw new PagewarpError('ERR_INVALID_ARGUMENT', 'a generation can be iterated only once; call generate() again');
    }
    this.#started = true;
    const { steps, leaving } = this.#begin();
    // Ended from outside while a chunk is awaited, it must not wait for it: a drafter's promise may never settle.
    const end = steps.return.bind(steps);
    steps.return = (value) => {
      leaving.abort();
      return end(value);
    };
    // To its first yield, which is nobody's: a generator that is ended before it began runs nothing, not even `finally`.
    void steps.next();
    return steps;
  }

  /** Runs to the end, for callers who do not want it piece by piece. */
  async complete(): Promise<GenerateResult> {
    for await (const _chunk of this);
    return this.result;
  }
}

async function* run(
  context: GenerationContext,
  prompt: () => readonly number[],
  options: ResolvedOptions,
  given: TokenSequence | undefined,
  holdings: Holdings,
  leaving: AbortSignal,
): AsyncGenerator<GenerateChunk, void, void> {
  try {
    yield { text: '', tokens: [] };
    const { closing } = context.scheduler;
    const interrupt = holdings.hold(
      new Interrupt(options.signal ? [options.signal, leaving, closing] : [leaving, closing]),
    );
    const sequence = holdings.claim(given ?? new TokenSequence(context.runner.cache.sequence()), !given);
    const decoder = holdings.hold(new Decoder(context, sequence, options, holdings.recorder, interrupt));
    yield* decoder.run(prompt());
  } catch (error) {
    if (leaving.aborted && error === leaving.reason) return;
    if (options.signal?.aborted && error === options.signal.reason) throw error;
    holdings.fail(error);
    throw error;
  } finally {
    holdings.end();
  }
}

/** One generation's loop over its tokens. */
class Decoder implements Disposable {
  readonly #context: GenerationContext;
  readonly #sequence: TokenSequence;
  readonly #options: ResolvedOptions;
  readonly #recorder: Recorder;
  readonly #interrupt: Interrupt;
  readonly #stops: StopMatcher;
  #sampler!: Sampler;
  #lane!: Lane;
  #speculation: Speculation | undefined;
  #detokenizer!: Detokenizer;
  /** Tokens that may still be generated. */
  #remaining = 0;
  /** Tokens before the one drawn last: so many were computed to draw it. */
  #computed = Number.POSITIVE_INFINITY;
  #finished = false;
  /** Lets others have the prompt once it has been computed. */
  #publish: (() => void) | undefined;

  constructor(
    context: GenerationContext,
    sequence: TokenSequence,
    options: ResolvedOptions,
    recorder: Recorder,
    interrupt: Interrupt,
  ) {
    this.#context = context;
    this.#sequence = sequence;
    this.#options = options;
    this.#recorder = recorder;
    this.#interrupt = interrupt;
    this.#stops = new StopMatcher(options.stopStrings);
  }

  async *run(prompt: readonly number[]): AsyncGenerator<GenerateChunk, void, void> {
    this.#begin(prompt);
    const speculation = this.#beginSpeculation();
    if (!speculation) return yield* this.#decode(Number.POSITIVE_INFINITY);
    yield* this.#decode(1);
    const inCompany = () => this.#options.adaptive && this.#lane.hasCompany;
    while (!this.#finished) {
      const isShared = inCompany();
      const rest = isShared ? speculation.restInCompany(this.#remaining) : speculation.rest;
      if (rest === 0 || speculation.isAhead) {
        yield this.#emit(await speculation.pass(this.#remaining, isShared));
        continue;
      }
      const pace = new Pace();
      const isAsBefore = () => !isShared || speculation.restInCompany(this.#remaining) > 0;
      yield* this.#decode(rest, pace, () => inCompany() === isShared && isAsBefore());
      speculation.rested(pace, !isShared && !inCompany());
    }
  }

  dispose(): void {
    this.#lane?.dispose();
    this.#sampler?.dispose();
    // Whether a step ahead has computed one more depends on the company, on which what comes after must not depend.
    this.#sequence.settle(this.#computed);
    this.#speculation?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #begin(prompt: readonly number[]): void {
    const { runner, scheduler, tokenizer, contextLength } = this.#context;
    const sequence = this.#sequence;
    const room = contextLength - sequence.length - prompt.length;
    if (room < 1) {
      throw new PagewarpError(
        'ERR_CONTEXT_OVERFLOW',
        `${sequence.length + prompt.length} tokens leave no room for output in a context of ${contextLength}`,
        { tokens: sequence.length + prompt.length, contextLength },
      );
    }
    const isNew = sequence.length === 0;
    sequence.append(prompt);
    const { tokens } = sequence;
    if (tokens.length === 0) {
      throw invalidArgument('prompt', '', 'not empty: this vocabulary has no token that begins a text');
    }
    const adopted = isNew && this.#context.prefixCache ? this.#adopt(tokens) : 0;
    // Logits are not kept: the last token is computed again when everything was cached.
    const cached = Math.min(sequence.cachedLength, tokens.length - 1);
    sequence.kv.truncate(cached);
    this.#recorder.promptTokens = tokens.length;
    this.#recorder.cachedTokens = cached;
    this.#remaining = Math.min(this.#options.maxTokens, room);
    const capacity = tokens.length + this.#remaining;
    this.#sampler = new Sampler(runner.stream, scheduler.slots, this.#options, tokens, capacity);
    this.#lane = scheduler.open(sequence.kv, this.#sampler, this.#options.drafter);
    this.#lane.begin(Int32Array.from(tokens.slice(cached)), adopted);
    this.#detokenizer = tokenizer.detokenizer({ previous: tokens.at(-1) as number });
  }

  /** Begins a new sequence with what another generation has computed of its prompt. @returns so many tokens */
  #adopt(tokens: readonly number[]): number {
    const { runner } = this.#context;
    const { kv } = this.#sequence;
    const kind = kindOf(runner, tokens.length);
    const prompt = [...tokens];
    this.#publish = () => kv.publish(kind, prompt);
    // A drafter that learns from the rows' features must see them all.
    if (this.#options.drafter?.features) return 0;
    return kv.adopt(kind, prompt.slice(0, -1), cutOf(runner, prompt.length));
  }

  #beginSpeculation(): Speculation | undefined {
    const { drafter } = this.#options;
    if (!drafter) return undefined;
    const { runner } = this.#context;
    const speculation = new Speculation(
      runner,
      this.#sequence,
      this.#options,
      drafter,
      this.#sampler,
      this.#lane,
      this.#interrupt,
    );
    this.#recorder.speculation = speculation;
    this.#speculation = speculation;
    return speculation;
  }

  /**
   * Token by token, up to `most` of them, and as long as `goesOn` says so. Steps are enqueued before the token that they follow is
   * known to the host; when a text has ended some too many have run, and are forgotten.
   */
  async *#decode(
    most: number,
    pace = new Pace(),
    goesOn: () => boolean = () => true,
  ): AsyncGenerator<GenerateChunk, void, void> {
    for (let left = Math.min(most, this.#remaining); left > 0; left--) {
      const isLast = !goesOn();
      // No step of what was allowed may begin when a draft has rows in the sequence.
      if (isLast) this.#lane.rest();
      if (isLast && this.#lane.outstanding === 0) return;
      const token = await this.#interrupt.wait(this.#lane.next(isLast ? 0 : Math.min(left, 1 + pace.ahead)));
      pace.tick();
      this.#publish?.();
      this.#publish = undefined;
      yield this.#emit([token]);
      if (this.#finished) return;
    }
  }

  /** Takes drawn tokens into the output, up to the first that ends it. */
  #emit(drawn: readonly Drawn[]): GenerateChunk {
    const recorder = this.#recorder;
    recorder.arrived();
    const chunk: GenerateChunk = { text: '', tokens: [] };
    if (this.#options.logprobs !== undefined) chunk.logprobs = [];
    for (const { token, logprob } of drawn) {
      this.#computed = this.#sequence.length;
      if (this.#options.stopTokens.has(token)) {
        chunk.text += this.#finish('stop', token);
        break;
      }
      chunk.tokens.push(token);
      if (logprob) chunk.logprobs?.push(logprob);
      this.#sequence.append([token]);
      this.#remaining--;
      const { text, stop } = this.#stops.push(this.#detokenizer.push(token));
      chunk.text += text;
      if (stop !== undefined) {
        this.#finished = true;
        recorder.finishReason = 'stop';
        recorder.stop = stop;
      } else if (this.#remaining === 0) {
        chunk.text += this.#finish('length');
      }
      if (this.#finished) break;
    }
    if (this.#finished) this.#lane.rest();
    recorder.tokens.push(...chunk.tokens);
    recorder.text += chunk.text;
    return chunk;
  }

  /** Ends without a stop string; returns the text that was held back. */
  #finish(reason: 'stop' | 'length', token?: number): string {
    this.#finished = true;
    const rest = this.#stops.push(this.#detokenizer.flush());
    this.#recorder.finishReason = rest.stop === undefined ? reason : 'stop';
    this.#recorder.stop = rest.stop ?? token;
    return rest.stop === undefined ? rest.text + this.#stops.flush() : rest.text;
  }
}
