// SPDX-License-Identifier: Apache-2.0
/**
 * Quantised blocks, decoded one element at a time from the format's definition, in f32 arithmetic as the definition has it. Independent of the addon: what it packs and unpacks is compared with this.
 */
import { bf16ToNumber, f16ToNumber, type MatrixFormat, numberToF16 } from '../../lib/index.js';
import { randomNumbers } from '../support/random.js';

interface BlockType {
  columns: number;
  bytes: number;
  /** Byte offsets of the f16 scales in a block. */
  scales: readonly number[];
  /** Element `i` of the block that starts at `at`. */
  element(bytes: DataView, at: number, i: number, levels: ArrayLike<number>): number;
}

const half = (bytes: DataView, at: number): number => f16ToNumber(bytes.getUint16(at, true));
const nibble = (byte: number, high: boolean): number => (high ? byte >> 4 : byte & 15);

/** Bit `i` of the 32-bit word at `at`, as the fifth bit of a code. */
const fifthBit = (bytes: DataView, at: number, i: number): number => ((bytes.getUint32(at, true) >>> i) & 1) << 4;

const iq4Levels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** Any 16 levels will do for tests of lut4. */
export const lutLevels = Float32Array.from(
  [-1, -0.7, -0.53, -0.39, -0.28, -0.18, -0.09, 0, 0.08, 0.16, 0.25, 0.34, 0.44, 0.56, 0.72, 1].map((x) => x * 7.3),
);

/** A 4-bit float: sign, two bits of exponent with bias 1, one of mantissa. */
function fp4(code: number): number {
  const [sign, exponent, mantissa] = [code >> 3, (code >> 1) & 3, code & 1];
  const magnitude = exponent === 0 ? mantissa / 2 : 2 ** (exponent - 1) * (1 + mantissa / 2);
  return sign ? -magnitude : magnitude;
}

/** An 8-bit float: sign, four bits of exponent with bias 7, three of mantissa; all ones are not a number. */
function e4m3(byte: number): number {
  const [exponent, mantissa] = [(byte >> 3) & 15, byte & 7];
  if ((byte & 127) === 127) return Number.NaN;
  const magnitude = exponent === 0 ? mantissa / 512 : 2 ** (exponent - 7) * (1 + mantissa / 8);
  return byte >> 7 ? -magnitude : magnitude;
}

/** What the scales of nvfp4 matrices in tests are multiplied by. */
export const nvfp4Factor = Math.fround(0.0123);

/** What a matrix of the format has beside its blocks, as PackedMatrix.fromBlocks takes it. */
export function tablesOf(format: MatrixFormat): { levels?: Float32Array<ArrayBuffer>; factor?: number } {
  if (format === 'lut4') return { levels: lutLevels };
  return format === 'nvfp4' ? { factor: nvfp4Factor } : {};
}

/** The 6-bit scale and minimum of group `j` of a Q4_K block, of 12 bytes at `at`. */
function scaleAndMinimum(bytes: DataView, at: number, j: number): [scale: number, minimum: number] {
  const byte = (i: number): number => bytes.getUint8(at + i);
  if (j < 4) return [byte(j) & 63, byte(j + 4) & 63];
  return [(byte(j + 4) & 15) | ((byte(j - 4) >> 6) << 4), (byte(j + 4) >> 4) | ((byte(j) >> 6) << 4)];
}

