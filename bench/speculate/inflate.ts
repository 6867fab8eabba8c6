// SPDX-License-Identifier: Apache-2.0
/**
 * A small Llama inside a big one that computes the same function: real text and real acceptance of drafts at the cost of the big
 * shape. The residual stream carries the small model in its first dimensions and zeros in the others; layers without a
 * counterpart add nothing; what is left of the weights is random and never reaches the stream.
 *
 * - RMSNorm over D instead of d dimensions: weights times sqrt(d / D), epsilon times d / D.
 * - Heads of HS instead of hs: rotary pair i becomes pair i HS / hs, which turns at the same rate; queries times sqrt(HS / hs).
 */
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GgufFile, numberToF16 } from '../../lib/index.js';
import { GgufWriter } from '../../test/support/gguf-writer.js';

export interface BigShape {
  dim: number;
  layers: number;
  heads: number;
  kvHeads: number;
  ffnDim: number;
}

/** The body of TinyLlama 1.1B. */
export const tinyLlamaBody: BigShape = { dim: 2048, layers: 22, heads: 32, kvHeads: 4, ffnDim: 5632 };

const blockBytes = 18;

/** A matrix of Q4_0 blocks of which some rows are to be what they are. */
class BlockMatrix {
  readonly bytes: Uint8Array;
  readonly #columns: number;

  constructor(rows: number, columns: number, filling: 'zeros' | 'noise') {
    this.#columns = columns;
    this.bytes = new Uint8Array(((rows * columns) / 32) * blockBytes);
    if (filling === 'zeros') this.bytes.fill(0x88);
    else fillWithNoise(this.bytes);
    const scale = filling === 'zeros' ? 0 : numberToF16(1 / (4.6 * Math.sqrt(columns)));
    for (let at = 0; at < this.bytes.length; at += blockBytes) {
      this.bytes[at] = scale & 0xff;
      this.bytes[at + 1] = scale >>> 8;
    }
  }

