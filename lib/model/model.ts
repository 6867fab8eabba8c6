// SPDX-License-Identifier: Apache-2.0
import { checkInstance, checkObject, disposed, invalidArgument } from '../errors.js';
import { Generation } from '../generate/generation.js';
import { type GenerateOptions, resolveOptions } from '../generate/options.js';
import type { Scheduler } from '../generate/scheduler.js';
import type { BatchStatistics } from '../generate/steprecords.js';
import type { CacheStatistics } from '../kv/cache.js';
import { firstOf } from '../speculate/compose.js';
import type { Drafter } from '../speculate/drafter.js';
import { draftModel } from '../speculate/draftmodel.js';
import { suffixLookup } from '../speculate/suffixlookup.js';
import type { Device } from '../tensor/device.js';
import type { DetokenizerOptions } from '../tokenizer/detokenizer.js';
import { type ChatMessage, renderChat } from '../tokenizer/template.js';
import type { EncodeOptions, Tokenizer } from '../tokenizer/tokenizer.js';
import type { LlamaConfig } from './config.js';
import type { LlamaRunner } from './llama.js';
import type { MemoryEstimate } from './memory.js';
import { TokenSequence } from './sequence.js';
import type { LinearObserver } from './step.js';

/** Rows of a step whose logits are all read. */
const scoredRows = 64;

/** log(softmax(logits)[index]), in float64. */
function logSoftmaxAt(logits: Float32Array, index: number): number {
  let most = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > most) most = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  return (logits[index] as number) - most - Math.log(sum);
}

/** What {@link load} puts together. @internal */
export interface ModelParts {
  runner: LlamaRunner;
  scheduler: Scheduler;
  tokenizer: Tokenizer;
  deviceReason: string;
  contextLength: number;
  prefixCache: boolean;
  memory: MemoryEstimate;
  /** Everything to dispose, in the order of creation. */
  owned: Disposable[];
  /** Drafts for this model; among the owned. */
  draft: LanguageModel | undefined;
}

export interface ChatOptions extends GenerateOptions {
  /** Further variables for the chat template, such as `tools`. */
  variables?: Record<string, unknown>;
}

/**
 * A loaded model. Any number of generations may run at the same time; each has its own place in the model's cache, and steps of
 * the model serve all that wait for a token (continuous batching). What one gives does not depend on its company.
 * Dispose it with `await using`, or `dispose()`; generations under way end with ERR_DISPOSED.
 */
export class LanguageModel implements AsyncDisposable, Disposable {
  readonly config: LlamaConfig;
  readonly tokenizer: Tokenizer;
  readonly device: Device;
  /** Why this device: what `auto` found. */
  readonly deviceReason: string;
  /** Tokens that a sequence may have. */
  readonly contextLength: number;
  /** Bytes that it takes. */
  readonly memory: Readonly<MemoryEstimate>;
  readonly #parts: ModelParts;
  #disposed = false;

  /** @internal Use {@link load}. */
  constructor(parts: ModelParts) {
    this.#parts = parts;
    this.config = parts.runner.config;
    this.tokenizer = parts.tokenizer;
    this.device = parts.runner.stream.device;
    this.deviceReason = parts.deviceReason;
    this.contextLength = parts.contextLength;
    this.memory = parts.memory;
  }

  /**
   * Generates text after a prompt. Nothing runs before the result is iterated.
   * @param prompt text, encoded with the vocabulary's begin token (unless it continues a sequence), or token ids as they are
   * @throws PagewarpError ERR_INVALID_ARGUMENT naming the option; while iterating also ERR_CONTEXT_OVERFLOW for a prompt
   *   that leaves no room, ERR_CACHE_EXHAUSTED, ERR_DISPOSED
   */
  generate(prompt: string | readonly number[], options: GenerateOptions = {}): Generation {
    this.#requireAlive();
    if (typeof prompt === 'string') {
      return this.#start((addSpecial) => this.tokenizer.encode(prompt, { addSpecial }), options);
    }
    const ids = this.#checkIds(prompt, 'prompt', 'a string or an array of token ids');
    return this.#start(() => ids, options);
  }

