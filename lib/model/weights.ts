// SPDX-License-Identifier: Apache-2.0
import type { PackedMatrix } from '../quant/matrix.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import type { LlamaConfig } from './config.js';
import type { ModelSource, WeightSource } from './source.js';

/** Columns `begin` to `end` of a projection's output. */
export interface ProjectionPart {
  readonly weight: PackedMatrix;
  readonly bias: Tensor<'f32'> | undefined;
  readonly begin: number;
  readonly end: number;
}

/** Several projections of one input, side by side: a single matrix where all are of one type. */
export type Projection = readonly ProjectionPart[];

export interface LayerWeights {
  /** None in the first layer of an EAGLE head. */
  readonly attentionNorm: Tensor<'f32'> | undefined;
  /** Queries, keys, values. */
  readonly qkv: Projection;
  readonly queryNorm: Tensor<'f32'> | undefined;
  readonly keyNorm: Tensor<'f32'> | undefined;
  readonly attentionOutput: PackedMatrix;
  readonly ffnNorm: Tensor<'f32'>;
  readonly gateUp: Projection;
  readonly down: PackedMatrix;
}

/** How an EAGLE head makes its residual stream of a token and of the target's features before it. */
export interface FusionWeights {
  /** [dim, dim], both: the two halves of one linear layer over embedding and features side by side. */
  readonly embedding: PackedMatrix;
  readonly features: PackedMatrix;
  readonly bias: Tensor<'f32'> | undefined;
}

export interface LlamaWeights {
  readonly embedding: PackedMatrix;
  /** Of draft heads. */
  readonly fusion?: FusionWeights;
  readonly layers: readonly LayerWeights[];
  /** None in an EAGLE head, whose residual stream takes the place of the target's features. */
  readonly outputNorm: Tensor<'f32'> | undefined;
  /** The output layer; the embedding itself where the two are tied. */
  readonly output: PackedMatrix;
}

/** Progress of {@link load}. */
export interface LoadProgress {
  /** Bytes of the file's tensors that are in place. */
  loadedBytes: number;
  totalBytes: number;
}

export interface WeightOptions {
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Packs the weights of a model, matrix after matrix: the file's pages are given back behind the packer, so that the file's
 * copy and the packed one are never both resident.
 * @throws PagewarpError ERR_INVALID_MODEL, ERR_UNSUPPORTED for a tensor type without kernels, ERR_OUT_OF_MEMORY; the signal's
 *   reason when aborted. Nothing stays allocated then.
 */
export async function loadWeights(
  source: ModelSource,
  stream: Stream,
  options: WeightOptions = {},
): Promise<{ weights: LlamaWeights; owned: Disposable[] }> {
  const { config } = source;
  const loader = new WeightLoader(source, stream, options);
  try {
    const embedding = await loader.matrix('token_embd.weight');
    const layers: LayerWeights[] = [];
    for (let layer = 0; layer < config.layers; layer++) layers.push(await loadLayer(loader, config, layer));
    const outputNorm = loader.vector('output_norm.weight');
    const output = config.tiedEmbeddings ? embedding : await loader.matrix('output.weight');
    return { weights: { embedding, layers, outputNorm, output }, owned: loader.owned };
  } catch (error) {
    for (const resource of loader.owned) resource[Symbol.dispose]();
    throw error;
  }
}

/** One layer. @param hasAttentionNorm false in the first layer of an EAGLE head */
export async function loadLayer(
  loader: WeightLoader,
  config: LlamaConfig,
  layer: number,
  hasAttentionNorm = true,
): Promise<LayerWeights> {
  const p = `blk.${layer}.`;
  return {
    attentionNorm: hasAttentionNorm ? loader.vector(`${p}attn_norm.weight`) : undefined,
    qkv: await loader.projection(
      ['attn_q', 'attn_k', 'attn_v'].map((name) => p + name),
      config.qkvBias,
    ),
    queryNorm: config.qkNorm ? loader.vector(`${p}attn_q_norm.weight`) : undefined,
    keyNorm: config.qkNorm ? loader.vector(`${p}attn_k_norm.weight`) : undefined,
    attentionOutput: await loader.matrix(`${p}attn_output.weight`),
    ffnNorm: loader.vector(`${p}ffn_norm.weight`),
    gateUp: await loader.projection(
      ['ffn_gate', 'ffn_up'].map((name) => p + name),
      false,
    ),
    down: await loader.matrix(`${p}ffn_down.weight`),
  };
}

/** Packs tensors of a source one by one, and keeps what is to be disposed. */
export class WeightLoader {
  readonly owned: Disposable[] = [];
  readonly #source: WeightSource;
  readonly #stream: Stream;
  readonly #options: WeightOptions;
  readonly #totalBytes: number;
  #loadedBytes = 0;

  constructor(source: WeightSource, stream: Stream, options: WeightOptions = {}) {
    this.#source = source;
    this.#stream = stream;
    this.#options = options;
    this.#totalBytes = source.tensorBytes;
  }

  /** A small tensor as f32. */
  vector(name: string): Tensor<'f32'> {
    const values = this.#source.vector(name);
    const tensor = Tensor.from(this.#stream.device, values, [values.length], 'f32');
    this.owned.push(tensor);
    this.#advance([name]);
    return tensor;
  }

  /** The rows of one or more tensors of one type as one matrix. */
  async matrix(...names: string[]): Promise<PackedMatrix> {
    this.#options.signal?.throwIfAborted();
    const matrix = this.#source.pack(this.#stream, names);
    this.owned.push(matrix);
    await this.#stream.synchronize();
    this.#advance(names);
    return matrix;
  }

  /** Neighbours of one type become one matrix. */
  async projection(names: readonly string[], hasBias: boolean): Promise<Projection> {
    const groups: string[][] = [];
    const kindOf = (name: string): string => this.#source.kindOf(`${name}.weight`);
    for (const name of names) {
      const last = groups.at(-1);
      if (last && kindOf(last[0] as string) === kindOf(name)) last.push(name);
      else groups.push([name]);
    }
    const parts: ProjectionPart[] = [];
    let begin = 0;
    for (const group of groups) {
      const weight = await this.matrix(...group.map((name) => `${name}.weight`));
      const bias = hasBias ? this.#bias(group.map((name) => `${name}.bias`)) : undefined;
      parts.push({ weight, bias, begin, end: begin + weight.shape[0] });
      begin += weight.shape[0];
    }
    return parts;
  }

  #bias(names: readonly string[]): Tensor<'f32'> {
    const values = names.flatMap((name) => [...this.#source.vector(name)]);
    const tensor = Tensor.from(this.#stream.device, values, [values.length], 'f32');
    this.owned.push(tensor);
    this.#advance(names);
    return tensor;
  }

  #advance(names: readonly string[]): void {
    for (const name of names) this.#loadedBytes += this.#source.bytesOf(name);
    this.#options.onProgress?.({ loadedBytes: this.#loadedBytes, totalBytes: this.#totalBytes });
  }
}
