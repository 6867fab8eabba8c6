// SPDX-License-Identifier: Apache-2.0
import { tensorShapes } from '../model/config.js';
import type { GgufFile } from '../model/gguf.js';
import { HfSource } from '../model/hf.js';
import { GgufSource, type ModelSource } from '../model/source.js';
import { ropeFrequencies } from '../ops/ropefrequencies.js';
import { formatInfo, formatOfGgufType, sourceBytes } from './format.js';
import { copiedMetadata, metadataOf } from './ggufmetadata.js';
import type { GgufEntry, GgufTensorEntry } from './ggufwriter.js';
import type { QuantizeOptions } from './quantize.js';
import { ModelQuantizer } from './quantizer.js';
import type { QuantizedType } from './weights.js';

/** Everything that a quantised GGUF file of a model holds; the quantiser works as the tensors' bytes are asked for. */
export function ggufTensors(
  source: ModelSource,
  quantizer: ModelQuantizer,
  { type, embedding = 'q8_0' }: QuantizeOptions,
): { metadata: GgufEntry[]; tensors: GgufTensorEntry[] } {
  const tensors: GgufTensorEntry[] = [];
  const names = new Set<string>();
  for (const [name, shape] of tensorShapes(source.config)) {
    names.add(name);
    const kind = ModelQuantizer.siteOf(name) ? type : embedding;
    if (shape.length === 1) tensors.push(vector(source, name, shape));
    else tensors.push(matrix(source, quantizer, name, shape as [number, number], kind));
  }
  quantizer.expected = tensors.filter((tensor) => tensor.type > 1).length;
  if (source instanceof GgufSource) {
    const { file } = source;
    for (const name of file.tensors.keys()) if (!names.has(name)) tensors.push(copied(file, name));
    return { metadata: copiedMetadata(file, type), tensors };
  }
  const factors = ropeFactors(source);
  if (factors) tensors.push(floats('rope_freqs.weight', [factors.length], factors));
  return { metadata: metadataOf(source as HfSource, type), tensors };
}

function matrix(
  source: ModelSource,
  quantizer: ModelQuantizer,
  name: string,
  shape: [rows: number, columns: number],
  kind: QuantizedType | 'f16',
): GgufTensorEntry {
  const [rows, columns] = shape;
  const rowOrder = interleaved(source, name, rows);
  // Blocks have 32 columns: what is no multiple of them stays f16.
  const format = kind === 'f16' || columns % 32 !== 0 ? 'f16' : (kind as 'q4_0' | 'q4_1' | 'q8_0');
  return {
    ...{ name, shape },
    type: formatInfo(format).code,
    bytes: sourceBytes(format, rows, columns),
    read: async () =>
      format === 'f16'
        ? quantizer.half(name, rowOrder)
        : (await quantizer.run(name, { type: format, rowOrder })).blocks,
  };
}

/**
 * Rows of queries and keys as GGUF's Llama has them: rotated pairs are neighbours there, and half a head apart in the folders of
 * Hugging Face. Undefined where they lie as they should.
 */
function interleaved(source: ModelSource, name: string, rows: number): Int32Array | undefined {
  const { architecture, headDim } = source.config;
  if (!(source instanceof HfSource) || architecture.startsWith('qwen') || !/attn_[qk]\.weight$/.test(name)) return;
  return Int32Array.from({ length: rows }, (_, row) => {
    const within = row % headDim;
    return row - within + (within % 2) * (headDim / 2) + Math.floor(within / 2);
  });
}

/** A vector as f32; biases of queries and keys in the order of their rows. */
function vector(source: ModelSource, name: string, shape: number[]): GgufTensorEntry {
  return floats(name, shape, () => {
    const values = source.vector(name);
    const order = interleaved(source, name.replace(/bias$/, 'weight'), values.length);
    return order && name.endsWith('bias') ? Float32Array.from(order, (row) => values[row] as number) : values;
  });
}

function floats(name: string, shape: number[], values: Float32Array | (() => Float32Array)): GgufTensorEntry {
  return {
    ...{ name, shape, type: 0 },
    bytes: 4 * shape.reduce((a, b) => a * b),
    read: async () => {
      const { buffer, byteOffset, byteLength } = typeof values === 'function' ? values() : values;
      return new Uint8Array(buffer, byteOffset, byteLength);
    },
  };
}

/** A tensor that the forward pass does not multiply by, such as rope_freqs. */
function copied(file: GgufFile, name: string): GgufTensorEntry {
  const { shape, bytes, type } = file.tensor(name);
  const format = formatOfGgufType(type) ?? 'f32';
  return { name, shape, type: formatInfo(format).code, bytes, read: async () => file.rawBytes(name) };
}

/** What Llama 3.1's scaling divides the frequencies by: GGUF keeps it as a tensor. */
function ropeFactors(source: ModelSource): Float32Array | undefined {
  const { rotaryDim, theta, scaling } = source.config.rope;
  if (scaling.type !== 'llama3') return undefined;
  const plain = ropeFrequencies({ rotaryDim, theta }).inverse;
  const scaled = ropeFrequencies({ rotaryDim, theta, scaling }).inverse;
  return Float32Array.from(plain, (frequency, i) => frequency / (scaled[i] as number));
}
