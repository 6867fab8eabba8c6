// SPDX-License-Identifier: Apache-2.0
import { drawCandidates } from '../ops/candidates.js';
import { packSampling, type TokenHistory, tokenHistory } from '../ops/sampling.js';
import type { Stream } from '../tensor/stream.js';
import type { Tensor } from '../tensor/tensor.js';
import type { ResolvedOptions } from './options.js';
import type { Slot, Slots } from './slots.js';

/** A token with its log-probability under the model, before temperature and penalties. */
export interface TokenLogprob {
  token: number;
  logprob: number;
}

/** What `logprobs` asks for: of the drawn token, and the most probable ones in order. */
export interface DrawnLogprob extends TokenLogprob {
  top: TokenLogprob[];
}

export interface Drawn {
  token: number;
  logprob?: DrawnLogprob;
}

/** The temperature below which drawing is greedy: PW_GREEDY_TEMPERATURE. */
const greedyTemperature = 1e-5;

/**
 * How one generation samples, on the device, where the token drawn last stays as the next step's input. {@link draw} draws the
 * tokens of plain steps, and {@link verifyDrafts} judges drafts, for several generations at once.
 */
export class Sampler implements Disposable {
  readonly slot: Slot;
  readonly sampling: ResolvedOptions['sampling'];
  readonly seed: bigint;
  /** Are tokens simply the most probable ones? */
  readonly isArgmax: boolean;
  readonly logprobs: number | undefined;
  /** With penalties. */
  readonly history: TokenHistory | undefined;
  readonly #stream: Stream;
  readonly #slots: Slots;
  #historyLength: number;
  #disposed = false;

  /**
   * @param prompt for the penalties
   * @param capacity tokens, prompt included, that the generation may come to
   * @throws PagewarpError ERR_INVALID_ARGUMENT naming the parameter
   */
  constructor(stream: Stream, slots: Slots, options: ResolvedOptions, prompt: readonly number[], capacity: number) {
    const { sampling, seed, logprobs } = options;
    const penalised =
      sampling.repetitionPenalty !== 1 || sampling.presencePenalty !== 0 || sampling.frequencyPenalty !== 0;
    this.#stream = stream;
    this.#slots = slots;
    this.sampling = sampling;
    this.seed = seed;
    this.logprobs = logprobs;
    this.isArgmax = sampling.temperature < greedyTemperature && !penalised && logprobs === undefined;
    this.#historyLength = prompt.length;
    using packed = packSampling(stream, 1, sampling);
    if (penalised) {
      // Room for what will be drawn; until then negative ids, which count as nothing.
      const tokens = new Int32Array(capacity).fill(-1);
      tokens.set(prompt);
      this.history = tokenHistory(stream, [tokens], [prompt.length]);
    }
    this.slot = slots.acquire();
    this.#parameters.copyFrom(packed, stream);
    this.#seedPlace.write(BigInt64Array.of(seed), stream);
  }

  /** [1]: the token drawn last. */
  get last(): Tensor<'i32'> {
    const { bank, index } = this.slot;
    return bank.last(index, index + 1);
  }

  /** May one command draw for both of two generations? */
  mayShare(other: Sampler): boolean {
    return !this.history && !other.history && this.logprobs === other.logprobs;
  }

  /** Puts the token drawn last into the history, on the device. */
  remember(): void {
    const at = this.#historyLength++;
    if (!this.history || at >= (this.history.tokens.shape[0] as number)) return;
    using place = this.history.tokens.slice(0, at, at + 1);
    place.copyFrom(this.last, this.#stream);
  }

  /** Puts tokens that were drawn into the history: those of a verified draft, which the host knows. */
  commit(tokens: readonly number[]): void {
    const at = this.#historyLength;
    this.#historyLength += tokens.length;
    if (!this.history) return;
    const end = Math.min(this.#historyLength, this.history.tokens.shape[0] as number);
    if (at >= end) return;
    using place = this.history.tokens.slice(0, at, end);
    place.write(tokens.slice(0, end - at), this.#stream);
  }

  /** [rows, count]: the most probable tokens of each row, most probable first; the model's own, before any penalty. */
  mostProbable(logits: Tensor<'f32'>, count: number): Promise<Int32Array> {
    const { ids, logprobs } = drawCandidates(this.#stream, { logits, count, kind: 'top' });
    const read = ids.read(this.#stream);
    ids.dispose();
    logprobs.dispose();
    return read;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#slots.release(this.slot);
    this.history?.tokens.dispose();
    this.history?.indptr.dispose();
    this.history?.promptLengths?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  get #parameters(): Tensor<'f32'> {
    const { bank, index } = this.slot;
    return bank.parameters(index, index + 1);
  }

  get #seedPlace(): Tensor<'i64'> {
    const { bank, index } = this.slot;
    return bank.seeds(index, index + 1);
  }
}
