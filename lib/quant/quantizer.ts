// SPDX-License-Identifier: Apache-2.0

import type { LanguageModel } from '../model/model.js';
import type { ModelSource } from '../model/source.js';
import type { LinearSite } from '../model/step.js';
import { gatherRows } from '../ops/embedding.js';
import type { Device } from '../tensor/device.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { Calibration } from './calibration.js';
import type { QuantizeOptions, TensorReport } from './quantize.js';
import { type QuantizedType, type QuantizedWeights, quantizeWeights } from './weights.js';

/** Which input the matrices of a layer multiply. */
const sites: Readonly<Record<string, LinearSite>> = {
  attn_q: 'qkv',
  attn_k: 'qkv',
  attn_v: 'qkv',
  attn_output: 'attentionOutput',
  ffn_gate: 'gateUp',
  ffn_up: 'gateUp',
  ffn_down: 'down',
};

/** Quantises the matrices of a model one by one, calibrating some layers at a time. */
export class ModelQuantizer implements Disposable {
  readonly reports: TensorReport[] = [];
  /** Bytes that have been made. */
  bytes = 0;
  /** Matrices that will be asked for, for the progress. */
  expected = 0;
  readonly #source: ModelSource;
  readonly #stream: Stream;
  readonly #model: LanguageModel | undefined;
  readonly #options: QuantizeOptions;
  #calibration: Calibration | undefined;
  #calibrated: readonly [begin: number, end: number] = [0, 0];

  constructor(source: ModelSource, device: Device, model: LanguageModel | undefined, options: QuantizeOptions) {
    this.#source = source;
    this.#stream = model?.parts().runner.stream ?? device.defaultStream;
    this.#model = model;
    this.#options = options;
  }

  /** The layers' matrix that a tensor name stands for, or undefined for other tensors. */
  static siteOf(name: string): { layer: number; site: LinearSite } | undefined {
    const [, layer, module] = /^blk\.(\d+)\.(\w+)\.weight$/.exec(name) ?? [];
    const site = module === undefined ? undefined : sites[module];
    return site ? { layer: Number(layer), site } : undefined;
  }

  /** A matrix in f32, its rows in the order that is given. */
  async weights(name: string, rowOrder?: Int32Array): Promise<Tensor<'f32'>> {
    using packed = this.#source.pack(this.#stream, [name]);
    const values = packed.unpack(this.#stream);
    if (!rowOrder) return values;
    using plain = values;
    using indices = Tensor.from(this.#stream.device, rowOrder, undefined, 'i32');
    indices.write(rowOrder, this.#stream);
    return gatherRows(this.#stream, { x: plain, indices }) as Tensor<'f32'>;
  }

  /** Quantises one matrix. @param type the options' own by default */
  async run(
    name: string,
    { type = this.#options.type, rowOrder }: { type?: QuantizedType; rowOrder?: Int32Array | undefined } = {},
  ): Promise<QuantizedWeights> {
    this.#options.signal?.throwIfAborted();
    const place = ModelQuantizer.siteOf(name);
    if (place) await this.#calibrate(place.layer);
    const gram = place && this.#calibration?.gram(place.layer, place.site);
    using weight = await this.weights(name, rowOrder);
    const { damping } = this.#options;
    const result = await quantizeWeights(this.#stream, weight, {
      type,
      gram,
      compensate: this.#options.method === 'gptq',
      ...(damping === undefined ? {} : { damping }),
    });
    this.bytes += result.blocks.length + (result.levels?.byteLength ?? 0);
    const tensor = { name, type, error: result.error };
    this.reports.push(tensor);
    this.#options.onProgress?.({
      phase: 'quantizing',
      done: this.reports.length,
      total: Math.max(this.expected, this.reports.length),
      tensor,
    });
    return result;
  }

  /** The elements of a matrix as f16. */
  async half(name: string, rowOrder?: Int32Array): Promise<Uint8Array> {
    using weight = await this.weights(name, rowOrder);
    using half = Tensor.empty(this.#stream.device, weight.shape, 'f16');
    half.copyFrom(weight, this.#stream);
    const { buffer, byteOffset, byteLength } = await half.read(this.#stream);
    this.bytes += byteLength;
    return new Uint8Array(buffer, byteOffset, byteLength);
  }

  [Symbol.dispose](): void {
    this.#calibration?.[Symbol.dispose]();
  }

  /** Makes sure that a layer's inputs are known: those of as many layers at once as the memory allows. */
  async #calibrate(layer: number): Promise<void> {
    const { calibration, calibrationTokens, calibrationMemory = 2 ** 31, onProgress, signal } = this.#options;
    const [begin, end] = this.#calibrated;
    if (!this.#model || calibration === undefined || (layer >= begin && layer < end)) return;
    this.#calibration?.[Symbol.dispose]();
    this.#calibration = undefined;
    const { dim, heads, headDim, ffnDim, layers } = this.#source.config;
    const perLayer = 4 * (2 * dim ** 2 + (heads * headDim) ** 2 + ffnDim ** 2);
    const count = Math.max(1, Math.floor(calibrationMemory / perLayer));
    this.#calibrated = [layer, Math.min(layers, layer + count)];
    this.#calibration = await Calibration.run(this.#model, calibration, {
      ...(calibrationTokens === undefined ? {} : { tokens: calibrationTokens }),
      layers: this.#calibrated,
      signal,
      onProgress: (done, total) => onProgress?.({ phase: 'calibrating', done, total }),
    });
  }
}