  setRow(row: number, values: Float32Array): void {
    const first = ((row * this.#columns) / 32) * blockBytes;
    for (let block = 0; block < this.#columns / 32; block++) {
      quantise(values.subarray(32 * block, 32 * block + 32), this.bytes, first + block * blockBytes);
    }
  }
}

/** xorshift32 */
function fillWithNoise(bytes: Uint8Array): void {
  let x = 2463534242;
  const words = new Uint32Array(bytes.buffer, 0, bytes.length >> 2);
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
}

/** Q4_0: the largest magnitude becomes code 0, that is, -8. */
function quantise(values: Float32Array, out: Uint8Array, at: number): void {
  let extreme = 0;
  for (const x of values) if (Math.abs(x) > Math.abs(extreme)) extreme = x;
  const scale = extreme / -8;
  const bits = numberToF16(scale);
  out[at] = bits & 0xff;
  out[at + 1] = bits >>> 8;
  const code = (x: number): number => (scale === 0 ? 8 : Math.min(15, Math.floor(x / scale + 8.5)));
  for (let i = 0; i < 16; i++) out[at + 2 + i] = code(values[i] as number) | (code(values[i + 16] as number) << 4);
}

/** Writes `source`, an F32 Llama, inflated to `big`, as Q4_0. */
export function inflate(source: string, path: string, big: BigShape): void {
  using file = GgufFile.open(source);
  const number = (key: string): number => file.number(`llama.${key}`) as number;
  const dim = number('embedding_length');
  const layers = number('block_count');
  const heads = number('attention.head_count');
  const kvHeads = number('attention.head_count_kv');
  const ffnDim = number('feed_forward_length');
  const headDim = dim / heads;
  const bigHeadDim = big.dim / big.heads;
  const spread = bigHeadDim / headDim;
  const [group, bigGroup] = [heads / kvHeads, big.heads / big.kvHeads];
  if (spread % 1 !== 0 || big.kvHeads < kvHeads || bigGroup < group || big.layers < layers || big.ffnDim < ffnDim) {
    throw new Error('the small model does not fit into the big shape');
  }
  const tokens = file.strings('tokenizer.ggml.tokens') as string[];
  const vocabulary = tokens.length;
  const writer = new GgufWriter()
    .value('general.architecture', 'string', 'llama')
    .value('general.name', 'string', 'inflated')
    .value('general.file_type', 'u32', 2)
    .value('llama.context_length', 'u32', number('context_length'))
    .value('llama.embedding_length', 'u32', big.dim)
    .value('llama.block_count', 'u32', big.layers)
    .value('llama.feed_forward_length', 'u32', big.ffnDim)
    .value('llama.attention.head_count', 'u32', big.heads)
    .value('llama.attention.head_count_kv', 'u32', big.kvHeads)
    .value(
      'llama.attention.layer_norm_rms_epsilon',
      'f32',
      (number('attention.layer_norm_rms_epsilon') * dim) / big.dim,
    )
    .value('llama.rope.dimension_count', 'u32', bigHeadDim)
    .value('llama.rope.freq_base', 'f32', file.number('llama.rope.freq_base') ?? 10000)
    .value('llama.vocab_size', 'u32', vocabulary)
    .value('tokenizer.ggml.model', 'string', 'llama')
    .array('tokenizer.ggml.tokens', 'string', tokens)
    .array('tokenizer.ggml.scores', 'f32', Array.from(file.numbers('tokenizer.ggml.scores') as Float32Array))
    .array('tokenizer.ggml.token_type', 'i32', Array.from(file.numbers('tokenizer.ggml.token_type') as Int32Array))
    .value('tokenizer.ggml.bos_token_id', 'u32', file.number('tokenizer.ggml.bos_token_id') ?? 1)
    .value('tokenizer.ggml.eos_token_id', 'u32', file.number('tokenizer.ggml.eos_token_id') ?? 2);

  const norm = (name: string): void => {
    const weight = file.values(name);
    const factor = Math.sqrt(dim / big.dim);
    const values = Float32Array.from({ length: big.dim }, (_, i) => (i < dim ? (weight[i] as number) * factor : 1));
    writer.tensor(name, [big.dim], values);
  };
  /** Where a component of a small head lies among the big ones. */
  const place = (head: number, component: number): number =>
    head * bigHeadDim + 2 * (component >> 1) * spread + (component & 1);
  const queryHead = (head: number): number => Math.floor(head / group) * bigGroup + (head % group);
  const padded = (row: Float32Array, factor = 1): Float32Array => {
    const out = new Float32Array(big.dim);
    for (let i = 0; i < dim; i++) out[i] = (row[i] as number) * factor;
    return out;
  };
  const rowOf = (values: Float32Array, row: number, width: number): Float32Array =>
    values.subarray(row * width, (row + 1) * width);
  const put = (name: string, rows: number, columns: number, matrix: BlockMatrix): void => {
    writer.blocks(name, [rows, columns], 'Q4_0', matrix.bytes);
  };
  const embeddingLike = (name: string): void => {
    const values = file.values(name);
    const matrix = new BlockMatrix(vocabulary, big.dim, 'zeros');
    for (let row = 0; row < vocabulary; row++) matrix.setRow(row, padded(rowOf(values, row, dim)));
    put(name, vocabulary, big.dim, matrix);
  };
  const projection = (
    name: string,
    small: string | undefined,
    rows: number,
    count: number,
    map: (head: number) => number,
    factor: number,
  ): void => {
    const matrix = new BlockMatrix(rows, big.dim, 'noise');
    const values = small === undefined ? undefined : file.values(small);
    for (let head = 0; values && head < count; head++) {
      for (let row = 0; row < bigHeadDim; row++) matrix.setRow(map(head) * bigHeadDim + row, new Float32Array(big.dim));
      for (let component = 0; component < headDim; component++) {
        const row = rowOf(values, head * headDim + component, dim);
        matrix.setRow(place(map(head), component), padded(row, factor));
      }
    }
    put(name, rows, big.dim, matrix);
  };

  embeddingLike('token_embd.weight');
  const counterpart = new Map(
    Array.from({ length: layers }, (_, i) => [Math.round((i * (big.layers - 1)) / Math.max(1, layers - 1)), i]),
  );
  for (let layer = 0; layer < big.layers; layer++) {
    const own = counterpart.get(layer);
    const name = (part: string): string => `blk.${layer}.${part}.weight`;
    const small = (part: string): string | undefined => (own === undefined ? undefined : `blk.${own}.${part}.weight`);
    for (const part of ['attn_norm', 'ffn_norm']) {
      const from = small(part);
      const weight = from === undefined ? undefined : file.values(from);
      const factor = Math.sqrt(dim / big.dim);
      const values = new Float32Array(big.dim).fill(1);
      for (let i = 0; weight && i < dim; i++) values[i] = (weight[i] as number) * factor;
      writer.tensor(name(part), [big.dim], values);
    }
    projection(name('attn_q'), small('attn_q'), big.dim, heads, queryHead, Math.sqrt(spread));
    const kvRows = big.kvHeads * bigHeadDim;
    projection(name('attn_k'), small('attn_k'), kvRows, kvHeads, (head) => head, 1);
    projection(name('attn_v'), small('attn_v'), kvRows, kvHeads, (head) => head, 1);

    const output = new BlockMatrix(big.dim, big.dim, 'zeros');
    const outputFrom = small('attn_output');
    const outputValues = outputFrom === undefined ? undefined : file.values(outputFrom);
    for (let row = 0; outputValues && row < dim; row++) {
      const values = new Float32Array(big.dim);
      for (let head = 0; head < heads; head++) {
        for (let component = 0; component < headDim; component++) {
          values[place(queryHead(head), component)] = outputValues[row * dim + head * headDim + component] as number;
        }
      }
      output.setRow(row, values);
    }
    put(name('attn_output'), big.dim, big.dim, output);

    for (const part of ['ffn_gate', 'ffn_up']) {
      const matrix = new BlockMatrix(big.ffnDim, big.dim, 'noise');
      const from = small(part);
      const values = from === undefined ? undefined : file.values(from);
      for (let row = 0; values && row < ffnDim; row++) matrix.setRow(row, padded(rowOf(values, row, dim)));
      put(name(part), big.ffnDim, big.dim, matrix);
    }
    const down = new BlockMatrix(big.dim, big.ffnDim, 'zeros');
    const downFrom = small('ffn_down');
    const downValues = downFrom === undefined ? undefined : file.values(downFrom);
    for (let row = 0; downValues && row < dim; row++) {
      const values = new Float32Array(big.ffnDim);
      values.set(rowOf(downValues, row, ffnDim));
      down.setRow(row, values);
    }
    put(name('ffn_down'), big.dim, big.ffnDim, down);
  }
  norm('output_norm.weight');
  if (file.tensors.has('output.weight')) embeddingLike('output.weight');
  writer.write(path);
}

/** The path of a small model in the body of TinyLlama, which is written when it is not there yet. */
export function inflatedFile(source: string): string {
  const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
  const path = join(root, 'build', 'bench', `${basename(source, '.gguf')}-inflated-1.1b-Q4_0.gguf`);
  if (existsSync(path)) return path;
  console.log(`writing ${path}`);
  mkdirSync(dirname(path), { recursive: true });
  inflate(source, `${path}.partial`, tinyLlamaBody);
  renameSync(`${path}.partial`, path);
  return path;
}
