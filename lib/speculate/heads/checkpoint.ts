// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PagewarpError, unsupported } from '../../errors.js';
import { denseFormats } from '../../model/hf.js';
import { type Json, readJsonObject } from '../../model/json.js';
import { SafetensorsFile } from '../../model/safetensors.js';
import type { WeightSource } from '../../model/source.js';
import { PackedMatrix } from '../../quant/matrix.js';
import type { Stream } from '../../tensor/stream.js';

const weightFiles = ['medusa_lm_head.safetensors', 'hydra_lm_head.safetensors', 'model.safetensors'];

/** A folder with config.json and the weights of draft heads, as safetensors: by their own names. */
export class HeadCheckpoint implements WeightSource {
  readonly path: string;
  readonly config: Json;
  readonly #file: SafetensorsFile;
  /** From the names that callers use to the file's own. */
  readonly #rename: (name: string) => string;

  private constructor(path: string, config: Json, file: SafetensorsFile, rename: (name: string) => string) {
    this.path = path;
    this.config = config;
    this.#file = file;
    this.#rename = rename;
  }

  /** @throws PagewarpError ERR_IO, ERR_INVALID_MODEL, ERR_UNSUPPORTED when the weights are not safetensors */
  static open(path: string): HeadCheckpoint {
    const config = readJsonObject(join(path, 'config.json'));
    const name = weightFiles.find((file) => existsSync(join(path, file)));
    if (!name) throw unsupported(`${path}: weights in another form`, `draft heads in ${weightFiles.join(' or ')}`);
    return new HeadCheckpoint(path, config, SafetensorsFile.open(join(path, name)), (tensor) => tensor);
  }

  /** The same folder under other names of tensors. Only one of the two is to be disposed. */
  renamed(rename: (name: string) => string): HeadCheckpoint {
    return new HeadCheckpoint(this.path, this.config, this.#file, rename);
  }

  get tensorBytes(): number {
    return [...this.#file.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  has(name: string): boolean {
    return this.#file.tensors.has(this.#rename(name));
  }

  /** A count in config.json. @throws PagewarpError ERR_INVALID_MODEL */
  count(key: string, most: number): number {
    const value = this.config[key];
    if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most) return value as number;
    throw this.invalid(`config.json: "${key}" is ${JSON.stringify(value)}, but must be an integer from 1 to ${most}`);
  }

  shapeOf(name: string): readonly number[] {
    return this.#file.tensor(this.#rename(name)).shape;
  }

  bytesOf(name: string): number {
    return this.#file.tensor(this.#rename(name)).bytes;
  }

  kindOf(name: string): string {
    return this.#file.tensor(this.#rename(name)).dtype;
  }

  vector(name: string): Float32Array {
    return this.#file.values(this.#rename(name));
  }

  pack(stream: Stream, names: readonly string[]): PackedMatrix {
    return PackedMatrix.fromFile(
      stream,
      names.map((name) => {
        const { shape, dtype, offset } = this.#file.tensor(this.#rename(name));
        const format = denseFormats[dtype];
        if (!format || shape.length !== 2) {
          throw unsupported(
            `${this.path}: tensor "${this.#rename(name)}" of type ${dtype}`,
            'matrices of F32, F16, BF16',
          );
        }
        const [rows, columns] = shape as [number, number];
        return { file: this.#file.native, offset, rows, columns, format };
      }),
    );
  }

  /** @throws PagewarpError ERR_INVALID_MODEL unless the tensor has this shape */
  requireShape(name: string, expected: readonly number[]): void {
    const shape = this.shapeOf(name);
    if (shape.length === expected.length && shape.every((n, d) => n === expected[d])) return;
    throw this.invalid(
      `tensor "${this.#rename(name)}" has shape [${shape.join(', ')}], but this model needs [${expected.join(', ')}]`,
    );
  }

  invalid(what: string): PagewarpError {
    return new PagewarpError('ERR_INVALID_MODEL', `${this.path}: ${what}`, { path: this.path });
  }

  [Symbol.dispose](): void {
    this.#file.dispose();
  }
}
