// SPDX-License-Identifier: Apache-2.0
// Video instructions on two halves or four bytes of a word, from the pseudocode in the PTX manual.
import { type Case, exactly, suite } from '../cases.js';

const operations: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  vadd: (a, b) => a + b,
  vsub: (a, b) => a - b,
  vavrg: (a, b) => (a + b >= 0n ? (a + b + 1n) >> 1n : (a + b) >> 1n),
  vabsdiff: (a, b) => (a > b ? a - b : b - a),
  vmin: (a, b) => (a < b ? a : b),
  vmax: (a, b) => (a > b ? a : b),
};

const clamp = (value: bigint, low: bigint, high: bigint): bigint => (value < low ? low : value > high ? high : value);

const cases: Case[] = Object.entries(operations).flatMap(([name, run]) =>
  [2, 4].flatMap((count) =>
    ['u32', 's32'].flatMap((type) =>
      ['', '.sat', '.add'].map((variant): Case => {
        const bits = 32 / count;
        const width = BigInt(bits);
        const signed = type === 's32';
        const field = (word: bigint, i: number): bigint =>
          signed ? BigInt.asIntN(bits, word >> (BigInt(i) * width)) : BigInt.asUintN(bits, word >> (BigInt(i) * width));
        const [low, high] = signed ? [-(1n << (width - 1n)), (1n << (width - 1n)) - 1n] : [0n, (1n << width) - 1n];
        const instruction = `${name}${count}.${type}.${type}.${type}${variant}`;
        return {
          name: instruction,
          inputs: ['b32', 'b32', 'b32'],
          outputs: [32],
          body: `${instruction} %x, %a, %b, %c;`,
          judge: exactly((a, b, c) => {
            const values = Array.from({ length: count }, (_, i) => run(field(a, i), field(b, i)));
            if (variant === '.add')
              return BigInt.asUintN(
                32,
                values.reduce((sum, value) => sum + value, c),
              );
            return values.reduce((word, value, i) => {
              const kept = variant === '.sat' ? clamp(value, low, high) : value;
              return word | (BigInt.asUintN(bits, kept) << (BigInt(i) * width));
            }, 0n);
          }),
        };
      }),
    ),
  ),
);

suite('video instructions', cases);
