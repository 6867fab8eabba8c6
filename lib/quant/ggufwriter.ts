// SPDX-License-Identifier: Apache-2.0
import { open } from 'node:fs/promises';
import { writeAll } from './safetensorswriter.js';

/** A metadata entry as the file has it: key, type and value. */
export type GgufEntry = Uint8Array;

/** A tensor to be written: its bytes are asked for when their turn has come. */
export interface GgufTensorEntry {
  name: string;
  /** Row-major. */
  shape: readonly number[];
  /** GGUF's number of the type. */
  type: number;
  bytes: number;
  read(): Promise<Uint8Array>;
}

const scalarTypes = { u32: 4, f32: 6, bool: 7, string: 8 } as const;
type ScalarType = keyof typeof scalarTypes;
const arrayType = 9;
const alignment = 32;

function encodeScalar(type: ScalarType, value: number | boolean | string): Uint8Array {
  if (type === 'string') {
    const text = Buffer.from(value as string);
    return Buffer.concat([u64(text.length), text]);
  }
  if (type === 'bool') return Uint8Array.of(value ? 1 : 0);
  const bytes = Buffer.alloc(4);
  if (type === 'f32') bytes.writeFloatLE(value as number);
  else bytes.writeUInt32LE(value as number);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export function ggufEntry(key: string, type: ScalarType, value: number | boolean | string): GgufEntry {
  return Buffer.concat([encodeScalar('string', key), u32(scalarTypes[type]), encodeScalar(type, value)]);
}

export function ggufArrayEntry(key: string, type: 'string' | 'i32', values: readonly (string | number)[]): GgufEntry {
  const head = [encodeScalar('string', key), u32(arrayType), u32(type === 'i32' ? 5 : 8), u64(values.length)];
  if (type === 'i32') return Buffer.concat([...head, new Uint8Array(Int32Array.from(values as number[]).buffer)]);
  return Buffer.concat([...head, ...values.map((value) => encodeScalar('string', value))]);
}

/** Writes a GGUF file (version 3), one tensor after the other. A file that could not be finished is left to the caller. */
export async function writeGguf(
  path: string,
  metadata: readonly GgufEntry[],
  tensors: readonly GgufTensorEntry[],
): Promise<void> {
  const header: Uint8Array[] = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.length), ...metadata];
  let offset = 0;
  for (const { name, shape, type, bytes } of tensors) {
    header.push(
      encodeScalar('string', name),
      u32(shape.length),
      ...shape.toReversed().map(u64),
      u32(type),
      u64(offset),
    );
    offset += aligned(bytes);
  }
  const head = Buffer.concat(header);
  const file = await open(path, 'w');
  try {
    await writeAll(file, head);
    await writeAll(file, new Uint8Array(aligned(head.length) - head.length));
    for (const tensor of tensors) {
      await writeAll(file, await tensor.read());
      await writeAll(file, new Uint8Array(aligned(tensor.bytes) - tensor.bytes));
    }
  } finally {
    await file.close();
  }
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}
