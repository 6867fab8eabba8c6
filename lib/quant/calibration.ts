// SPDX-License-Identifier: Apache-2.0
import type { LanguageModel } from '../model/model.js';
import type { LinearSite } from '../model/step.js';
import { native } from '../native.js';
import type { FloatDType } from '../tensor/dtype.js';
import { Tensor } from '../tensor/tensor.js';
import { textWindows } from './perplexity.js';

export interface CalibrationOptions {
  /** Tokens to run. Default 16384. */
  tokens?: number;
  /** Layers whose inputs are wanted: [begin, end). */
  layers: readonly [begin: number, end: number];
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal | undefined;
}

/** Sums of outer products of the inputs of the linear layers of some layers: the Hessians of their squared errors. */
export class Calibration implements Disposable {
  readonly #grams = new Map<string, Tensor<'f32'>>();

  /** Runs a text through a model. */
  static async run(model: LanguageModel, text: string, options: CalibrationOptions): Promise<Calibration> {
    const { tokens = 16384, layers } = options;
    const window = Math.min(model.contextLength, 512);
    const windows = textWindows(model, text, window).slice(0, Math.max(1, Math.ceil(tokens / window)));
    const calibration = new Calibration();
    try {
      for (const [i, ids] of windows.entries()) {
        options.signal?.throwIfAborted();
        await model.observe(ids, (layer, site, x) => {
          if (layer >= layers[0] && layer < layers[1]) calibration.#add(model, layer, site, x);
        });
        options.onProgress?.(i + 1, windows.length);
      }
      return calibration;
    } catch (error) {
      calibration[Symbol.dispose]();
      throw error;
    }
  }

  /** [features, features]: of what it holds, the lower triangle counts. Undefined where a layer's width rules it out. */
  gram(layer: number, site: LinearSite): Tensor<'f32'> | undefined {
    return this.#grams.get(`${layer}/${site}`);
  }

  [Symbol.dispose](): void {
    for (const gram of this.#grams.values()) gram.dispose();
  }

  #add(model: LanguageModel, layer: number, site: LinearSite, x: Tensor<FloatDType>): void {
    const { stream } = model.parts().runner;
    const width = x.shape[1] as number;
    if (width % 32 !== 0) return;
    const key = `${layer}/${site}`;
    let gram = this.#grams.get(key);
    if (!gram) {
      gram = Tensor.empty(model.device, [width, width], 'f32');
      gram.fill(0, stream);
      this.#grams.set(key, gram);
    }
    using exact = x.dtype === 'f32' ? undefined : x.to('f32', stream);
    native().gram(stream.native, (exact ?? x).native, gram.native);
  }
}
