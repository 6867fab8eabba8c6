// SPDX-License-Identifier: Apache-2.0
/**
 * Llama models of real shapes with random Q4_0 weights: speed depends on the shape, not on the values.
 *
 *     tsx bench/model/synth.ts OUT.gguf SHAPE
 */
import { pathToFileURL } from 'node:url';
import { numberToF16 } from '../../lib/index.js';
import { GgufWriter } from '../../test/support/gguf-writer.js';

export interface Shape {
  dim: number;
  layers: number;
  heads: number;
  kvHeads: number;
  ffnDim: number;
  vocabulary: number;
  context: number;
  theta: number;
  tied: boolean;
}

export const shapes: Record<string, Shape> = {
  'tinyllama-1.1b': {
    dim: 2048,
    layers: 22,
    heads: 32,
    kvHeads: 4,
    ffnDim: 5632,
    vocabulary: 32000,
    context: 2048,
    theta: 10000,
    tied: false,
  },
  'llama-3.2-1b': {
    dim: 2048,
    layers: 16,
    heads: 32,
    kvHeads: 8,
    ffnDim: 8192,
    vocabulary: 128256,
    context: 8192,
    theta: 500000,
    tied: true,
  },
  tiny: {
    dim: 256,
    layers: 4,
    heads: 8,
    kvHeads: 4,
    ffnDim: 768,
    vocabulary: 512,
    context: 1024,
    theta: 10000,
    tied: false,
  },
};

/** xorshift32: fast and repeatable. */
class Random {
  #state = 2463534242;

  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }
}

/** Q4_0 blocks of weights with about this standard deviation: codes 0 to 15 minus 8 have one of 4.6. */
function randomBlocks(random: Random, elements: number, deviation: number): Uint8Array {
  const bytes = new Uint8Array((elements / 32) * 18);
  const words = new Uint32Array(bytes.buffer, 0, Math.floor(bytes.length / 4));
  for (let i = 0; i < words.length; i++) words[i] = random.next();
  const scale = numberToF16(deviation / 4.6);
  for (let at = 0; at < bytes.length; at += 18) {
    bytes[at] = scale & 0xff;
    bytes[at + 1] = scale >>> 8;
  }
  return bytes;
}

/** Distinct pieces: specials, bytes, printable characters, then random lower-case words. */
function pieces(count: number): string[] {
  const special = ['<unk>', '<s>', '</s>'];
  const byte = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  const printable = Array.from({ length: 95 }, (_, i) => (i === 0 ? '▁' : String.fromCharCode(32 + i)));
  const all = new Set([...special, ...byte, ...printable]);
  const random = new Random();
  while (all.size < count) {
    const length = 2 + (random.next() % 7);
    const word = Array.from({ length }, () => String.fromCharCode(97 + (random.next() % 26))).join('');
    all.add(random.next() % 2 ? `▁${word}` : word);
  }
  return [...all].slice(0, count);
}

/** Writes a model of the shape to `path`. */
export function writeSynthetic(path: string, name: string): void {
  const shape = shapes[name];
  if (!shape) throw new Error(`unknown shape "${name}"; one of ${Object.keys(shapes).join(', ')}`);
  const { dim, layers, heads, kvHeads, ffnDim, vocabulary } = shape;
  const headDim = dim / heads;
  const tokens = pieces(vocabulary);
  const writer = new GgufWriter()
    .value('general.architecture', 'string', 'llama')
    .value('general.name', 'string', `synthetic ${name}`)
    .value('general.file_type', 'u32', 2)
    .value('llama.context_length', 'u32', shape.context)
    .value('llama.embedding_length', 'u32', dim)
    .value('llama.block_count', 'u32', layers)
    .value('llama.feed_forward_length', 'u32', ffnDim)
    .value('llama.attention.head_count', 'u32', heads)
    .value('llama.attention.head_count_kv', 'u32', kvHeads)
    .value('llama.attention.layer_norm_rms_epsilon', 'f32', 1e-5)
    .value('llama.rope.dimension_count', 'u32', headDim)
    .value('llama.rope.freq_base', 'f32', shape.theta)
    .value('llama.vocab_size', 'u32', vocabulary)
    .value('tokenizer.ggml.model', 'string', 'llama')
    .array('tokenizer.ggml.tokens', 'string', tokens)
    .array(
      'tokenizer.ggml.scores',
      'f32',
      tokens.map((_, i) => -i),
    )
    .array(
      'tokenizer.ggml.token_type',
      'i32',
      tokens.map((piece, i) => (i === 0 ? 2 : i < 3 ? 3 : piece.startsWith('<0x') ? 6 : 1)),
    )
    .value('tokenizer.ggml.bos_token_id', 'u32', 1)
    .value('tokenizer.ggml.eos_token_id', 'u32', 2);
  const random = new Random();
  const matrix = (tensor: string, n: number, k: number, deviation = k ** -0.5): void => {
    writer.blocks(tensor, [n, k], 'Q4_0', randomBlocks(random, n * k, deviation));
  };
  const ones = new Float32Array(dim).fill(1);
  const residual = 1 / Math.sqrt(2 * layers);
  matrix('token_embd.weight', vocabulary, dim, 0.02);
  for (let layer = 0; layer < layers; layer++) {
    const block = `blk.${layer}.`;
    writer.tensor(`${block}attn_norm.weight`, [dim], ones).tensor(`${block}ffn_norm.weight`, [dim], ones);
    matrix(`${block}attn_q.weight`, dim, dim);
    matrix(`${block}attn_k.weight`, kvHeads * headDim, dim);
    matrix(`${block}attn_v.weight`, kvHeads * headDim, dim);
    matrix(`${block}attn_output.weight`, dim, dim, residual * dim ** -0.5);
    matrix(`${block}ffn_gate.weight`, ffnDim, dim);
    matrix(`${block}ffn_up.weight`, ffnDim, dim);
    matrix(`${block}ffn_down.weight`, dim, ffnDim, residual * ffnDim ** -0.5);
  }
  writer.tensor('output_norm.weight', [dim], ones);
  if (!shape.tied) matrix('output.weight', vocabulary, dim);
  writer.write(path);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [out, name] = process.argv.slice(2);
  if (!out || !name) throw new Error(`usage: synth.ts OUT.gguf SHAPE (${Object.keys(shapes).join(', ')})`);
  writeSynthetic(out, name);
}
