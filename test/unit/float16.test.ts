// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16 } from '../../lib/index.js';

describe('binary16', () => {
  it('survives a round trip for every finite bit pattern', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      if ((bits & 0x7c00) === 0x7c00 && bits & 0x3ff) continue;
      expect(numberToF16(f16ToNumber(bits))).toBe(bits);
    }
  });

  it('rounds to nearest, ties to even, between any two neighbours', () => {
    for (let bits = 0; bits < 0x7bff; bits++) {
      const low = f16ToNumber(bits);
      const high = f16ToNumber(bits + 1);
      const middle = (low + high) / 2;
      expect(numberToF16(middle)).toBe(bits + (bits & 1));
      expect(numberToF16(middle + (high - low) / 8)).toBe(bits + 1);
      expect(numberToF16(middle - (high - low) / 8)).toBe(bits);
    }
  });

  it('keeps NaN, the signs of zero, and overflows to infinity from 65520 on', () => {
    expect(f16ToNumber(numberToF16(Number.NaN))).toBeNaN();
    expect(numberToF16(-0)).toBe(0x8000);
    expect(f16ToNumber(numberToF16(65519))).toBe(65504);
    expect(f16ToNumber(numberToF16(65520))).toBe(Number.POSITIVE_INFINITY);
    expect(f16ToNumber(numberToF16(-1e9))).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe('bfloat16', () => {
  it('survives a round trip for every bit pattern that is not NaN', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      if ((bits & 0x7f80) === 0x7f80 && bits & 0x7f) continue;
      expect(numberToBf16(bf16ToNumber(bits))).toBe(bits);
    }
  });

  it('rounds to nearest, ties to even', () => {
    const one = 0x3f80;
    const ulp = bf16ToNumber(one + 1) - 1;
    expect(numberToBf16(1 + ulp / 2)).toBe(one);
    expect(numberToBf16(1 + ulp * 1.5)).toBe(one + 2);
    expect(numberToBf16(1 + ulp * 0.51)).toBe(one + 1);
    expect(bf16ToNumber(numberToBf16(Number.NaN))).toBeNaN();
  });
});
