// SPDX-License-Identifier: Apache-2.0
import { invalidArgument, PagewarpError } from '../errors.js';
import type { LlamaRunner } from '../model/llama.js';
import { TokenSequence } from '../model/sequence.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Detokenizer } from '../tokenizer/detokenizer.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { Interrupt } from './interrupt.js';
import type { ResolvedOptions } from './options.js';
import { Pace } from './pace.js';
import { type GenerateChunk, type GenerateResult, Recorder } from './result.js';
import { type Drawn, Sampler } from './sampler.js';
import { forwardNext, Speculation } from './speculation.js';
import { StopMatcher } from './stop.js';

/** Free pages below which steps ahead take none. */
const sparePages = 16;

/** What a generation needs of its model. */
export interface GenerationContext {
  runner: LlamaRunner;
  tokenizer: Tokenizer;
  /** Tokens that a sequence may have. */
  contextLength: number;
}

/**
 * Text as it is generated: iterate over it. Leaving the loop, an abort or an error ends the generation and leaves the cache
 * clean. Nothing runs before the first chunk is asked for.
 */
export class Generation implements AsyncIterable<GenerateChunk> {
  /**
   * Settles when the generation has ended: also when its consumer left early or it was aborted (`cancelled`); rejects when
   * it failed. Does not start it: iterate, or call {@link Generation.complete}.
   */
  readonly result: Promise<GenerateResult>;
  readonly #run: (leaving: AbortSignal) => AsyncGenerator<GenerateChunk, void, void>;
  #started = false;

  /** @internal Use {@link LanguageModel.generate}. */
  constructor(
    context: GenerationContext,
    prompt: () => readonly number[],
    options: ResolvedOptions,
    sequence: TokenSequence | undefined,
  ) {
    let settle!: { resolve: (result: GenerateResult) => void; reject: (error: unknown) => void };
    this.result = new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
    this.result.catch(() => {}); // the iterator reports it, too
    this.#run = (leaving) => run(context, prompt, options, sequence, settle, leaving);
  }

  /** @throws PagewarpError ERR_INVALID_ARGUMENT when it is being iterated, or has been */
  [Symbol.asyncIterator](): AsyncGenerator<GenerateChunk, void, void> {
    if (this.#started) {
      throw new PagewarpError('ERR_INVALID_ARGUMENT', 'a generation can be iterated only once; call generate() again');
    }
    this.#started = true;
    const leaving = new AbortController();
    const steps = this.#run(leaving.signal);
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
  settle: { resolve: (result: GenerateResult) => void; reject: (error: unknown) => void },
  leaving: AbortSignal,
): AsyncGenerator<GenerateChunk, void, void> {
  const recorder = new Recorder();
  const resources: Disposable[] = [];
  let sequence: TokenSequence | undefined;
  let lengthBefore = 0;
  try {
    yield { text: '', tokens: [] };
    const interrupt = new Interrupt(options.signal ? [options.signal, leaving] : [leaving]);
    resources.push(interrupt);
    const target = given ?? new TokenSequence(context.runner.cache.sequence());
    target.claim();
    sequence = target; // from here on ours to release
    lengthBefore = sequence.length;
    const decoder = new Decoder(context, sequence, options, recorder, interrupt);
    resources.push(decoder);
    yield* decoder.run(prompt());
  } catch (error) {
    if (leaving.aborted && error === leaving.reason) return;
    if (options.signal?.aborted && error === options.signal.reason) throw error;
    settle.reject(error);
    if (sequence && !sequence.isDisposed) rollBack(sequence, lengthBefore);
    throw error;
  } finally {
    for (const resource of resources.reverse()) resource[Symbol.dispose]();
    sequence?.release();
    if (!given) sequence?.dispose();
    if (options.ownsDrafter) options.drafter?.dispose();
    else options.drafter?.reset(); // what it holds of this sequence
    settle.resolve(recorder.result(options.seed));
  }
}

/** After an error the caller's sequence is what it was. */
function rollBack(sequence: TokenSequence, length: number): void {
  sequence.release();
  sequence.truncate(length);
}

/** One generation's loop over steps of the model. */
class Decoder implements Disposable {
  readonly #context: GenerationContext;
  readonly #sequence: TokenSequence;
  readonly #options: ResolvedOptions;
  readonly #recorder: Recorder;
  readonly #interrupt: Interrupt;
  readonly #stops: StopMatcher;
  #sampler!: Sampler;
  #detokenizer!: Detokenizer;
  /** Tokens that may still be generated. */
  #remaining = 0;
  #finished = false;

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
    const { first } = await this.#prefill();
    if (!speculation) return yield* this.#decode(first, Number.POSITIVE_INFINITY);
    yield this.#emit([await this.#interrupt.wait(first)]);
    while (!this.#finished) {
      const rest = speculation.rest;
      if (rest === 0) {
        yield this.#emit(await speculation.pass(this.#remaining));
        continue;
      }
      const pace = new Pace();
      yield* this.#decode(this.#step(), rest, pace);
      speculation.rested(pace);
    }
  }

