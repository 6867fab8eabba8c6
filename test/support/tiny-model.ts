// SPDX-License-Identifier: Apache-2.0
/** Small random models of every architecture feature: as a GGUF file, and as the float64 oracle takes them. */
import { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16 } from '../../lib/index.js';
import { type OracleModel, yarnFactors } from '../oracle/llama.js';
import { type GgufTensorType, GgufWriter } from './gguf-writer.js';
import { randomNumbers } from './random.js';

export interface TinyOptions {
  architecture?: 'llama' | 'qwen2' | 'qwen3';
  dim?: number;
  layers?: number;
  heads?: number;
  kvHeads?: number;
  headDim?: number;
  ffnDim?: number;
  rotaryDim?: number;
  theta?: number;
  context?: number;
  tied?: boolean;
  bias?: boolean;
  qkNorm?: boolean;
  /** Contents of the rope_freqs tensor. */
  ropeFactors?: number[];
  /** Linear position interpolation. */
  ropeScale?: number;
  yarn?: { factor: number; originalContext: number };
  /** Type of each tensor's values. Default F32. */
  typeOf?: (name: string) => Extract<GgufTensorType, 'F32' | 'F16' | 'BF16'>;
  seed?: number;
  /** Values of a tensor in place of random ones. */
  valuesOf?: (name: string, shape: readonly number[]) => Float32Array | undefined;
  chatTemplate?: string;
}

const letters = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'];
const vocabulary = ['<unk>', '<s>', '</s>', '▁', ...letters];

/** Ids of the tiny vocabulary: 0 unknown, 1 begin, 2 end, then a space, letters and digits. */
export const tinyVocabulary: number = vocabulary.length;

/** Tokens of a text that looks random, the same for a seed: none that begins or ends a text. */
export const tinyText = (length: number, seed = 1): number[] =>
  Array.from({ length }, (_, i) => 3 + ((i * 7 + seed * 13 + i * i * seed) % (tinyVocabulary - 3)));

