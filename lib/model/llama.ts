// SPDX-License-Identifier: Apache-2.0
import { invalidArgument } from '../errors.js';
import type { CacheBatch } from '../kv/batch.js';
import type { PagedKvCache } from '../kv/cache.js';
import { chooseCase, type LateBatch, type PendingChain } from '../kv/late.js';
import type { StoredCacheDType } from '../kv/layer.js';
import { siluMul } from '../ops/activation.js';
import { attention } from '../ops/attention.js';
import { type AttentionPlan, planAttention } from '../ops/attentionplan.js';
import { embedding, gatherRows } from '../ops/embedding.js';
import { ropeAppendKv } from '../ops/kvcache.js';
import { type LinearOptions, linear } from '../ops/linear.js';
import { rmsNorm } from '../ops/norm.js';
import { ropeTable } from '../ops/rope.js';
import { type RopeFrequencies, ropeFrequencies, ropeFrequencyTensor } from '../ops/ropefrequencies.js';
import { supports } from '../ops/supports.js';
import type { PackedMatrix } from '../quant/matrix.js';
import type { QuantizedRows } from '../quant/rows.js';
import type { Device } from '../tensor/device.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { CommandList, Stream } from '../tensor/stream.js';
import type { Tensor } from '../tensor/tensor.js';
import { Activations, type StepBuffers } from './buffers.js';
import type { LlamaConfig } from './config.js';
import { type OutputRows, outputRows, splitOf } from './rows.js';
import type { LinearObserver, Numerics, StepLimits, StepOptions } from './step.js';
import type { LayerWeights, LlamaWeights, Projection, ProjectionPart } from './weights.js';

/**
 * Steps of at most this many rows (decoding, verification) are captured once for every number of rows and replayed; longer ones
 * are prefill.
 */
const largestCaptured = 32;

/**
 * On a GPU a captured step has one of these numbers of rows. Further ones are empty: they write nothing to the cache, attend to
 * nothing, and nobody reads what they come to. There they cost next to nothing, since the weights that all rows share take the
 * time, and a graph takes memory and time to be made. On a CPU each row costs, and a command list nothing.
 */
const graphSizes = [1, 2, 4, 8, 16, 24, 32, 48, 64];

/** A step as it is computed: its rows, empty ones included, and those that the output layer reads. */
interface Step {
  buffers: StepBuffers;
  /** Rows whose logits are computed: so many last ones, unless there are `picks`. */
  outputs: number;
  /** [outputs]: which rows these are. */
  picks: Tensor<'i32'> | undefined;
}

interface Recorded {
  commands: CommandList;
  plan: AttentionPlan;
}

/**
 * The forward pass of a Llama-family model (Touvron et al., 2023; with the biases of Qwen2 and the head norms of Qwen3): it
 * enqueues ops on one stream and returns at once. Activations are f32 unless asked for otherwise; what meets a cache of 16 bits or
 * fewer on a GPU is f16 or bf16.
 */
export class LlamaRunner implements Disposable {
  readonly config: LlamaConfig;
  readonly stream: Stream;
  readonly cache: PagedKvCache;
  /** Prompt tokens that are computed at once. */
  readonly chunk: number;
  readonly #weights: LlamaWeights;
  readonly #activations: Activations;
  readonly #frequencies: RopeFrequencies;
  readonly #frequencyTensor: Tensor<'f32'>;
  readonly #recorded = new Map<string, Recorded>();
  readonly #allLayers: readonly number[];
  /** Numbers of rows that captured steps are filled up to; none: each has a list of its own. */
  readonly #sizes: readonly number[];
  /** Do linear layers round their inputs to 8 bits, where there are kernels for their weights? */
  readonly #rounds: boolean;

  constructor(
    stream: Stream,
    config: LlamaConfig,
    weights: LlamaWeights,
    cache: PagedKvCache,
    limits: StepLimits,
    { precision, activationDType: hidden = 'f32' }: Numerics = {},
  ) {
    this.config = config;
    this.stream = stream;
    this.cache = cache;
    this.chunk = limits.chunk;
    this.#weights = weights;
    this.#allLayers = weights.layers.map((_, layer) => layer);
    this.#sizes = stream.device.kind === 'cuda' ? graphSizes : [];
    const { rotaryDim, theta, scaling } = config.rope;
    this.#frequencies = ropeFrequencies({ rotaryDim, theta, scaling });
    this.#frequencyTensor = ropeFrequencyTensor(stream.device, this.#frequencies);
    const { kind, isa } = stream.device;
    this.#rounds = precision === 'int8' || (kind === 'cpu' && isa !== 'reference');
    const { rows, outputs } = limits;
    const attended = attendedType(stream.device, cache.dtype);
    const rounds = this.#rounds && config.dim % 32 === 0;
    this.#activations = new Activations(stream.device, config, rows, outputs, { attended, hidden, rounds });
    // Empty rows of a step read what nobody has written.
    const filled = this.#sizes.findLast((size) => size <= rows);
    if (filled) this.#activations.at(filled).features.fill(0, stream);
  }

