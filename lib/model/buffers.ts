// SPDX-License-Identifier: Apache-2.0
import { QuantizedRows } from '../quant/rows.js';
import type { Device } from '../tensor/device.js';
import type { FloatDType } from '../tensor/dtype.js';
import { Tensor } from '../tensor/tensor.js';
import type { LlamaConfig } from './config.js';

/** Activations of a step over a fixed number of rows: views into memory that all steps of a model share. */
export interface StepBuffers {
  readonly rows: number;
  /** [rows] token ids. */
  readonly ids: Tensor<'i32'>;
  /** [2, rows]: positions, then cache slots, to be written together. */
  readonly places: Tensor<'i32'>;
  readonly positions: Tensor<'i32'>;
  readonly slots: Tensor<'i32'>;
  /** [rows, rotaryDim] */
  readonly table: Tensor<'f32'>;
  /** [rows, dim]: the residual stream. */
  readonly x: Tensor<'f32'>;
  /** [rows, dim]: normalised. */
  readonly h: Tensor<FloatDType>;
  /** [rows, dim]: normalised and rounded to 8 bits; where linear layers take that. */
  readonly rounded: QuantizedRows | undefined;
  /**
   * [rows, dim]: what the output layer reads, of all rows; before that, the features that a draft head is given. Else it is free.
   */
  readonly features: Tensor<'f32'>;
  /** [rows, (heads + 2 kvHeads) headDim], and views of its parts by head. */
  readonly qkv: Tensor<FloatDType>;
  readonly q: Tensor<FloatDType>;
  readonly k: Tensor<FloatDType>;
  readonly v: Tensor<FloatDType>;
  /** [rows, heads, headDim], and the same with the heads side by side. */
  readonly attended: Tensor<FloatDType>;
  readonly attendedFlat: Tensor<FloatDType>;
  /** [rows, 2 ffnDim] */
  readonly gateUp: Tensor<FloatDType>;
  /** [rows, ffnDim] */
  readonly gated: Tensor<FloatDType>;
}

/** What a model computes with. The residual stream, from which all else is made anew in each layer, and logits are f32. */
export interface ActivationTypes {
  /** Queries, keys and values. */
  attended: FloatDType;
  /** What linear layers read, and the gate and its factor. */
  hidden: FloatDType;
  /** Inputs of linear layers may be rounded to 8 bits. */
  rounds: boolean;
}

/** The memory that the steps of a model share. Steps of one stream run one after the other, so one set is enough. */
export class Activations implements Disposable {
  /** Rows that a step may have. */
  readonly capacity: number;
  /** Rows that it may have logits of. */
  readonly outputs: number;
  readonly #config: LlamaConfig;
  readonly #memory: Record<'places' | 'ids' | 'picks', Tensor<'i32'>> &
    Record<'table' | 'x' | 'features' | 'logits', Tensor<'f32'>> &
    Record<'h' | 'qkv' | 'attended' | 'gateUp' | 'gated', Tensor<FloatDType>>;
  readonly #rounded: QuantizedRows | undefined;
  readonly #views = new Map<number, StepBuffers>();
  readonly #outputs = new Map<number, Tensor<'f32'>>();
  readonly #picks = new Map<number, Tensor<'i32'>>();

