// SPDX-License-Identifier: Apache-2.0
import { PagewarpError } from '../errors.js';
import { type LatePlace, lateBatch } from '../kv/late.js';
import type { KvSequence } from '../kv/sequence.js';
import type { LlamaRunner } from '../model/llama.js';
import type { StepOptions } from '../model/step.js';
import { joinTokens, type TokenPart } from '../model/tokens.js';
import { type VisibleRows, visibleBits } from '../ops/visiblerows.js';
import { Tensor } from '../tensor/tensor.js';
import { JointSteps, type Show } from './jointsteps.js';

/** A part of a model: layers that are run, and the keys that they attend to. */
export type ModelPart = Pick<StepOptions, 'layers' | 'window' | 'sinkTokens'>;

/** A drafter's part in a step of its model. */
export interface DraftRows<T = unknown> {
  readonly kv: KvSequence;
  /** The rows' tokens, which become the sequence's last ones with the step. */
  readonly ids: TokenPart;
  readonly count: number;
  /** Logits are wanted of so many last rows. */
  readonly outputs: number;
  /** What drafts. Default: the whole model. */
  readonly part?: ModelPart | undefined;
  /** Where the rows are nodes of a tree: their positions, and what each sees. */
  readonly positions?: Int32Array | undefined;
  readonly visible?: VisibleRows['rows'] | undefined;
  /** Where the rows follow a chain that is being verified. They take a step alone. */
  readonly late?: LatePlace | undefined;
  /** What an EAGLE head wants besides. The step disposes `inputs`. */
  readonly head?: Pick<StepOptions, 'features' | 'inputs'> | undefined;
  /**
   * Enqueues what reads the step.
   * @param logits [outputs, vocabulary], and
   * @param features [outputs, dim], if they are wanted: valid until `use` returns
   */
  use(logits: Tensor<'f32'>, features: Tensor<'f32'> | undefined): T;
}

interface StepOutputs {
  logits: Tensor<'f32'>;
  features: Tensor<'f32'> | undefined;
}

/** Steps of a model, or of the part of a model that an EAGLE head or self-speculation is. */
export class ModelSteps extends JointSteps<DraftRows> {
  static readonly #ofRunner = new WeakMap<LlamaRunner, ModelSteps>();
  readonly #runner: LlamaRunner;

  private constructor(runner: LlamaRunner) {
    super();
    this.#runner = runner;
  }

  /** Those that all drafters with this model share. */
  static of(runner: LlamaRunner): ModelSteps {
    let steps = ModelSteps.#ofRunner.get(runner);
    if (!steps) {
      steps = new ModelSteps(runner);
      ModelSteps.#ofRunner.set(runner, steps);
    }
    return steps;
  }

  override release({ head }: DraftRows): void {
    head?.inputs?.dispose();
  }

  protected override get mostRows(): number {
    return Math.min(super.mostRows, this.#runner.maxRows, this.#runner.maxOutputs);
  }

  protected override keyOf({ part, late }: DraftRows): unknown {
    if (late) return late;
    return part ? JSON.stringify([part.layers, part.window, part.sinkTokens]) : '';
  }

  /** A drafter whose sequence gets no room, or that has been reset, has no part in the step. */
  protected override admits({ kv, count }: DraftRows): boolean {
    if (kv.isDisposed) return false;
    try {
      kv.reserve(count, this.#runner.stream);
      return true;
    } catch (error) {
      if (error instanceof PagewarpError && error.code === 'ERR_CACHE_EXHAUSTED') return false;
      throw error;
    }
  }

  protected override enqueue(parts: readonly DraftRows[], show: Show): void {
    const step = this.#forward(parts);
    const isAlone = parts.length === 1;
    let end = 0;
    for (const [i, rows] of parts.entries()) {
      end += rows.count;
      const last = isAlone ? rows.outputs : end;
      using logits = step.logits.slice(0, last - rows.outputs, last);
      using features = step.features?.slice(0, end - rows.outputs, end);
      show(i, () => rows.use(logits, features));
    }
  }

  #forward(parts: readonly DraftRows[]): StepOutputs {
    const runner = this.#runner;
    const [first] = parts as [DraftRows];
    let owned: Tensor | undefined;
    let inputs: Pick<StepOptions, 'features' | 'inputs'> = {};
    try {
      const { late } = first;
      if (late) {
        const batch = lateBatch(first.kv, first.count, late);
        return { logits: runner.forward(batch, first.ids, first.outputs), features: undefined };
      }
      const batch = runner.cache.batch(parts.map(({ kv, count }) => ({ sequence: kv, queryLength: count })));
      // The logits of some rows that nobody reads cost less than steps of which each has others.
      const outputs = parts.length === 1 ? first.outputs : batch.rows;
      const joined = joinTokens(
        runner.stream,
        parts.map(({ ids }) => ids),
      );
      owned = joined.owned;
      inputs = this.#inputs(parts, batch.rows);
      const options: StepOptions = { ...first.part, ...treeOptions(parts, batch.positions), ...inputs };
      const logits = runner.forward(batch, joined.tokens, outputs, options);
      return { logits, features: options.features ? runner.features(batch.rows) : undefined };
    } catch (error) {
      for (const { kv, count } of parts) if (!kv.isDisposed && !kv.cache.isDisposed) kv.truncate(kv.length - count);
      throw error;
    } finally {
      owned?.dispose();
      if (parts.length > 1) inputs.inputs?.dispose();
    }
  }

  #inputs(parts: readonly DraftRows[], rows: number): Pick<StepOptions, 'features' | 'inputs'> {
    const [first] = parts;
    if (parts.length === 1 || !first?.head?.inputs) return first?.head ?? {};
    const { stream, config } = this.#runner;
    const inputs = Tensor.empty(stream.device, [rows, config.dim], 'f32');
    let begin = 0;
    for (const { count, head } of parts) {
      using place = inputs.slice(0, begin, begin + count);
      place.copyFrom(head?.inputs as Tensor<'f32'>, stream);
      begin += count;
    }
    return { ...first.head, inputs };
  }
}

/** How rows that are nodes of trees differ from the next tokens, beside which there may be some of these. */
function treeOptions(parts: readonly DraftRows[], consecutive: Int32Array): Pick<StepOptions, 'positions' | 'mask'> {
  if (parts.every(({ visible }) => !visible)) return {};
  const positions = Int32Array.from(consecutive);
  let row = 0;
  const sequences = parts.map(({ kv: { length: keys }, count, positions: own, visible }): VisibleRows => {
    if (own) positions.set(own, row);
    row += count;
    const causal = Array.from({ length: count }, (_, i) => ({ prefix: keys - count + i + 1, others: [] }));
    return { keys, rows: visible ?? causal };
  });
  return { positions, mask: visibleBits(sequences) };
}