  /** What draft heads share with the model. */
  get weights(): Readonly<LlamaWeights> {
    return this.#weights;
  }

  /** Shapes of steps that have been captured so far. A step of a new one takes longer. */
  get shapes(): number {
    return this.#recorded.size;
  }

  /** Rows that one step may have. */
  get maxRows(): number {
    return this.#activations.capacity;
  }

  /** Rows that a step may have of which only the device knows the places. */
  get maxLateRows(): number {
    return Math.min(this.maxRows, this.maxOutputs, this.#sizes.at(-1) ?? largestCaptured);
  }

  /** Rows of one step whose logits may be wanted. */
  get maxOutputs(): number {
    return this.#activations.outputs;
  }

  /**
   * Enqueues one step over the rows of `batch`: of one case of it, where the device will know which. Such a step has few rows.
   * @param ids the rows' tokens, on the host or where sampling and drafting left them
   * @param outputs logits are wanted for this many last rows, or for these, in rising order; 0: none
   * @param options for drafts and for calibration
   * @returns [outputs, vocabulary], valid until the next step is enqueued
   * @throws PagewarpError ERR_INVALID_ARGUMENT, ERR_DISPOSED
   */
  forward(
    batch: CacheBatch | LateBatch,
    ids: Int32Array | Tensor<'i32'>,
    outputs: number | readonly number[],
    options: StepOptions = {},
  ): Tensor<'f32'> {
    const { cases, pending } = 'cases' in batch ? batch : { cases: [batch], pending: undefined };
    const { rows } = cases[0] as CacheBatch;
    if (rows < 1 || rows > this.maxRows) throw invalidArgument('rows', rows, `from 1 to ${this.maxRows}`);
    const wanted = outputRows(outputs, rows);
    const captured = this.#isCaptured(rows, wanted, options);
    if (pending && !captured) throw invalidArgument('rows', rows, 'fewer where only the device knows their places');
    const step = this.#writeInputs(cases, pending, ids, wanted, options, captured ? this.#sizes : []);
    const { mask, window, sinkTokens = 0 } = options;
    const plans = cases.map((one) =>
      planAttention({
        batch: one,
        heads: this.config.heads,
        split: splitOf(rows, options.packed),
        ...(mask ? { mask } : {}),
        ...(window === undefined ? {} : { window, sinkTokens }),
      }),
    );
    const [plan] = plans as [AttentionPlan];
    if (captured) {
      this.#replay(step, plans, pending, options);
    } else {
      this.#enqueue(step, plan, options);
      plan.dispose();
    }
    return this.#activations.logits(Math.max(1, wanted.count));
  }

  /** [rows, dim]: the features of a step with the option `features`, valid until the next step is enqueued. */
  features(rows: number): Tensor<'f32'> {
    return this.#activations.at(rows).features;
  }

  dispose(): void {
    for (const { commands, plan } of this.#recorded.values()) {
      commands.dispose();
      plan.dispose();
    }
    this.#recorded.clear();
    this.#activations.dispose();
    this.#frequencyTensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** On a CPU a step in which prompts and decoding mix is one of very many, which would all be kept. */
  #isCaptured(rows: number, { count, picks }: OutputRows, { observe }: StepOptions): boolean {
    if (observe) return false;
    if (this.#sizes.length > 0) return rows <= (this.#sizes.at(-1) as number);
    return rows <= largestCaptured && !picks && (count <= 1 || count === rows);
  }

  /** @param sizes that the rows, and those with logits, are filled up to */
  #writeInputs(
    cases: readonly CacheBatch[],
    pending: PendingChain | undefined,
    ids: Int32Array | Tensor<'i32'>,
    { count, picks: picked }: OutputRows,
    options: StepOptions,
    sizes: readonly number[],
  ): Step {
    const { stream } = this;
    const activations = this.#activations;
    const { rows } = cases[0] as CacheBatch;
    const size = activations.padded(rows, count, sizes);
    const buffers = activations.at(size);
    if (ids instanceof Int32Array) {
      const filled = new Int32Array(size);
      filled.set(ids);
      buffers.ids.write(filled, stream);
    } else {
      if (size > rows) buffers.ids.fill(0, stream);
      activations.at(rows).ids.copyFrom(ids, stream);
    }
    const places = cases.map(({ positions, slots }) => {
      const both = new Int32Array(2 * size).fill(-1, size + rows);
      both.set(options.positions ?? positions);
      both.set(slots, size);
      return both;
    });
    if (pending) chooseCase(stream, places, pending, buffers.places);
    else buffers.places.write(places[0] as Int32Array, stream);
    if (options.inputs) activations.at(rows).features.copyFrom(options.inputs, stream);
    if (count === rows) return { buffers, outputs: size, picks: undefined };
    if (count === 0 || (sizes.length === 0 && !picked)) return { buffers, outputs: count, picks: undefined };
    const read = activations.padded(count, count, sizes);
    const picks = activations.picks(read);
    const rowOf = (i: number): number => (picked ? (picked[i] ?? rows - 1) : Math.min(rows - count + i, rows - 1));
    picks.write(
      Int32Array.from({ length: read }, (_, i) => rowOf(i)),
      stream,
    );
    return { buffers, outputs: read, picks };
  }

  /** @param plans one, or one for each case */
  #replay(step: Step, plans: readonly AttentionPlan[], pending: PendingChain | undefined, options: StepOptions): void {
    const [plan] = plans as [AttentionPlan];
    const key = this.#keyOf(step, plan, options);
    let recorded = this.#recorded.get(key);
    if (!recorded) {
      recorded = { commands: this.stream.capture(() => this.#enqueue(step, plan, options)), plan };
      this.#recorded.set(key, recorded);
    }
    const current = pending ? plans : plan;
    const at = pending?.accepted;
    this.stream.replay(recorded.commands, { plans: [[recorded.plan, current]], ...(at ? { at } : {}) });
    for (const one of plans) if (one !== recorded.plan) one.dispose();
  }

  /** Steps with the same key differ in nothing but what is in their buffers and plans. */
  #keyOf({ buffers, outputs, picks }: Step, plan: AttentionPlan, { layers, features }: StepOptions): string {
    const kernels = this.#sizes.length > 0 ? plan.kernels : 0;
    const parts = [buffers.rows, outputs, picks ? 'picked' : '', kernels, features ? 'features' : '', layers ?? ''];
    return parts.join('/');
  }

  #enqueue(step: Step, plan: AttentionPlan, options: StepOptions): void {
    const { stream } = this;
    const { buffers } = step;
    const { layers = this.#allLayers, observe } = options;
    const { positions, table } = buffers;
    this.#embed(buffers);
    const { magnitude } = this.#frequencies;
    ropeTable(stream, { positions, frequencies: this.#frequencyTensor, magnitude, out: table });
    for (const layer of layers) {
      const weights = this.#weights.layers[layer] as LayerWeights;
      this.#attentionBlock(buffers, plan, layer, weights, observe);
      this.#feedForwardBlock(buffers, layer, weights, observe);
    }
    this.#outputLayer(step, options.features ?? false);
  }

  #embed({ ids, x, h, features }: StepBuffers): void {
    const { stream } = this;
    const { embedding: weight, fusion } = this.#weights;
    embedding(stream, { ids, weight, out: fusion ? h : x });
    if (!fusion) return;
    const { bias } = fusion;
    linear(stream, { x: h, weight: fusion.embedding, out: x });
    linear(stream, { x: features, weight: fusion.features, ...(bias ? { bias } : {}), residual: x, out: x });
  }

  #outputLayer(step: Step, wantsFeatures: boolean): void {
    const { stream } = this;
    const { x, h, rounded, features } = step.buffers;
    const { outputNorm: weight, output } = this.#weights;
    const { eps } = this.config;
    if (wantsFeatures) {
      if (weight) rmsNorm(stream, { x, weight, eps, out: features });
      else features.copyFrom(x, stream);
    }
    if (step.outputs === 0) return;
    // The residual stream is not needed any more, or else the features are not.
    using rows = wantsFeatures ? this.#outputRows(features, x, step) : this.#outputRows(x, features, step);
    using wide = h.slice(0, 0, step.outputs);
    using narrow = rounded?.first(step.outputs);
    const out = this.#normed({ h: wide, rounded: narrow }, [{ weight: output }]);
    let read: Tensor<FloatDType> | QuantizedRows = rows;
    if (weight && !wantsFeatures) {
      read = rmsNorm(stream, { x: rows, weight, eps, out });
    } else if (weight && out === wide && wide.dtype !== rows.dtype) {
      wide.copyFrom(rows, stream); // in the type that it has where nobody wants features
      read = wide;
    }
    this.#linear({ x: read, weight: output, out: this.#activations.logits(step.outputs) });
  }

  /** The rows of x that the output layer reads; picked ones come together in `to`. */
  #outputRows(x: Tensor<'f32'>, to: Tensor<'f32'>, { buffers: { rows }, outputs, picks }: Step): Tensor<'f32'> {
    if (!picks) return x.slice(0, rows - outputs, rows);
    return gatherRows(this.stream, { x, indices: picks, out: to.slice(0, 0, outputs) });
  }

