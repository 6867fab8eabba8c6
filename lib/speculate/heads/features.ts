// SPDX-License-Identifier: Apache-2.0
import type { Stream } from '../../tensor/stream.js';
import { Tensor } from '../../tensor/tensor.js';
import type { DraftOutcome, FeatureSink } from '../drafter.js';

/**
 * The target's features of the last `capacity` tokens of one sequence, by position. Rows of a draft are put down as if they were
 * a chain; when it is known which of them were accepted, those move to where they belong.
 */
export class FeatureStore implements FeatureSink, Disposable {
  readonly #stream: Stream;
  readonly #rows: Tensor<'f32'>;
  readonly #capacity: number;
  /** Position of row 0, and of the first row of the last step. */
  #first = 0;
  #begin = 0;
  /** Rows that are in place. */
  #count = 0;

  /** @param drafted rows of one step that may still be drafts */
  constructor(stream: Stream, dim: number, capacity: number, drafted: number) {
    this.#stream = stream;
    this.#capacity = capacity + drafted;
    this.#rows = Tensor.empty(stream.device, [this.#capacity, dim], 'f32');
  }

  /** Position of the first token whose features are known. */
  get first(): number {
    return this.#first;
  }

  take(features: Tensor<'f32'>, position: number): void {
    const rows = features.shape[0] as number;
    const known = position - this.#first;
    // What does not follow what is here, or has no room beside it, begins anew; of a long step the last rows are kept.
    const fits = this.#count > 0 && known >= 0 && known <= this.#count && known + rows <= this.#capacity;
    const skipped = fits ? 0 : Math.max(0, rows - this.#capacity);
    if (!fits) this.#first = position + skipped;
    const at = position + skipped - this.#first;
    using from = features.slice(0, skipped, rows);
    using to = this.#rows.slice(0, at, at + rows - skipped);
    to.copyFrom(from, this.#stream);
    this.#begin = position;
    this.#count = at + rows - skipped;
  }

  /** Puts the accepted nodes of a tree where a chain's would be. */
  observe({ draft, path }: DraftOutcome): void {
    if (draft.tokens.length === 0) return;
    const root = this.#begin - this.#first;
    for (const [depth, node] of path.entries()) {
      if (node === depth) continue;
      using from = this.#rows.slice(0, root + 1 + node, root + 2 + node);
      using to = this.#rows.slice(0, root + 1 + depth, root + 2 + depth);
      to.copyFrom(from, this.#stream);
    }
    this.#count = root + 1 + path.length;
  }

  /** [end - begin, dim]: a view of the features at these positions; undefined when they are not all known. */
  view(begin: number, end: number): Tensor<'f32'> | undefined {
    const known = begin >= this.#first && end <= this.#first + this.#count && begin < end;
    return known ? this.#rows.slice(0, begin - this.#first, end - this.#first) : undefined;
  }

  dispose(): void {
    this.#rows.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