export function tinyModel(options: TinyOptions = {}): { writer: GgufWriter; oracle: OracleModel } {
  const { architecture = 'llama', dim = 32, layers = 2, heads = 4, kvHeads = 2, ffnDim = 48 } = options;
  const { headDim = dim / heads, theta = 10000, context = 128, tied = false, seed = 1 } = options;
  const { rotaryDim = headDim, bias = architecture === 'qwen2', qkNorm = architecture === 'qwen3' } = options;
  const { typeOf = () => 'F32' } = options;
  const p = `${architecture}.`;
  const writer = new GgufWriter()
    .value('general.architecture', 'string', architecture)
    .value(`${p}context_length`, 'u32', context)
    .value(`${p}embedding_length`, 'u32', dim)
    .value(`${p}block_count`, 'u32', layers)
    .value(`${p}feed_forward_length`, 'u32', ffnDim)
    .value(`${p}attention.head_count`, 'u32', heads)
    .value(`${p}attention.head_count_kv`, 'u32', kvHeads)
    .value(`${p}attention.key_length`, 'u32', headDim)
    .value(`${p}attention.value_length`, 'u32', headDim)
    .value(`${p}attention.layer_norm_rms_epsilon`, 'f32', 1e-5)
    .value(`${p}rope.dimension_count`, 'u32', rotaryDim)
    .value(`${p}rope.freq_base`, 'f32', theta)
    .value('tokenizer.ggml.model', 'string', 'llama')
    .array('tokenizer.ggml.tokens', 'string', vocabulary)
    .array(
      'tokenizer.ggml.scores',
      'f32',
      vocabulary.map((_, i) => -i),
    )
    .array(
      'tokenizer.ggml.token_type',
      'i32',
      vocabulary.map((_, i) => (i === 0 ? 2 : i < 3 ? 3 : 1)),
    )
    .value('tokenizer.ggml.bos_token_id', 'u32', 1)
    .value('tokenizer.ggml.eos_token_id', 'u32', 2);
  if (options.ropeScale !== undefined) {
    writer
      .value(`${p}rope.scaling.type`, 'string', 'linear')
      .value(`${p}rope.scaling.factor`, 'f32', options.ropeScale);
  }
  const { yarn } = options;
  if (yarn) {
    writer
      .value(`${p}rope.scaling.type`, 'string', 'yarn')
      .value(`${p}rope.scaling.factor`, 'f32', yarn.factor)
      .value(`${p}rope.scaling.original_context_length`, 'u32', yarn.originalContext);
  }
  if (options.chatTemplate) writer.value('tokenizer.chat_template', 'string', options.chatTemplate);

  const weights = new Map<string, Float32Array>();
  const add = (name: string, shape: number[], scale: number, mean = 0): void => {
    const count = shape.reduce((a, b) => a * b);
    const values =
      options.valuesOf?.(name, shape) ??
      randomNumbers(count, { seed, stream: weights.size, scale }).map((x) => x + mean);
    const type = shape.length === 1 ? 'F32' : typeOf(name);
    const round = {
      F32: Math.fround,
      F16: through(numberToF16, f16ToNumber),
      BF16: through(numberToBf16, bf16ToNumber),
    };
    weights.set(name, values.map(round[type]));
    writer.tensor(name, shape, values, type);
  };
  add('token_embd.weight', [vocabulary.length, dim], 1);
  for (let layer = 0; layer < layers; layer++) {
    const b = `blk.${layer}.`;
    add(`${b}attn_norm.weight`, [dim], 0.1, 1);
    add(`${b}attn_q.weight`, [heads * headDim, dim], 1.5 / Math.sqrt(dim));
    add(`${b}attn_k.weight`, [kvHeads * headDim, dim], 1.5 / Math.sqrt(dim));
    add(`${b}attn_v.weight`, [kvHeads * headDim, dim], 1 / Math.sqrt(dim));
    if (bias) {
      add(`${b}attn_q.bias`, [heads * headDim], 0.3);
      add(`${b}attn_k.bias`, [kvHeads * headDim], 0.3);
      add(`${b}attn_v.bias`, [kvHeads * headDim], 0.3);
    }
    if (qkNorm) {
      add(`${b}attn_q_norm.weight`, [headDim], 0.1, 1);
      add(`${b}attn_k_norm.weight`, [headDim], 0.1, 1);
    }
    add(`${b}attn_output.weight`, [dim, heads * headDim], 1 / Math.sqrt(heads * headDim));
    add(`${b}ffn_norm.weight`, [dim], 0.1, 1);
    add(`${b}ffn_gate.weight`, [ffnDim, dim], 1 / Math.sqrt(dim));
    add(`${b}ffn_up.weight`, [ffnDim, dim], 1 / Math.sqrt(dim));
    add(`${b}ffn_down.weight`, [dim, ffnDim], 1 / Math.sqrt(ffnDim));
  }
  add('output_norm.weight', [dim], 0.1, 1);
  if (!tied) add('output.weight', [vocabulary.length, dim], 2 / Math.sqrt(dim));
  if (options.ropeFactors) writer.tensor('rope_freqs.weight', [rotaryDim / 2], Float32Array.from(options.ropeFactors));
  const factors =
    options.ropeFactors ??
    (options.ropeScale ? Array(rotaryDim / 2).fill(options.ropeScale) : undefined) ??
    (yarn && yarnFactors(rotaryDim, theta, yarn.factor, yarn.originalContext));
  const oracle: OracleModel = {
    ...{ dim, layers, heads, kvHeads, headDim, ffnDim, rotaryDim, theta, weights },
    vocabulary: vocabulary.length,
    eps: Math.fround(1e-5),
    pairing: architecture === 'llama' ? 'interleaved' : 'halves',
    ...(factors ? { ropeFactors: Float64Array.from(factors) } : {}),
    ...(yarn ? { ropeMagnitude: 0.1 * Math.log(yarn.factor) + 1 } : {}),
  };
  return { writer, oracle };
}

function through(encode: (x: number) => number, decode: (bits: number) => number): (x: number) => number {
  return (x) => decode(encode(x));
}