  #attentionBlock(
    buffers: StepBuffers,
    plan: AttentionPlan,
    layer: number,
    weights: LayerWeights,
    observe?: LinearObserver,
  ): void {
    const { stream, cache } = this;
    const { eps, rope: rotary } = this.config;
    const { x, q, k, v, table, slots, attended, attendedFlat, qkv } = buffers;
    const { attentionNorm } = weights;
    const out = observe ? buffers.h : this.#normed(buffers, weights.qkv);
    const normed = attentionNorm ? rmsNorm(stream, { x, weight: attentionNorm, eps, out }) : x;
    observe?.(layer, 'qkv', normed as Tensor<FloatDType>);
    this.#project(normed, weights.qkv, qkv);
    if (weights.queryNorm) rmsNorm(stream, { x: q, weight: weights.queryNorm, eps, out: q });
    if (weights.keyNorm) rmsNorm(stream, { x: k, weight: weights.keyNorm, eps, out: k });
    ropeAppendKv(stream, { cache, layer, q, k, v, slots, table, pairing: rotary.pairing });
    attention(stream, { cache, layer, q, plan, out: attended, lse: false });
    observe?.(layer, 'attentionOutput', attendedFlat);
    this.#linear({ x: attendedFlat, weight: weights.attentionOutput, residual: x, out: x });
  }

  #feedForwardBlock(buffers: StepBuffers, layer: number, weights: LayerWeights, observe?: LinearObserver): void {
    const { stream } = this;
    const { x, gateUp, gated } = buffers;
    const out = observe ? buffers.h : this.#normed(buffers, weights.gateUp);
    const normed = rmsNorm(stream, { x, weight: weights.ffnNorm, eps: this.config.eps, out });
    observe?.(layer, 'gateUp', normed as Tensor<FloatDType>);
    const [part, ...others] = weights.gateUp;
    if (part && others.length === 0 && gatesInOneKernel(part.weight)) {
      const { weight, bias } = part;
      this.#linear({ x: normed, weight, gate: 'silu', ...(bias ? { bias } : {}), out: gated });
    } else {
      this.#project(normed, weights.gateUp, gateUp);
      siluMul(stream, { fused: gateUp, out: gated });
    }
    observe?.(layer, 'down', gated);
    this.#linear({ x: gated, weight: weights.down, residual: x, out: x });
  }

  /** Where a norm puts its result: `rounded` if all the linear layers that read it would round it anyway. */
  #normed(
    { h, rounded }: Pick<StepBuffers, 'h' | 'rounded'>,
    readers: readonly Pick<ProjectionPart, 'weight'>[],
  ): Tensor<FloatDType> | QuantizedRows {
    return rounded && readers.every(({ weight }) => this.#isRounding(weight) && !weight.isOrdered) ? rounded : h;
  }

  /** Does a linear layer over these weights round its input to 8 bits? */
  #isRounding({ format }: PackedMatrix): boolean {
    return this.#rounds && supports(this.stream.device, 'linearInt8', { format });
  }

  #linear(options: LinearOptions): void {
    linear(this.stream, this.#isRounding(options.weight) ? { ...options, precision: 'int8' } : options);
  }

  /** A fused projection: one matrix, or several side by side where the file mixes types. */
  #project(x: Tensor<FloatDType> | QuantizedRows, projection: Projection, out: Tensor<FloatDType>): void {
    for (const { weight, bias, begin, end } of projection) {
      using part = out.slice(1, begin, end);
      this.#linear({ x, weight, ...(bias ? { bias } : {}), out: part });
    }
  }
}

/**
 * What queries, keys and values are computed as. On a GPU the tensor cores want 16 bits, those of the cache: its keys and values
 * are rounded to these in any case, or, with codes, to fewer.
 */
function attendedType({ kind }: Device, cache: StoredCacheDType): FloatDType {
  if (kind === 'cpu' || cache === 'f32') return 'f32';
  return cache === 'bf16' ? 'bf16' : 'f16';
}

function gatesInOneKernel({ device, format, n }: PackedMatrix): boolean {
  return supports(device, 'linearGate', { format, rows: n / 2 });
}
