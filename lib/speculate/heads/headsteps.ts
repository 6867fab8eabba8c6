// SPDX-License-Identifier: Apache-2.0
import { Tensor } from '../../tensor/tensor.js';
import { JointSteps, type Show } from '../jointsteps.js';
import { type ResidualHeads, runHead } from './residualhead.js';

/** A drafter's part in a step of heads. */
export interface HeadRows {
  /** The heads `first` to `end` read the same rows. */
  readonly first: number;
  readonly end: number;
  /** [count, features]: what they read. */
  readonly inputs: Tensor<'f32'>;
  readonly count: number;
  /**
   * Enqueues what reads the step.
   * @param logits [count * (end - first), vocabulary], of each row those of all heads, valid until `use` returns
   */
  use(logits: Tensor<'f32'>): unknown;
}

/** Steps of the heads of Medusa and Hydra: a linear layer over the rows of all who draft. */
export class HeadSteps extends JointSteps<HeadRows> {
  static readonly #ofHeads = new WeakMap<ResidualHeads, HeadSteps>();
  readonly #heads: ResidualHeads;

  private constructor(heads: ResidualHeads) {
    super();
    this.#heads = heads;
  }

  /** Those that all drafters with these heads share. */
  static of(heads: ResidualHeads): HeadSteps {
    let steps = HeadSteps.#ofHeads.get(heads);
    if (!steps) {
      steps = new HeadSteps(heads);
      HeadSteps.#ofHeads.set(heads, steps);
    }
    return steps;
  }

  protected override keyOf({ first, end }: HeadRows): string {
    return `${first}/${end}`;
  }

  protected override enqueue(parts: readonly HeadRows[], show: Show): void {
    const { runner, heads, ones } = this.#heads;
    const { stream, config } = runner;
    const [{ first, end }] = parts as [HeadRows];
    const rows = parts.reduce((sum, { count }) => sum + count, 0);
    const width = (end - first) * config.vocabulary;
    using inputs = this.#joined(parts, rows);
    using logits = Tensor.empty(stream.device, [rows, width], 'f32');
    using one = ones.slice(0, 0, rows);
    for (const [i, head] of heads.slice(first, end).entries()) {
      using out = logits.slice(1, i * config.vocabulary, (i + 1) * config.vocabulary);
      runHead(stream, head, inputs, one, out);
    }
    let begin = 0;
    for (const [i, part] of parts.entries()) {
      using own = logits.slice(0, begin, begin + part.count);
      using perHead = own.reshape(part.count * (end - first), config.vocabulary);
      show(i, () => part.use(perHead));
      begin += part.count;
    }
  }

  /** What all of them read, one below the other. */
  #joined(parts: readonly HeadRows[], rows: number): Tensor<'f32'> {
    const [{ inputs }] = parts as [HeadRows];
    if (parts.length === 1) return inputs.slice(0, 0, rows);
    const { stream } = this.#heads.runner;
    const joined = Tensor.empty(stream.device, [rows, inputs.shape[1] as number], 'f32');
    let begin = 0;
    for (const part of parts) {
      using place = joined.slice(0, begin, begin + part.count);
      place.copyFrom(part.inputs, stream);
      begin += part.count;
    }
    return joined;
  }
}