  dispose(): void {
    this.#sampler?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #begin(prompt: readonly number[]): void {
    const { runner, tokenizer, contextLength } = this.#context;
    const sequence = this.#sequence;
    const room = contextLength - sequence.length - prompt.length;
    if (room < 1) {
      throw new PagewarpError(
        'ERR_CONTEXT_OVERFLOW',
        `${sequence.length + prompt.length} tokens leave no room for output in a context of ${contextLength}`,
        { tokens: sequence.length + prompt.length, contextLength },
      );
    }
    const cached = sequence.cachedLength;
    sequence.append(prompt);
    const { tokens } = sequence;
    if (tokens.length === 0) {
      throw invalidArgument('prompt', '', 'not empty: this vocabulary has no token that begins a text');
    }
    // Logits are not kept: the last token is computed again when everything was cached.
    this.#recorder.promptTokens = tokens.length;
    this.#recorder.cachedTokens = Math.min(cached, tokens.length - 1);
    sequence.kv.truncate(this.#recorder.cachedTokens);
    this.#remaining = Math.min(this.#options.maxTokens, room);
    this.#sampler = new Sampler(runner.stream, this.#options, tokens, tokens.length + this.#remaining);
    this.#detokenizer = tokenizer.detokenizer({ previous: tokens.at(-1) as number });
  }

  #beginSpeculation(): Speculation | undefined {
    const { drafter } = this.#options;
    if (!drafter) return undefined;
    const { runner } = this.#context;
    const speculation = new Speculation(runner, this.#sequence, this.#options, drafter, this.#sampler, this.#interrupt);
    this.#recorder.speculation = speculation;
    return speculation;
  }

  /** Computes what of the sequence is not cached, chunk by chunk, and draws the first token. */
  async #prefill(): Promise<{ first: Promise<Drawn> }> {
    const { runner } = this.#context;
    const { tokens } = this.#sequence;
    for (let at = this.#recorder.cachedTokens; ; ) {
      const end = Math.min(tokens.length, at + Math.min(runner.chunk, runner.maxRows));
      const last = end === tokens.length;
      const logits = this.#forward(Int32Array.from(tokens.slice(at, end)), last ? 1 : 0);
      // Drawn before anything is awaited: another generation's step would overwrite the logits.
      if (last) return { first: this.#sampler.draw(logits, tokens.length - 1) };
      at = end;
      await this.#interrupt.wait(runner.stream.synchronize());
    }
  }

  /** Enqueues the computation of some tokens that follow what is cached. */
  #forward(ids: Int32Array | Tensor<'i32'>, outputs: number): Tensor<'f32'> {
    const { runner } = this.#context;
    const queryLength = ids instanceof Int32Array ? ids.length : 1;
    this.#sequence.kv.reserve(queryLength, runner.stream);
    return forwardNext(runner, this.#sequence.kv, ids, outputs, this.#options.drafter);
  }

  /**
   * Token by token, up to `most` of them. Further steps are enqueued before a step's token is known to the host (it is where the
   * device needs it), so that the device does not wait for JavaScript. At the end some steps too many have run, and are forgotten.
   */
  async *#decode(first: Promise<Drawn>, most: number, pace = new Pace()): AsyncGenerator<GenerateChunk, void, void> {
    const flying = [first];
    for (let left = Math.min(most, this.#remaining); ; left--) {
      this.#enqueue(flying, Math.min(left, 1 + pace.ahead));
      const token = await this.#interrupt.wait(flying.shift() as Promise<Drawn>);
      pace.tick();
      yield this.#emit([token]);
      if (this.#finished || left === 1) return;
    }
  }

  /**
   * Enqueues steps until so many are in flight.
   * @throws whatever kept the first of them from being enqueued; of the later ones it is found out when their turn comes
   */
  #enqueue(flying: Promise<Drawn>[], wanted: number): void {
    while (flying.length < wanted && (flying.length === 0 || this.#mayRunAhead)) {
      try {
        const drawn = this.#step();
        drawn.catch(() => {}); // its own await reports it, if it comes to that
        flying.push(drawn);
      } catch (error) {
        if (flying.length === 0) throw error;
        return;
      }
    }
  }

  /** A step ahead may be in vain: where pages are few it takes none that another sequence may need now. */
  get #mayRunAhead(): boolean {
    const { kv } = this.#sequence;
    if (kv.isDisposed || kv.cache.isDisposed) return false;
    const { pageSize, freeTokens } = kv.cache;
    return kv.length % pageSize !== 0 || freeTokens >= sparePages * pageSize;
  }

  /** Enqueues the step after the token drawn last, or leaves everything as it was. */
  #step(): Promise<Drawn> {
    const { kv } = this.#sequence;
    const { length } = kv;
    try {
      const logits = this.#forward(this.#sampler.last, 1);
      return this.#sampler.draw(logits, kv.length - 1);
    } catch (error) {
      if (!kv.isDisposed && !kv.cache.isDisposed) kv.truncate(length);
      throw error;
    }
  }

  /** Takes drawn tokens into the output, up to the first that ends it. */
  #emit(drawn: readonly Drawn[]): GenerateChunk {
    const recorder = this.#recorder;
    recorder.arrived();
    const chunk: GenerateChunk = { text: '', tokens: [] };
    if (this.#options.logprobs !== undefined) chunk.logprobs = [];
    for (const { token, logprob } of drawn) {
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