const types: Partial<Record<MatrixFormat, BlockType>> = {
  f32: { columns: 1, bytes: 4, scales: [], element: (b, at) => b.getFloat32(at, true) },
  f16: { columns: 1, bytes: 2, scales: [], element: (b, at) => half(b, at) },
  bf16: { columns: 1, bytes: 2, scales: [], element: (b, at) => bf16ToNumber(b.getUint16(at, true)) },
  q4_0: {
    columns: 32,
    bytes: 18,
    scales: [0],
    element: (b, at, i) => half(b, at) * (nibble(b.getUint8(at + 2 + (i % 16)), i >= 16) - 8),
  },
  q4_1: {
    columns: 32,
    bytes: 20,
    scales: [0, 2],
    element: (b, at, i) => Math.fround(half(b, at) * nibble(b.getUint8(at + 4 + (i % 16)), i >= 16) + half(b, at + 2)),
  },
  q8_0: { columns: 32, bytes: 34, scales: [0], element: (b, at, i) => half(b, at) * b.getInt8(at + 2 + i) },
  q4_k: {
    columns: 256,
    bytes: 144,
    scales: [0, 2],
    element: (b, at, i) => {
      const group = Math.floor(i / 32);
      const [scale, minimum] = scaleAndMinimum(b, at + 4, group);
      const code = nibble(b.getUint8(at + 16 + 32 * Math.floor(group / 2) + (i % 32)), group % 2 === 1);
      return Math.fround(half(b, at) * scale * code - half(b, at + 2) * minimum);
    },
  },
  q5_0: {
    columns: 32,
    bytes: 22,
    scales: [0],
    element: (b, at, i) => half(b, at) * (fifthBit(b, at + 2, i) + nibble(b.getUint8(at + 6 + (i % 16)), i >= 16) - 16),
  },
  q5_1: {
    columns: 32,
    bytes: 24,
    scales: [0, 2],
    element: (b, at, i) =>
      Math.fround(
        half(b, at) * (fifthBit(b, at + 4, i) + nibble(b.getUint8(at + 8 + (i % 16)), i >= 16)) + half(b, at + 2),
      ),
  },
  q5_k: {
    columns: 256,
    bytes: 176,
    scales: [0, 2],
    element: (b, at, i) => {
      const group = Math.floor(i / 32);
      const [scale, minimum] = scaleAndMinimum(b, at + 4, group);
      const low = nibble(b.getUint8(at + 48 + 32 * Math.floor(group / 2) + (i % 32)), group % 2 === 1);
      const code = low + 16 * ((b.getUint8(at + 16 + (i % 32)) >> group) & 1);
      return Math.fround(half(b, at) * scale * code - half(b, at + 2) * minimum);
    },
  },
  iq4_nl: {
    columns: 32,
    bytes: 18,
    scales: [0],
    element: (b, at, i) => half(b, at) * (iq4Levels[nibble(b.getUint8(at + 2 + (i % 16)), i >= 16)] as number),
  },
  mxfp4: {
    columns: 32,
    bytes: 17,
    scales: [],
    element: (b, at, i) => 2 ** (b.getUint8(at) - 127) * fp4(nibble(b.getUint8(at + 1 + (i % 16)), i >= 16)),
  },
  int4_zp: {
    columns: 32,
    bytes: 19,
    scales: [0],
    element: (b, at, i) => half(b, at) * (nibble(b.getUint8(at + 3 + (i % 16)), i >= 16) - b.getUint8(at + 2)),
  },
  int4_g16: {
    columns: 32,
    bytes: 20,
    scales: [0, 2],
    element: (b, at, i) => half(b, at + 2 * (i >> 4)) * (nibble(b.getUint8(at + 4 + (i % 16)), i >= 16) - 8),
  },
  lut4: {
    columns: 32,
    bytes: 18,
    scales: [0],
    element: (b, at, i, levels) =>
      Math.fround(half(b, at) * (levels[nibble(b.getUint8(at + 2 + (i % 16)), i >= 16)] as number)),
  },
  nvfp4: {
    columns: 32,
    bytes: 18,
    scales: [],
    element: (b, at, i) =>
      Math.fround(nvfp4Factor * e4m3(b.getUint8(at + (i >> 4)))) * fp4(nibble(b.getUint8(at + 2 + (i % 16)), i >= 16)),
  },
  q6_k: {
    columns: 256,
    bytes: 210,
    scales: [208],
    element: (b, at, i) => {
      const upper = Math.floor(i / 128);
      const quarter = Math.floor((i % 128) / 32);
      const column = i % 32;
      const low = nibble(b.getUint8(at + 64 * upper + 32 * (quarter % 2) + column), quarter >= 2);
      const high = (b.getUint8(at + 128 + 32 * upper + column) >> (2 * quarter)) & 3;
      const scale = b.getInt8(at + 192 + Math.floor(i / 16));
      return Math.fround(half(b, at + 208) * scale * ((low | (high << 4)) - 32));
    },
  },
};

function blockType(format: MatrixFormat): BlockType {
  const type = types[format];
  if (!type) throw new RangeError(`no oracle for ${format}`);
  return type;
}

/** `rows` x `columns` random blocks: every code and every small scale equally likely, f16 scales about 1/64. */
export function randomBlocks(format: MatrixFormat, rows: number, columns: number, seed: number): Uint8Array {
  const type = blockType(format);
  const blocks = (rows * columns) / type.columns;
  const bytes = new Uint8Array(blocks * type.bytes);
  if (type.columns === 1) {
    const values = randomNumbers(rows * columns, { seed, scale: 0.1 });
    if (format === 'f32') return new Uint8Array(values.buffer);
    // bf16: the upper half of an f32, a value of its own.
    const words = Uint16Array.from(values, (x) =>
      format === 'f16' ? numberToF16(x) : new Uint32Array(Float32Array.of(x).buffer)[0]! >>> 16,
    );
    return new Uint8Array(words.buffer);
  }
  bytes.set(Uint8Array.from(randomNumbers(bytes.length, { seed, distribution: 'integer', low: 0, high: 256 })));
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += type.bytes) {
    if (format === 'mxfp4') bytes[at] = 119 + ((bytes[at] as number) % 4);
    if (format === 'nvfp4') for (const i of [0, 1]) bytes[at + i] = 40 + ((bytes[at + i] as number) % 24);
    if (format === 'int4_zp') bytes[at + 2] = (bytes[at + 2] as number) % 17;
  }
  const scales = randomNumbers(blocks * type.scales.length, { seed, stream: 1, distribution: 'uniform' });
  for (let block = 0; block < blocks; block++) {
    for (const [j, offset] of type.scales.entries()) {
      const u = scales[block * type.scales.length + j] as number;
      view.setUint16(
        block * type.bytes + offset,
        numberToF16((0.75 + u / 4) / (format === 'q8_0' || format === 'iq4_nl' ? 1024 : 64)),
        true,
      );
    }
  }
  return bytes;
}

/** All values of rows of blocks, row-major. @param levels of lut4 */
export function decodeBlocks(
  format: MatrixFormat,
  bytes: Uint8Array,
  levels: ArrayLike<number> = lutLevels,
): Float32Array {
  const type = blockType(format);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array((bytes.length / type.bytes) * type.columns);
  for (let i = 0; i < values.length; i++) {
    values[i] = type.element(view, Math.floor(i / type.columns) * type.bytes, i % type.columns, levels);
  }
  return values;
}
