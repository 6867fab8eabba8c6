// SPDX-License-Identifier: Apache-2.0
/**
 * GGUF's quantised blocks, decoded one element at a time from the format's definition, in f32 arithmetic as the definition
 * has it. Independent of the addon: what it packs and unpacks is compared with this.
 */
import { bf16ToNumber, f16ToNumber, type MatrixFormat, numberToF16 } from '../../lib/index.js';
import { randomNumbers } from '../support/random.js';

interface BlockType {
  columns: number;
  bytes: number;
  /** Byte offsets of the f16 scales in a block. */
  scales: readonly number[];
  /** Element `i` of the block that starts at `at`. */
  element(bytes: DataView, at: number, i: number): number;
}

const half = (bytes: DataView, at: number): number => f16ToNumber(bytes.getUint16(at, true));
const nibble = (byte: number, high: boolean): number => (high ? byte >> 4 : byte & 15);

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
  const scales = randomNumbers(blocks * type.scales.length, { seed, stream: 1, distribution: 'uniform' });
  for (let block = 0; block < blocks; block++) {
    for (const [j, offset] of type.scales.entries()) {
      const u = scales[block * type.scales.length + j] as number;
      view.setUint16(block * type.bytes + offset, numberToF16((0.75 + u / 4) / (format === 'q8_0' ? 1024 : 64)), true);
    }
  }
  return bytes;
}

/** All values of rows of blocks, row-major. */
export function decodeBlocks(format: MatrixFormat, bytes: Uint8Array): Float32Array {
  const type = blockType(format);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array((bytes.length / type.bytes) * type.columns);
  for (let i = 0; i < values.length; i++) {
    values[i] = type.element(view, Math.floor(i / type.columns) * type.bytes, i % type.columns);
  }
  return values;
}