  /**
   * Generates the next turn of a conversation, written down with the model's chat template.
   * @throws PagewarpError like {@link generate}; ERR_UNSUPPORTED when the model has no template, ERR_INVALID_TEMPLATE
   */
  chat(messages: readonly ChatMessage[], options: ChatOptions = {}): Generation {
    this.#requireAlive();
    checkObject('options', options);
    const { variables, ...generate } = options;
    const text = renderChat(this.tokenizer, messages, variables);
    const { bosToken } = this.tokenizer;
    const begin = bosToken === undefined ? undefined : this.tokenizer.tokenName(bosToken);
    const begun = begin !== undefined && text.startsWith(begin); // most templates write the begin token themselves
    return this.#start((first) => this.tokenizer.encode(text, { addSpecial: first && !begun }), generate);
  }

  tokenize(text: string, options?: EncodeOptions): number[] {
    return this.tokenizer.encode(text, options);
  }

  detokenize(ids: Iterable<number>, options?: DetokenizerOptions): string {
    return this.tokenizer.decode(ids, options);
  }

  /** An empty sequence in the model's cache, to be passed to {@link generate} and forked. */
  createSequence(): TokenSequence {
    this.#requireAlive();
    return new TokenSequence(this.#parts.runner.cache.sequence());
  }

  /**
   * The logits after each of some tokens, one row per token, as one step from an empty cache.
   * @throws PagewarpError ERR_INVALID_ARGUMENT unless there are 1 to 65 tokens
   */
  async logits(ids: readonly number[]): Promise<Float32Array[]> {
    this.#requireAlive();
    const { runner } = this.#parts;
    const tokens = Int32Array.from(this.#checkIds(ids, 'ids'));
    if (ids.length < 1 || ids.length > 65) throw invalidArgument('ids', `${ids.length} tokens`, '1 to 65 tokens');
    using sequence = runner.cache.sequence();
    sequence.reserve(tokens.length, runner.stream);
    const batch = runner.cache.batch([{ sequence, queryLength: tokens.length }]);
    const values = await runner.forward(batch, tokens, tokens.length).read(runner.stream);
    const { vocabulary } = this.config;
    return Array.from(tokens, (_, row) => values.subarray(row * vocabulary, (row + 1) * vocabulary));
  }

  /** What drafters run. @internal */
  parts(): { runner: LlamaRunner; contextLength: number } {
    this.#requireAlive();
    return { runner: this.#parts.runner, contextLength: this.contextLength };
  }

  /**
   * The natural logarithms of the probabilities that the model gives to a text's own tokens: element i is that of ids[i + 1]
   * after the tokens before it.
   * @throws PagewarpError ERR_INVALID_ARGUMENT unless there are 2 to `contextLength` tokens
   */
  async logprobs(ids: readonly number[]): Promise<Float64Array> {
    this.#requireAlive();
    const tokens = this.#checkIds(ids, 'ids');
    if (ids.length < 2 || ids.length > this.contextLength) {
      throw invalidArgument('ids', `${ids.length} tokens`, `2 to ${this.contextLength} tokens`);
    }
    const { vocabulary } = this.config;
    const out = new Float64Array(tokens.length - 1);
    for await (const { begin, logits } of this.#steps(tokens.slice(0, -1), scoredRows)) {
      for (let row = 0; row < logits.length / vocabulary; row++) {
        const values = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
        out[begin + row] = logSoftmaxAt(values, tokens[begin + row + 1] as number);
      }
    }
    return out;
  }

  /**
   * Runs tokens through the model for the sake of what its linear layers receive.
   * @internal For calibration
   */
  async observe(ids: readonly number[], observer: LinearObserver): Promise<void> {
    this.#requireAlive();
    for await (const _ of this.#steps(this.#checkIds(ids, 'ids'), this.#parts.runner.chunk, observer));
  }

  /** Steps of at most so many rows over a new sequence, with the logits of all rows unless they are only observed. */
  async *#steps(
    tokens: readonly number[],
    rows: number,
    observer?: LinearObserver,
  ): AsyncGenerator<{ begin: number; logits: Float32Array }> {
    const { runner } = this.#parts;
    using sequence = runner.cache.sequence();
    for (let begin = 0; begin < tokens.length; begin += rows) {
      this.#requireAlive();
      const part = Int32Array.from(tokens.slice(begin, begin + rows));
      sequence.reserve(part.length, runner.stream);
      const batch = runner.cache.batch([{ sequence, queryLength: part.length }]);
      const logits = runner.forward(batch, part, observer ? 0 : part.length, observer ? { observe: observer } : {});
      if (observer) await runner.stream.synchronize();
      yield { begin, logits: observer ? new Float32Array() : await logits.read(runner.stream) };
    }
  }

  /** Occupancy of the cache. */
  get cacheStatistics(): CacheStatistics {
    this.#requireAlive();
    return this.#parts.runner.cache.statistics();
  }

  /** How generations have shared the model's steps so far. */
  get batchStatistics(): BatchStatistics {
    this.#requireAlive();
    return this.#parts.scheduler.statistics;
  }

  get isDisposed(): boolean {
    return this.#disposed;
  }

  /** Frees the model once queued commands have run. Harmless when repeated. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const resource of this.#parts.owned.toReversed()) resource[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Like {@link dispose}, and waits until the memory is free. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    const idle = this.#parts.runner.stream.synchronize();
    this.dispose();
    await idle.catch(() => {}); // an error of an abandoned step concerns nobody any more
  }

  /** @param encode the prompt's tokens, given whether they are the first of their sequence */
  #start(encode: (first: boolean) => readonly number[], options: GenerateOptions): Generation {
    const { runner, scheduler, tokenizer, prefixCache } = this.#parts;
    const resolved = resolveOptions(options, tokenizer.endTokens, runner.maxOutputs - 1, () =>
      this.#automaticDrafter(),
    );
    const { sequence } = options;
    if (sequence !== undefined) {
      checkInstance('sequence', sequence, TokenSequence);
      if (sequence.kv.cache !== runner.cache) {
        throw invalidArgument('sequence', 'of another model', 'made by createSequence() of this model');
      }
    }
    // Encoded now, so that errors come at once; again if another generation has begun the sequence in the meantime.
    const isFirst = (): boolean => (sequence?.length ?? 0) === 0;
    const first = isFirst();
    const ids = encode(first);
    const prompt = (): readonly number[] => (isFirst() === first ? ids : encode(!first));
    const context = { runner, scheduler, tokenizer, contextLength: this.contextLength, prefixCache };
    return new Generation(context, prompt, resolved, sequence);
  }

  /** What `speculate: 'auto'` drafts with: long repetitions first, they are nearly free and mostly right. */
  #automaticDrafter(): Drafter {
    const { draft } = this.#parts;
    if (!draft) return suffixLookup();
    // On the CPU each row of a pass costs: there a chain gives more per time than a tree.
    const tree = this.device.kind === 'cpu' ? 'chain' : 'dynamic';
    return firstOf(suffixLookup({ minMatch: 8 }), draftModel(draft, { tree }));
  }

  #checkIds(ids: readonly number[], name: string, allowed = 'an array of token ids'): readonly number[] {
    const { vocabulary } = this.config;
    if (!Array.isArray(ids)) throw invalidArgument(name, ids, allowed);
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0 || id >= vocabulary) {
        throw invalidArgument('token id', id, `an integer from 0 to ${vocabulary - 1}`);
      }
    }
    return [...ids];
  }

  #requireAlive(): void {
    if (this.#disposed) throw disposed('LanguageModel');
  }
}
