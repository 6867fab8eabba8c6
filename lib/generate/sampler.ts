// SPDX-License-Identifier: Apache-2.0
import { PagewarpError } from '../errors.js';
import { drawCandidates } from '../ops/candidates.js';
import { argmax, sample } from '../ops/sample.js';
import { packSampling, type TokenHistory, tokenHistory } from '../ops/sampling.js';
import { type VerifyRule, verify } from '../ops/verify.js';
import { type Draft, type EnqueuedDraft, sizeOf } from '../speculate/drafter.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import type { ResolvedOptions } from './options.js';

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
 * Draws the tokens of one generation. What it draws stays on the device, as the next step's input; what it returns are
 * promises.
 */
export class Sampler implements Disposable {
  /** [1]: the token drawn last. */
  readonly last: Tensor<'i32'>;
  readonly #stream: Stream;
  readonly #plainArgmax: boolean;
  readonly #logprobs: number | undefined;
  readonly #parameters: Tensor<'f32'>;
  readonly #seed: Tensor<'i64'>;
  readonly #history: TokenHistory | undefined;
  #historyLength: number;

  /**
   * @param prompt for the penalties
   * @param capacity tokens, prompt included, that the generation may come to
   * @throws PagewarpError ERR_INVALID_ARGUMENT naming the parameter
   */
  constructor(stream: Stream, options: ResolvedOptions, prompt: readonly number[], capacity: number) {
    const { sampling, seed, logprobs } = options;
    const penalised =
      sampling.repetitionPenalty !== 1 || sampling.presencePenalty !== 0 || sampling.frequencyPenalty !== 0;
    this.#stream = stream;
    this.#logprobs = logprobs;
    this.#plainArgmax = sampling.temperature < greedyTemperature && !penalised && logprobs === undefined;
    this.#parameters = packSampling(stream, 1, sampling);
    this.#seed = Tensor.from(stream.device, BigInt64Array.of(seed), [1], 'i64');
    this.last = Tensor.full(stream.device, [1], 'i32', 0);
    this.#historyLength = prompt.length;
    if (penalised) {
      // Room for what will be drawn; until then negative ids, which count as nothing.
      const tokens = new Int32Array(capacity).fill(-1);
      tokens.set(prompt);
      this.#history = tokenHistory(stream, [tokens], [prompt.length]);
    }
  }

  /**
   * Draws the token after the row at `position`.
   * @param logits [1, vocabulary]
   */
  draw(logits: Tensor<'f32'>, position: number): Promise<Drawn> {
    if (this.#plainArgmax) {
      argmax(this.#stream, { logits, out: this.last });
      return this.#read(this.last).then(([token]) => ({ token: checkToken(token) }));
    }
    const drawn = sample(this.#stream, {
      logits,
      out: this.last,
      ...this.#common(position),
      ...(this.#logprobs === undefined ? {} : { logprobs: this.#logprobs }),
    });
    this.#remember();
    const reads = Promise.all([
      this.#read(this.last),
      drawn.logprobs?.read(this.#stream),
      drawn.topIds?.read(this.#stream),
      drawn.topLogprobs?.read(this.#stream),
    ]);
    drawn.logprobs?.dispose();
    drawn.topIds?.dispose();
    drawn.topLogprobs?.dispose();
    return reads.then(([ids, logprobs, topIds, topLogprobs]) => {
      const token = checkToken(ids[0]);
      if (!logprobs) return { token };
      const top = Array.from(topIds ?? [], (id, i) => ({ token: id, logprob: topLogprobs?.[i] as number }));
      return { token, logprob: { token, logprob: logprobs[0] as number, top: top.filter(({ token: id }) => id >= 0) } };
    });
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
      logprobs: this.#logprobs !== undefined,
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
    checkToken(emitted[0]);
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
    this.last.dispose();
    this.#parameters.dispose();
    this.#seed.dispose();
    this.#history?.tokens.dispose();
    this.#history?.indptr.dispose();
    this.#history?.promptLengths?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #common(position: number): {
    parameters: Tensor<'f32'>;
    seed: Tensor<'i64'>;
    offset: number;
    history?: TokenHistory;
  } {
    const history = this.#history ? { history: this.#history } : {};
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

  /** Puts the token drawn last into the history, on the device. */
  #remember(): void {
    const at = this.#historyLength++;
    if (!this.#history || at >= (this.#history.tokens.shape[0] as number)) return;
    using place = this.#history.tokens.slice(0, at, at + 1);
    place.copyFrom(this.last, this.#stream);
  }

  #commit(tokens: readonly number[]): void {
    const at = this.#historyLength;
    this.#historyLength += tokens.length;
    if (!this.#history) return;
    const end = Math.min(this.#historyLength, this.#history.tokens.shape[0] as number);
    using place = this.#history.tokens.slice(0, at, end);
    place.write(tokens.slice(0, end - at), this.#stream);
  }
}

function checkToken(token: number | undefined): number {
  if (token !== undefined && token >= 0) return token;
  throw new PagewarpError('ERR_INVALID_LOGITS', 'the model computed logits that are not numbers');
}
