// SPDX-License-Identifier: Apache-2.0
import { packSampling } from '../ops/sampling.js';
import type { DraftSource } from '../ops/verify.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import type { Draft, DraftTarget } from './drafter.js';

/** What sampled drafts were drawn from, as verification must know it. Lives until the next draft. */
export class SampledSource implements Disposable {
  /** [1, 8]: how the target samples, penalties apart. */
  readonly parameters: Tensor<'f32'>;
  readonly #stream: Stream;
  readonly #logits: Tensor<'f32'>;
  #lent: Tensor<'f32'> | undefined;
  #rows: Tensor<'i32'> | undefined;

  /** @param rows of logits that one draft is drawn from, at most: those of its nodes and of their root */
  constructor(stream: Stream, { vocabulary, sampling }: DraftTarget, rows: number) {
    const { temperature, topK, topP, minP } = sampling;
    this.#stream = stream;
    this.parameters = packSampling(stream, 1, { temperature, topK, topP, minP });
    this.#logits = Tensor.empty(stream.device, [rows, vocabulary], 'f32');
  }

  /** Keeps logits as the rows from `at` on. */
  keep(logits: Tensor<'f32'>, at: number): void {
    using place = this.#logits.slice(0, at, at + (logits.shape[0] as number));
    place.copyFrom(logits, this.#stream);
  }

  /** Of a chain: token i was drawn from row i. */
  ofChain(rows: number): Extract<DraftSource, { kind: 'sampled' }> {
    this.#lent?.dispose();
    this.#lent = this.#logits.slice(0, 0, rows);
    return { kind: 'sampled', logits: this.#lent, parameters: this.parameters };
  }

  /** Of a tree whose siblings were drawn without replacement. @param drawnFrom of each node its row, of `rows` */
  ofTree(draft: Draft, drawnFrom: readonly number[], rows: number): Draft {
    if (draft.tokens.length === 0) return draft;
    this.#rows?.dispose();
    this.#rows = Tensor.empty(this.#stream.device, [drawnFrom.length], 'i32');
    this.#rows.write(drawnFrom, this.#stream);
    return { ...draft, source: { ...this.ofChain(rows), rows: this.#rows, distinct: true } };
  }

  dispose(): void {
    this.parameters.dispose();
    this.#logits.dispose();
    this.#lent?.dispose();
    this.#rows?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
