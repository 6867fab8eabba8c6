// SPDX-License-Identifier: Apache-2.0
/** Writes and reads safetensors files and Hugging Face folders for tests. */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16 } from '../../lib/index.js';

export interface StoredTensor {
  dtype: 'F32' | 'F16' | 'BF16' | 'I32' | 'I64';
  shape: number[];
  bytes: Uint8Array;
}

export function floats(
  shape: number[],
  values: ArrayLike<number>,
  dtype: 'F32' | 'F16' | 'BF16' = 'F32',
): StoredTensor {
  const typed = {
    F32: () => Float32Array.from(values),
    F16: () => Uint16Array.from(values, numberToF16),
    BF16: () => Uint16Array.from(values, numberToBf16),
  }[dtype]();
  return { dtype, shape, bytes: new Uint8Array(typed.buffer) };
}

export function integers(shape: number[], values: ArrayLike<number>): StoredTensor {
  return { dtype: 'I32', shape, bytes: new Uint8Array(Int32Array.from(values).buffer) };
}

/** The values of a floating tensor. */
export function valuesOf({ dtype, bytes }: StoredTensor): Float32Array {
  const { buffer } = bytes.slice();
  if (dtype === 'F32') return new Float32Array(buffer);
  return Float32Array.from(new Uint16Array(buffer), dtype === 'F16' ? f16ToNumber : bf16ToNumber);
}

export function safetensorsBytes(tensors: ReadonlyMap<string, StoredTensor>): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let at = 0;
  for (const [name, { dtype, shape, bytes }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  const text = JSON.stringify(header);
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, ...Array.from(tensors.values(), ({ bytes }) => bytes)]);
}

export function readSafetensors(path: string): Map<string, StoredTensor> {
  const file = readFileSync(path);
  const begin = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, begin)) as Record<
    string,
    { dtype: StoredTensor['dtype']; shape: number[]; data_offsets: [number, number] }
  >;
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [from, to],
          },
        ]) => [name, { dtype, shape, bytes: new Uint8Array(file.subarray(begin + from, begin + to)) }],
      ),
  );
}

/** Writes a folder with the tokenizer and, but for `changes`, the configuration of `base`; in one file, or in two shards. */
export function writeFolder(
  folder: string,
  base: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  changes: Record<string, unknown> = {},
  shards: 1 | 2 = 1,
): string {
  mkdirSync(folder, { recursive: true });
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) copyFileSync(join(base, name), join(folder, name));
  const config = JSON.parse(readFileSync(join(base, 'config.json'), 'utf8')) as Record<string, unknown>;
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, ...changes }));
  if (shards === 1) {
    writeFileSync(join(folder, 'model.safetensors'), safetensorsBytes(tensors));
    return folder;
  }
  const names = [...tensors.keys()];
  const map: Record<string, string> = {};
  for (const [i, part] of [names.slice(0, names.length / 2), names.slice(names.length / 2)].entries()) {
    const shard = `model-0000${i + 1}-of-00002.safetensors`;
    for (const name of part) map[name] = shard;
    const own = new Map(part.map((name) => [name, tensors.get(name) as StoredTensor]));
    writeFileSync(join(folder, shard), safetensorsBytes(own));
  }
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: map }));
  return folder;
}
