// SPDX-License-Identifier: Apache-2.0
import { drawCandidates } from '../ops/candidates.js';
import { packSampling, type TokenHistory, tokenHistory } from '../ops/sampling.js';
import { type VerifyRule, verify } from '../ops/verify.js';
import { type Draft, type EnqueuedDraft, sizeOf } from '../speculate/drafter.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { invalidLogits } from './draw.js';
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

/** What verification made of a draft. */
export interface Verified {
  /** The accepted tokens, and one more. */
  drawn: Drawn[];
  /** The drafted tokens, and those nodes of them that were accepted. */
  nodes: readonly number[];
  path: number[];
}

/** The temperature below which drawing is greedy: PW_GREEDY_TEMPERATURE. */
const greedyTemperature = 1e-5;

/**
 * How one generation samples, on the device, where the token drawn last stays as the next step's input. {@link draw} draws the
 * tokens of plain steps, for several generations at once.
 */
export class Sampler implements Disposable {
  readonly slot: Slot;
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
    this.#seed.write(BigInt64Array.of(seed), stream);
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

  /**
   * Verifies a draft and draws the token after what was accepted of it.
   * @param logits [nodes + 1, vocabulary]
   * @param position of the first row
   */
  async verify(
    logits: Tensor<'f32'>,
    draft: Draft | EnqueuedDraft,
    rule: VerifyRule,
    position: number,
  ): Promise<Verified> {
    const { source, parents } = draft;
    const enqueued = 'enqueued' in draft ? draft.enqueued : undefined;
    using uploaded = 'tokens' in draft ? this.#upload(draft.tokens) : undefined;
    const result = verify(this.#stream, {
      targetLogits: logits,
      draftTokens: enqueued ?? (uploaded as Tensor<'i32'>),
      draftLengths: [sizeOf(draft)],
      ...(parents ? { parents: [parents] } : {}),
      ...(source ? { draft: source } : {}),
      rule,
      ...this.#common(position),
      logprobs: this.logprobs !== undefined,
    });
    this.last.copyFrom(result.lastTokens, this.#stream);
    const reads = Promise.all([
      this.#read(result.tokens),
      result.path && this.#read(result.path),
      result.logprobs?.read(this.#stream),
      enqueued && this.#read(enqueued),
    ]);
    for (const tensor of Object.values(result)) (tensor as Tensor).dispose();
    const [tokens, path, logprobs, nodes] = await reads;
    const end = tokens.indexOf(-1);
    const emitted = Array.from(end < 0 ? tokens : tokens.subarray(0, end));
    if (emitted.length === 0) throw invalidLogits();
    this.#commit(emitted);
    const drawn = emitted.map((token, i) =>
      logprobs ? { token, logprob: { token, logprob: logprobs[i] as number, top: [] } } : { token },
    );
    const accepted = emitted.length - 1;
    return {
      drawn,
      nodes: 'tokens' in draft ? draft.tokens : Array.from(nodes ?? []),
      path: path ? Array.from(path.subarray(0, accepted)) : Array.from({ length: accepted }, (_, i) => i),
    };
  }

  /** [rows, count]: the most probable tokens of each row, most probable first; the model's own, before any penalty. */
  mostProbable(logits: Tensor<'f32'>, count: number): Promise<Int32Array> {
    const { ids, logprobs } = drawCandidates(this.#stream, { logits, count, kind: 'top' });
    const read = this.#read(ids);
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

  get #seed(): Tensor<'i64'> {
    const { bank, index } = this.slot;
    return bank.seeds(index, index + 1);
  }

  #common(position: number): {
    parameters: Tensor<'f32'>;
    seed: Tensor<'i64'>;
    offset: number;
    history?: TokenHistory;
  } {
    const history = this.history ? { history: this.history } : {};
    return { parameters: this.#parameters, seed: this.#seed, offset: position, ...history };
  }

  #upload(tokens: readonly number[]): Tensor<'i32'> {
    const tensor = Tensor.empty(this.#stream.device, [tokens.length], 'i32');
    tensor.write(Int32Array.from(tokens), this.#stream);
    return tensor;
  }

  #read(tensor: Tensor<'i32'>): Promise<Int32Array> {
    return tensor.read(this.#stream);
  }

  #commit(tokens: readonly number[]): void {
    const at = this.#historyLength;
    this.#historyLength += tokens.length;
    if (!this.history) return;
    const end = Math.min(this.#historyLength, this.history.tokens.shape[0] as number);
    using place = this.history.tokens.slice(0, at, end);
    place.write(tokens.slice(0, end - at), this.#stream);
  }
}