  /** @param outputs rows that a step may have logits of */
  constructor(
    device: Device,
    config: LlamaConfig,
    capacity: number,
    outputs: number,
    { attended, hidden, rounds }: ActivationTypes,
  ) {
    this.capacity = capacity;
    this.#config = config;
    this.outputs = outputs;
    const { dim, heads, kvHeads, headDim, ffnDim, rope, vocabulary } = config;
    const f32 = (width: number, rows = capacity): Tensor<'f32'> => Tensor.empty(device, [rows * width], 'f32');
    const between = (width: number): Tensor<FloatDType> => Tensor.empty(device, [capacity * width], hidden);
    this.#memory = {
      ids: Tensor.empty(device, [capacity], 'i32'),
      places: Tensor.empty(device, [2 * capacity], 'i32'),
      picks: Tensor.empty(device, [outputs], 'i32'),
      table: f32(rope.rotaryDim),
      x: f32(dim),
      h: between(dim),
      features: f32(dim),
      qkv: Tensor.empty(device, [capacity * (heads + 2 * kvHeads) * headDim], attended),
      attended: between(heads * headDim),
      gateUp: between(2 * ffnDim),
      gated: between(ffnDim),
      logits: f32(vocabulary, outputs),
    };
    this.#rounded = rounds ? QuantizedRows.empty(device, [capacity, dim]) : undefined;
  }

  /** Bytes that a model of this shape needs, at most. */
  static bytes(config: LlamaConfig, capacity: number, outputs: number): number {
    const { dim, heads, kvHeads, headDim, ffnDim, rope, vocabulary } = config;
    const rounded = dim * (0.25 + 3 / 32);
    const perRow = 3 + rope.rotaryDim + 3 * dim + rounded + (2 * heads + 2 * kvHeads) * headDim + 3 * ffnDim;
    return 4 * (capacity * perRow + outputs * (1 + vocabulary));
  }

  /** Rows to compute for a step of so many, `outputs` of them with logits: the next of `sizes` that there is room for. */
  padded(rows: number, outputs: number, sizes: readonly number[]): number {
    const most = outputs === rows ? Math.min(this.capacity, this.outputs) : this.capacity;
    return sizes.find((size) => size >= rows && size <= most) ?? rows;
  }

  /** The buffers of a step with so many rows. */
  at(rows: number): StepBuffers {
    let views = this.#views.get(rows);
    if (!views) {
      views = this.#makeViews(rows);
      this.#views.set(rows, views);
    }
    return views;
  }

  /** [rows, vocabulary] */
  logits(rows: number): Tensor<'f32'> {
    let view = this.#outputs.get(rows);
    if (!view) {
      const { vocabulary } = this.#config;
      view = this.#memory.logits.asStrided([rows, vocabulary], [vocabulary, 1]);
      this.#outputs.set(rows, view);
    }
    return view;
  }

  /** [outputs]: numbers of rows. */
  picks(outputs: number): Tensor<'i32'> {
    let view = this.#picks.get(outputs);
    if (!view) {
      view = this.#memory.picks.asStrided([outputs], [1]);
      this.#picks.set(outputs, view);
    }
    return view;
  }

  dispose(): void {
    for (const views of this.#views.values()) {
      for (const view of Object.values(views)) {
        if (view instanceof Tensor || view instanceof QuantizedRows) view.dispose();
      }
    }
    for (const view of [...this.#outputs.values(), ...this.#picks.values()]) view.dispose();
    for (const tensor of Object.values(this.#memory)) tensor.dispose();
    this.#rounded?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #makeViews(rows: number): StepBuffers {
    const { dim, heads, kvHeads, headDim, ffnDim, rope } = this.#config;
    const memory = this.#memory;
    const flat = <D extends FloatDType>(tensor: Tensor<D>, width: number): Tensor<D> =>
      tensor.asStrided([rows, width], [width, 1]);
    const width = (heads + 2 * kvHeads) * headDim;
    const part = (count: number, offset: number) =>
      memory.qkv.asStrided([rows, count, headDim], [width, headDim, 1], offset);
    return {
      rows,
      ids: memory.ids.asStrided([rows], [1]),
      places: memory.places.asStrided([2, rows], [rows, 1]),
      positions: memory.places.asStrided([rows], [1]),
      slots: memory.places.asStrided([rows], [1], rows),
      table: flat(memory.table, rope.rotaryDim),
      x: flat(memory.x, dim),
      h: flat(memory.h, dim),
      rounded: this.#rounded?.first(rows),
      features: flat(memory.features, dim),
      qkv: flat(memory.qkv, width),
      q: part(heads, 0),
      k: part(kvHeads, heads * headDim),
      v: part(kvHeads, (heads + kvHeads) * headDim),
      attended: memory.attended.asStrided([rows, heads, headDim], [heads * headDim, headDim, 1]),
      attendedFlat: flat(memory.attended, heads * headDim),
      gateUp: flat(memory.gateUp, 2 * ffnDim),
      gated: flat(memory.gated, ffnDim),
    };
  }
}
