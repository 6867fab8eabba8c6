// SPDX-License-Identifier: Apache-2.0

import type { Piecewise } from '../piecewise.js';
import { PackedMatrix } from '../quant/matrix.js';
import type { Stream } from '../tensor/stream.js';
import { ggufTokenizer } from '../tokenizer/gguf.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { configFromGguf, type LlamaConfig } from './config.js';
import type { GgufFile } from './gguf.js';

/**
 * Where weights come from. Tensors go by GGUF's names ("blk.0.attn_q.weight"). Disposing it does not take back what has been
 * packed.
 */
export interface WeightSource extends Disposable {
  readonly path: string;
  /** Bytes of all weights. */
  readonly tensorBytes: number;
  /** Bytes of one tensor. */
  bytesOf(name: string): number;
  /** A vector (norm, bias) as f32. */
  vector(name: string): Float32Array;
  /** Matrices of one kind and width can be fused. */
  kindOf(name: string): string;
  /** Packs matrices below one another. */
  pack(stream: Stream, names: readonly string[]): PackedMatrix;
}

/** Where a model comes from: a GGUF file, or a folder of Hugging Face. */
export interface ModelSource extends WeightSource {
  readonly config: LlamaConfig;
  /** @throws PagewarpError ERR_INVALID_MODEL, ERR_UNSUPPORTED */
  tokenizer(): Piecewise<Tokenizer>;
}

/** A GGUF file as a model. It takes over the file. */
export class GgufSource implements ModelSource {
  readonly file: GgufFile;
  readonly config: LlamaConfig;

  /** @throws PagewarpError like {@link configFromGguf}; the file is disposed then */
  constructor(file: GgufFile) {
    this.file = file;
    try {
      this.config = configFromGguf(file);
    } catch (error) {
      file.dispose();
      throw error;
    }
  }

  get path(): string {
    return this.file.path;
  }

  get tensorBytes(): number {
    return [...this.file.tensors.values()].reduce((sum, tensor) => sum + tensor.bytes, 0);
  }

  tokenizer(): Piecewise<Tokenizer> {
    return ggufTokenizer(this.file);
  }

  bytesOf(name: string): number {
    return this.file.tensor(name).bytes;
  }

  vector(name: string): Float32Array {
    return this.file.values(name);
  }

  kindOf(name: string): string {
    return this.file.tensor(name).type;
  }

  pack(stream: Stream, names: readonly string[]): PackedMatrix {
    return PackedMatrix.fromGguf(stream, this.file, names);
  }

  [Symbol.dispose](): void {
    this.file.dispose();
  }
}
