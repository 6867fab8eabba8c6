// SPDX-License-Identifier: Apache-2.0
/** Checkpoints of draft heads, as the hub lays them out, for tests. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomNumbers } from './random.js';
import { floats, type StoredTensor, safetensorsBytes } from './safetensors-writer.js';

export type HeadTensors = Map<string, StoredTensor>;

/** Values of a matrix by row and column. */
export type Entries = (row: number, column: number) => number;

export function matrix(rows: number, columns: number, entries: Entries): StoredTensor {
  return floats(
    [rows, columns],
    Float32Array.from({ length: rows * columns }, (_, i) => entries(Math.floor(i / columns), i % columns)),
  );
}

/** A source of small random tensors. */
export function randomTensors(seed: number): (...shape: number[]) => StoredTensor {
  let stream = 0;
  return (...shape) => {
    const count = shape.reduce((a, b) => a * b);
    return floats(
      shape,
      randomNumbers(count, { seed, stream: stream++, scale: 1 / Math.sqrt(shape.at(-1) as number) }),
    );
  };
}

/** Writes a folder of draft heads. */
export function writeHeads(
  folder: string,
  file: string,
  config: Record<string, unknown>,
  tensors: HeadTensors,
): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  writeFileSync(join(folder, file), safetensorsBytes(tensors));
  return folder;
}

export interface HeadShape {
  dim: number;
  vocabulary: number;
}

/** Medusa heads: what `block` and `output` say, or random ones. */
export function medusaHeads(
  folder: string,
  { dim, vocabulary }: HeadShape,
  heads: number,
  blocks: number,
  exact?: (head: number) => Entries,
): string {
  const random = randomTensors(31);
  const tensors: HeadTensors = new Map();
  for (let head = 0; head < heads; head++) {
    for (let block = 0; block < blocks; block++) {
      // A block of zeros hands its input on.
      tensors.set(`${head}.${block}.linear.weight`, exact ? matrix(dim, dim, () => 0) : random(dim, dim));
      tensors.set(`${head}.${block}.linear.bias`, exact ? floats([dim], new Float32Array(dim)) : random(dim));
    }
    tensors.set(`${head}.${blocks}.weight`, exact ? matrix(vocabulary, dim, exact(head)) : random(vocabulary, dim));
  }
  const config = { medusa_num_heads: heads, medusa_num_layers: blocks };
  return writeHeads(folder, 'medusa_lm_head.safetensors', config, tensors);
}

/** Hydra heads that read the features and the tokens before theirs. */
export function hydraHeads(
  folder: string,
  { dim, vocabulary }: HeadShape,
  heads: number,
  blocks: number,
  exact?: { skip: (head: number) => Entries; output: Entries },
): string {
  const random = randomTensors(32);
  const tensors: HeadTensors = new Map();
  for (let head = 0; head < heads; head++) {
    const name = `hydra_mlp.${head}`;
    for (let block = 0; block < blocks; block++) {
      const width = block === 0 ? (head + 2) * dim : dim;
      tensors.set(`${name}.${block}.linear.weight`, exact ? matrix(dim, width, () => 0) : random(dim, width));
      tensors.set(`${name}.${block}.linear.bias`, exact ? floats([dim], new Float32Array(dim)) : random(dim));
      if (block > 0) continue;
      const skip = exact ? matrix(dim, width, exact.skip(head)) : random(dim, width);
      tensors.set(`${name}.0.res_connection.weight`, skip);
      tensors.set(`${name}.0.res_connection.bias`, exact ? floats([dim], new Float32Array(dim)) : random(dim));
    }
    const output = exact ? matrix(vocabulary, dim, exact.output) : random(vocabulary, dim);
    tensors.set(`hydra_lm_head.${head}.weight`, output);
    const bias = exact ? floats([vocabulary], new Float32Array(vocabulary)) : random(vocabulary);
    tensors.set(`hydra_lm_head.${head}.bias`, bias);
  }
  const config = { hydra_num_heads: heads, hydra_num_layers: blocks, hydra_head_arch: 'mlp', grounded_heads: true };
  return writeHeads(folder, 'hydra_lm_head.safetensors', config, tensors);
}

/** An EAGLE head of one layer. With `fusion` its layer adds nothing to what that linear layer makes of embedding and features. */
export function eagleHead(folder: string, { dim, vocabulary }: HeadShape, fusion?: Entries): string {
  const random = randomTensors(33);
  const [heads, kvHeads, ffn] = [4, 2, 2 * dim];
  const headDim = dim / heads;
  const layer = 'layers.0.';
  const last = (rows: number, columns: number): StoredTensor =>
    fusion ? matrix(rows, columns, () => 0) : random(rows, columns);
  const tensors: HeadTensors = new Map([
    ['fc.weight', fusion ? matrix(dim, 2 * dim, fusion) : random(dim, 2 * dim)],
    ['fc.bias', fusion ? floats([dim], new Float32Array(dim)) : random(dim)],
    [`${layer}self_attn.q_proj.weight`, random(heads * headDim, dim)],
    [`${layer}self_attn.k_proj.weight`, random(kvHeads * headDim, dim)],
    [`${layer}self_attn.v_proj.weight`, random(kvHeads * headDim, dim)],
    [`${layer}self_attn.o_proj.weight`, last(dim, heads * headDim)],
    [`${layer}post_attention_layernorm.weight`, floats([dim], new Float32Array(dim).fill(1))],
    [`${layer}mlp.gate_proj.weight`, random(ffn, dim)],
    [`${layer}mlp.up_proj.weight`, random(ffn, dim)],
    [`${layer}mlp.down_proj.weight`, last(dim, ffn)],
  ]);
  const config = {
    model_type: 'llama',
    hidden_size: dim,
    intermediate_size: ffn,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    num_hidden_layers: 1,
    max_position_embeddings: 128,
    rms_norm_eps: 1e-5,
    vocab_size: vocabulary,
  };
  return writeHeads(folder, 'model.safetensors', config, tensors);
}
