// SPDX-License-Identifier: Apache-2.0
/** Writes GGUF files for tests: metadata of every type, tensors of the types that are easy to encode. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { f16ToNumber, numberToBf16, numberToF16 } from '../../lib/index.js';

const valueTypes = [
  'u8',
  'i8',
  'u16',
  'i16',
  'u32',
  'i32',
  'f32',
  'bool',
  'string',
  'array',
  'u64',
  'i64',
  'f64',
] as const;
export type GgufValueType = (typeof valueTypes)[number];
/** Types that a test's numbers are written in. */
export type GgufTensorType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0' | 'Q4_1';

/** All types of tensors; blocks of the others a test brings ready made. */
const typeIds = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q8_1: 9,
  Q2_K: 10,
  Q3_K: 11,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  Q8_K: 15,
  IQ2_XXS: 16,
  IQ2_XS: 17,
  IQ3_XXS: 18,
  IQ1_S: 19,
  IQ4_NL: 20,
  IQ3_S: 21,
  IQ2_S: 22,
  IQ4_XS: 23,
  I8: 24,
  I16: 25,
  I32: 26,
  I64: 27,
  F64: 28,
  IQ1_M: 29,
  BF16: 30,
  TQ1_0: 34,
  TQ2_0: 35,
  MXFP4: 39,
};
export type GgufBlockType = keyof typeof typeIds;
export const ggufTypes = Object.keys(typeIds) as GgufBlockType[];

const utf8 = new TextEncoder();

/** Appends little-endian values. */
class Bytes {
  readonly parts: Uint8Array[] = [];
  length = 0;

  raw(bytes: Uint8Array): void {
    this.parts.push(bytes);
    this.length += bytes.length;
  }

  scalar(type: GgufValueType, value: number | bigint | boolean | string): void {
    if (type === 'string') {
      const text = utf8.encode(value as string);
      this.scalar('u64', BigInt(text.length));
      this.raw(text);
      return;
    }
    const view = new DataView(new ArrayBuffer(8));
    const sizes: Partial<Record<GgufValueType, number>> = {
      u8: 1,
      i8: 1,
      bool: 1,
      u16: 2,
      i16: 2,
      u64: 8,
      i64: 8,
      f64: 8,
    };
    const size = sizes[type] ?? 4;
    if (type === 'f32') view.setFloat32(0, value as number, true);
    else if (type === 'f64') view.setFloat64(0, value as number, true);
    else view.setBigInt64(0, BigInt(value), true);
    this.raw(new Uint8Array(view.buffer, 0, size));
  }

  pad(alignment: number): void {
    this.raw(new Uint8Array((alignment - (this.length % alignment)) % alignment));
  }

  concat(): Uint8Array {
    const out = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

interface WrittenTensor {
  name: string;
  shape: readonly number[];
  type: GgufBlockType;
  bytes: Uint8Array;
}

export class GgufWriter {
  readonly #entries: ((out: Bytes) => void)[] = [];
  readonly #tensors: WrittenTensor[] = [];

  value(key: string, type: GgufValueType, value: number | bigint | boolean | string): this {
    this.#entries.push((out) => {
      out.scalar('string', key);
      out.scalar('u32', valueTypes.indexOf(type));
      out.scalar(type, value);
    });
    return this;
  }

  array(key: string, element: GgufValueType, values: readonly (number | bigint | boolean | string)[]): this {
    this.#entries.push((out) => {
      out.scalar('string', key);
      out.scalar('u32', valueTypes.indexOf('array'));
      out.scalar('u32', valueTypes.indexOf(element));
      out.scalar('u64', BigInt(values.length));
      for (const value of values) out.scalar(element, value);
    });
    return this;
  }

  /** @param shape row-major */
  tensor(name: string, shape: readonly number[], values: Float32Array, type: GgufTensorType = 'F32'): this {
    this.#tensors.push({ name, shape, type, bytes: encode(values, type) });
    return this;
  }

  /** A tensor whose blocks are ready. @param shape row-major */
  blocks(name: string, shape: readonly number[], type: GgufBlockType, bytes: Uint8Array): this {
    this.#tensors.push({ name, shape, type, bytes });
    return this;
  }

  bytes(): Uint8Array {
    return this.#assemble().concat();
  }

  write(path: string): void {
    const file = openSync(path, 'w');
    try {
      for (const part of this.#assemble().parts) writeSync(file, part);
    } finally {
      closeSync(file);
    }
  }

  #assemble(): Bytes {
    const out = new Bytes();
    out.raw(utf8.encode('GGUF'));
    out.scalar('u32', 3);
    out.scalar('u64', BigInt(this.#tensors.length));
    out.scalar('u64', BigInt(this.#entries.length));
    for (const write of this.#entries) write(out);
    let offset = 0;
    for (const tensor of this.#tensors) {
      out.scalar('string', tensor.name);
      out.scalar('u32', tensor.shape.length);
      for (const extent of tensor.shape.toReversed()) out.scalar('u64', BigInt(extent));
      out.scalar('u32', typeIds[tensor.type]);
      out.scalar('u64', BigInt(offset));
      offset += Math.ceil(tensor.bytes.length / 32) * 32;
    }
    for (const tensor of this.#tensors) {
      out.pad(32);
      out.raw(tensor.bytes);
    }
    return out;
  }
}

function encode(values: Float32Array, type: GgufTensorType): Uint8Array {
  switch (type) {
    case 'F32':
      return new Uint8Array(values.slice().buffer);
    case 'F16':
      return new Uint8Array(Uint16Array.from(values, numberToF16).buffer);
    case 'BF16':
      return new Uint8Array(Uint16Array.from(values, numberToBf16).buffer);
    default:
      return quantise(values, type);
  }
}

/** Blocks of 32: a scale (and a minimum) in f16, then the codes. Any rounding will do for tests. */
function quantise(values: Float32Array, type: 'Q8_0' | 'Q4_0' | 'Q4_1'): Uint8Array {
  const blockBytes = { Q8_0: 34, Q4_0: 18, Q4_1: 20 }[type];
  const out = new Uint8Array((values.length / 32) * blockBytes);
  const view = new DataView(out.buffer);
  for (let block = 0; block < values.length / 32; block++) {
    const at = block * blockBytes;
    const x = values.subarray(32 * block, 32 * block + 32);
    const [least, most] = [Math.min(...x), Math.max(...x)];
    const magnitude = Math.max(-least, most);
    const bits = numberToF16({ Q8_0: magnitude / 127, Q4_0: magnitude / 7, Q4_1: (most - least) / 15 }[type]);
    const scale = f16ToNumber(bits) || 1;
    view.setUint16(at, bits, true);
    if (type === 'Q8_0') {
      for (let i = 0; i < 32; i++) view.setInt8(at + 2 + i, clamp(Math.round((x[i] as number) / scale), -127, 127));
      continue;
    }
    const minimum = type === 'Q4_1' ? f16ToNumber(numberToF16(least)) : -8 * scale;
    if (type === 'Q4_1') view.setUint16(at + 2, numberToF16(least), true);
    const code = (i: number) => clamp(Math.round(((x[i] as number) - minimum) / scale), 0, 15);
    for (let i = 0; i < 16; i++) view.setUint8(at + blockBytes - 16 + i, code(i) | (code(i + 16) << 4));
  }
  return out;
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
