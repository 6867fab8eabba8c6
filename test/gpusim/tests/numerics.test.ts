// SPDX-License-Identifier: Apache-2.0
// The judge is judged: against the host's IEEE arithmetic where that has the operation, and against published constants.
import { describe, expect, it } from 'vitest';
import {
  add,
  bf16,
  bitsOf,
  compare,
  decode,
  divide,
  e4m3,
  e5m2,
  encode,
  type Format,
  f16,
  f32,
  f64,
  flush,
  fromNumber,
  multiply,
  numberOf,
  squareRoot,
  tf32,
  toNumber,
} from './numerics.js';
import { Random } from './random.js';

const view = new DataView(new ArrayBuffer(8));
const doubleBits = (x: number): bigint => {
  view.setFloat64(0, x);
  return view.getBigUint64(0);
};
const floatBits = (x: number): bigint => {
  view.setFloat32(0, x);
  return BigInt(view.getUint32(0));
};
const doubleOf = (bits: bigint): number => {
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
};

describe('numerics', () => {
  it('agrees with host doubles on add, multiply, divide and square root', () => {
    const random = new Random(1);
    for (let i = 0; i < 1000; ++i) {
      const x = doubleOf(random.bits(64));
      const y = i % 2 === 0 ? doubleOf(random.bits(64)) : x * (1 + (random.uniform() - 0.5) * 2 ** -20);
      if (Number.isNaN(x) || Number.isNaN(y)) continue;
      const [a, b] = [fromNumber(x), fromNumber(y)];
      expect(toNumber(add(a, b))).toBe(x + y);
      expect(toNumber(multiply(a, b))).toBe(x * y);
      expect(toNumber(divide(a, b))).toBe(x / y);
      expect(toNumber(squareRoot(a))).toBe(Math.sqrt(x));
      expect(compare(a, b)).toBe(x < y ? -1 : x > y ? 1 : 0);
    }
  });

  it('agrees with Math.fround on f64 to f32, subnormals and overflow included', () => {
    const random = new Random(2);
    for (let i = 0; i < 4000; ++i) {
      const x = (random.uniform() - 0.5) * 2 ** (random.below(300) - 150);
      expect(bitsOf(f32, x)).toBe(floatBits(Math.fround(x)));
    }
    expect(bitsOf(f64, -0)).toBe(doubleBits(-0));
  });

  it.each([f16, bf16, e4m3, e5m2])('$name: every number decodes and encodes to itself in every rounding', (fmt) => {
    const wrong: bigint[] = [];
    for (let bits = 0n; bits < 1n << BigInt(fmt.bits); ++bits) {
      const value = decode(fmt, bits);
      if (value.kind === 'nan') continue;
      for (const mode of ['rn', 'rz', 'rm', 'rp', 'rna'] as const) {
        if (encode(fmt, value, { mode }) !== bits) wrong.push(bits);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('rounds between neighbours as each mode says', () => {
    const between = fromNumber(1 + 2 ** -11);
    expect(encode(f16, between)).toBe(0x3c00n);
    expect(encode(f16, between, { mode: 'rna' })).toBe(0x3c01n);
    expect(encode(f16, between, { mode: 'rp' })).toBe(0x3c01n);
    expect(encode(f16, between, { mode: 'rz' })).toBe(0x3c00n);
    expect(encode(f16, fromNumber(-1 - 2 ** -11), { mode: 'rm' })).toBe(0xbc01n);
    expect(encode(f16, fromNumber(1 + 3 * 2 ** -11))).toBe(0x3c02n);
  });

  it.each<[Format, number, number, number]>([
    [f16, 65504, 2 ** -14, 2 ** -24],
    [bf16, 3.3895313892515355e38, 2 ** -126, 2 ** -133],
    [tf32, 3.4011621342146535e38, 2 ** -126, 2 ** -136],
    [e4m3, 448, 2 ** -6, 2 ** -9],
    [e5m2, 57344, 2 ** -14, 2 ** -16],
  ])('%o has its published limits', (fmt, largest, smallestNormal, smallest) => {
    expect(toNumber(decode(fmt, encode(fmt, fromNumber(1e300), { satfinite: true })))).toBe(largest);
    expect(numberOf(fmt, bitsOf(fmt, smallest))).toBe(smallest);
    expect(numberOf(fmt, bitsOf(fmt, smallest / 2))).toBe(0);
    expect(flush(fmt, bitsOf(fmt, smallestNormal))).toBe(bitsOf(fmt, smallestNormal));
    expect(flush(fmt, bitsOf(fmt, -smallest))).toBe(1n << BigInt(fmt.bits - 1));
  });

  it('has the overflow rules of each mode', () => {
    expect(bitsOf(f32, 1e300)).toBe(0x7f800000n);
    expect(bitsOf(f32, 1e300, { mode: 'rz' })).toBe(0x7f7fffffn);
    expect(bitsOf(f32, 1e300, { mode: 'rm' })).toBe(0x7f7fffffn);
    expect(bitsOf(f32, -1e300, { mode: 'rm' })).toBe(0xff800000n);
    expect(bitsOf(f32, -1e300, { mode: 'rp' })).toBe(0xff7fffffn);
    expect(bitsOf(e4m3, 500)).toBe(0x7fn);
    expect(bitsOf(e4m3, 464, { satfinite: true })).toBe(0x7en);
  });
});
