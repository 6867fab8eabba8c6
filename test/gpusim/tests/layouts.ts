// SPDX-License-Identifier: Apache-2.0
// Where the PTX manual puts each matrix element: fragment element i of a lane -> (row, column).
import { bf16, bitsOf, e4m3, e5m2, type Format, f16, f32, f64, numberOf, tf32 } from './numerics.js';

export type Place = (lane: number, i: number) => readonly [row: number, column: number];

/** How a matrix element is kept in a register and read as a number. */
export interface Element {
  readonly name: string;
  readonly bits: number;
  readonly encode: (value: number) => bigint;
  readonly decode: (bits: bigint) => number;
}

/** Matrices hold few different values, and exact conversion is slow. */
function remembered<Key, Value>(convert: (key: Key) => Value): (key: Key) => Value {
  const known = new Map<Key, Value>();
  return (key) => {
    if (Object.is(key, -0)) return convert(key); // the same key as 0 for a map
    const found = known.get(key);
    if (found !== undefined) return found;
    const value = convert(key);
    known.set(key, value);
    return value;
  };
}

const float = (fmt: Format): Element => ({
  name: fmt.name,
  bits: fmt.bits,
  encode: remembered((value) => bitsOf(fmt, value)),
  decode: remembered((bits) => numberOf(fmt, bits)),
});
const integer = (name: string): Element => {
  const bits = Number(name.slice(1));
  const signed = name.startsWith('s');
  return {
    name,
    bits,
    encode: (value) => BigInt.asUintN(bits, BigInt(value)),
    decode: (raw) => Number(signed ? BigInt.asIntN(bits, raw) : raw),
  };
};
export const elements: Record<string, Element> = Object.fromEntries(
  [...[f16, bf16, tf32, f32, f64, e4m3, e5m2].map(float), ...['s8', 'u8', 's4', 'u4', 'b1', 's32'].map(integer)].map(
    (e) => [e.name, e],
  ),
);

export interface MmaLayout {
  readonly a: Place;
  readonly b: Place;
  readonly c: Place;
  /** Elements per lane. */
  readonly sizes: readonly [a: number, b: number, c: number];
}

/**
 * mma.m16n8kK and mma.m8n8kK of all types but m8n8k4 with f16. A register holds `perRegister` neighbours in the k direction;
 * groupID = lane / 4 and threadID_in_group = lane % 4.
 */
export function mmaLayout(m: number, k: number, perRegister: number): MmaLayout {
  const e = perRegister;
  const registerOf = (i: number): number => Math.floor(i / e);
  return {
    sizes: [(m * k) / 32, (8 * k) / 32, (m * 8) / 32],
    a: (lane, i) => {
      const group = lane >> 2;
      const inGroup = lane & 3;
      const register = registerOf(i);
      // In m16 shapes registers alternate between the upper and the lower eight rows.
      const row = m === 16 ? group + 8 * (register & 1) : group;
      const block = m === 16 ? register >> 1 : register;
      return [row, block * 4 * e + inGroup * e + (i % e)];
    },
    b: (lane, i) => [registerOf(i) * 4 * e + (lane & 3) * e + (i % e), lane >> 2],
    c: (lane, i) => [(lane >> 2) + 8 * (i >> 1), (lane & 3) * 2 + (i & 1)],
  };
}

/** mma.m8n8k4 with f16: four products, the one of lanes 4q..4q+3 and 16+4q..19+4q is number q. */
export function quadLayout(aLayout: 'row' | 'col', bLayout: 'row' | 'col', accumulator: 'f16' | 'f32'): MmaLayout {
  const inPair = (lane: number, x: number): number => (lane < 16 ? x : x + 4);
  return {
    sizes: [4, 4, 8],
    a: (lane, i) => (aLayout === 'row' ? [inPair(lane, lane & 3), i] : [inPair(lane, i), lane & 3]),
    b: (lane, i) => (bLayout === 'row' ? [lane & 3, inPair(lane, i)] : [i, inPair(lane, lane & 3)]),
    c: (lane, i) =>
      accumulator === 'f16'
        ? [inPair(lane, lane & 3), i]
        : [inPair(lane, (lane & 1) + (i & 2)), (i & 4) + (lane & 2) + (i & 1)],
  };
}

/** ldmatrix and movmatrix: element i (0 or 1) of the lane's register of one 8x8 matrix of 16-bit elements. */
export const matrix8x8 =
  (transposed: boolean): Place =>
  (lane, i) =>
    transposed ? [(lane & 3) * 2 + i, lane >> 2] : [lane >> 2, (lane & 3) * 2 + i];

export type Matrix = number[][];
export const matrix = (rows: number, columns: number, f: (i: number, j: number) => number): Matrix =>
  Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) => f(i, j)));

const tables = new WeakMap<Place, (readonly [number, number])[]>();

/** Where the elements of all lanes lie, lane by lane. */
function positions(place: Place, size: number): readonly (readonly [number, number])[] {
  const known = tables.get(place);
  if (known?.length === 32 * size) return known;
  const table = Array.from({ length: 32 * size }, (_, at) => place(Math.floor(at / size), at % size));
  tables.set(place, table);
  return table;
}

/** Registers of one warp for one operand: elements packed low to high into words of 32 bits, or 64 for f64. */
export function fragments(matrices: readonly Matrix[], type: Element, place: Place, size: number): bigint[] {
  const per = type.bits === 64 ? 1 : 32 / type.bits;
  const table = positions(place, size);
  const words: bigint[] = [];
  for (let first = 0; first < table.length; first += per) {
    const lane = Math.floor(first / size);
    const source = matrices[matrices.length === 1 ? 0 : (lane >> 2) & 3] as Matrix;
    const element = (j: number): number => {
      const [row, column] = table[first + j] as readonly [number, number];
      return (source[row] as number[])[column] as number;
    };
    let bits = 0;
    for (let j = 0; j < per && type.bits < 64; ++j) {
      const value = element(j);
      if (!Object.is(value, 0)) bits += Number(type.encode(value)) * 2 ** (j * type.bits);
    }
    words.push(type.bits === 64 ? type.encode(element(0)) : BigInt(bits));
  }
  return words;
}

/** Registers that `size` elements per lane take. */
export const wordsPerLane = (type: Element, size: number): number => (size * type.bits) / (type.bits === 64 ? 64 : 32);
