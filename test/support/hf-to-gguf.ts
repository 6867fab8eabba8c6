// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { f16ToNumber } from '../../lib/index.js';
import { GgufWriter } from './gguf-writer.js';

interface HfConfig {
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  max_position_embeddings: number;
  rms_norm_eps: number;
  rope_theta: number;
  bos_token_id: number;
  eos_token_id: number;
}

interface HfTokenizer {
  added_tokens: { id: number }[];
  model: { vocab: Record<string, number>; merges: (string | [string, string])[] };
}

const names: readonly [hf: string, gguf: string][] = [
  ['input_layernorm', 'attn_norm'],
  ['self_attn.q_proj', 'attn_q'],
  ['self_attn.k_proj', 'attn_k'],
  ['self_attn.v_proj', 'attn_v'],
  ['self_attn.o_proj', 'attn_output'],
  ['post_attention_layernorm', 'ffn_norm'],
  ['mlp.gate_proj', 'ffn_gate'],
  ['mlp.up_proj', 'ffn_up'],
  ['mlp.down_proj', 'ffn_down'],
];

/** An F16 GGUF file of a Hugging Face Llama folder with f16 weights, tied embeddings and a byte-level vocabulary. */
export function ggufFromFolder(folder: string): GgufWriter {
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as HfConfig;
  const tokenizer = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')) as HfTokenizer;
  const tokens = Object.entries(tokenizer.model.vocab)
    .sort(([, a], [, b]) => a - b)
    .map(([piece]) => piece);
  const special = new Set(tokenizer.added_tokens.map(({ id }) => id));
  const writer = new GgufWriter()
    .value('general.architecture', 'string', 'llama')
    .value('llama.context_length', 'u32', config.max_position_embeddings)
    .value('llama.embedding_length', 'u32', config.hidden_size)
    .value('llama.block_count', 'u32', config.num_hidden_layers)
    .value('llama.feed_forward_length', 'u32', config.intermediate_size)
    .value('llama.attention.head_count', 'u32', config.num_attention_heads)
    .value('llama.attention.head_count_kv', 'u32', config.num_key_value_heads)
    .value('llama.attention.key_length', 'u32', config.head_dim)
    .value('llama.attention.layer_norm_rms_epsilon', 'f32', config.rms_norm_eps)
    .value('llama.rope.freq_base', 'f32', config.rope_theta)
    .value('tokenizer.ggml.model', 'string', 'gpt2')
    .value('tokenizer.ggml.pre', 'string', 'gpt-2')
    .array('tokenizer.ggml.tokens', 'string', tokens)
    .array(
      'tokenizer.ggml.token_type',
      'i32',
      [...tokens.keys()].map((id) => (special.has(id) ? 3 : 1)),
    )
    .array(
      'tokenizer.ggml.merges',
      'string',
      tokenizer.model.merges.map((m) => (typeof m === 'string' ? m : m.join(' '))),
    )
    .value('tokenizer.ggml.bos_token_id', 'u32', config.bos_token_id)
    .value('tokenizer.ggml.eos_token_id', 'u32', config.eos_token_id)
    .value('tokenizer.ggml.add_bos_token', 'bool', true);
  const read = readSafetensors(join(folder, 'model.safetensors'));
  const add = (name: string, hf: string): void => {
    const { shape, values } = read(hf);
    const rotated = /attn_[qk]\./.test(name);
    // Norms stay f32, as GGUF has them.
    const type = shape.length === 1 ? 'F32' : 'F16';
    writer.tensor(name, shape, rotated ? interleave(values, shape, config.head_dim) : values, type);
  };
  add('token_embd.weight', 'model.embed_tokens.weight');
  add('output_norm.weight', 'model.norm.weight');
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    for (const [hf, gguf] of names) add(`blk.${layer}.${gguf}.weight`, `model.layers.${layer}.${hf}.weight`);
  }
  return writer;
}

function readSafetensors(path: string): (name: string) => { shape: number[]; values: Float32Array } {
  const bytes = readFileSync(path);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return (name) => {
    const entry = header[name];
    if (entry?.dtype !== 'F16') throw new Error(`${path}: no f16 tensor ${name}`);
    const [begin, end] = entry.data_offsets.map((offset) => 8 + headerLength + offset) as [number, number];
    const values = Float32Array.from({ length: (end - begin) / 2 }, (_, i) =>
      f16ToNumber(bytes.readUInt16LE(begin + 2 * i)),
    );
    return { shape: entry.shape, values };
  };
}

/** Rows of each head from Hugging Face's order (first halves of the rotated pairs, then second halves) to neighbours. */
function interleave(values: Float32Array, shape: readonly number[], headDim: number): Float32Array {
  const [rows, width] = shape as [number, number];
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const within = row % headDim;
    const from = row - within + (within % 2) * (headDim / 2) + Math.floor(within / 2);
    out.set(values.subarray(from * width, (from + 1) * width), row * width);
  }
  return out;
}
