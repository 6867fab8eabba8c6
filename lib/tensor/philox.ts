// SPDX-License-Identifier: Apache-2.0
/** Philox4x32-10, equal bit for bit to csrc/include/pagewarp/philox.h. Salmon et al., SC'11. */

import { invalidArgument } from '../errors.js';

/**
 * Four independent 32-bit words for counter (offset, stream) under key `seed`.
 * @throws PagewarpError ERR_INVALID_ARGUMENT for what is no integer
 */
export function philox(
  seed: bigint | number,
  stream: bigint | number,
  offset: bigint | number,
): [number, number, number, number] {
  let [k0, k1] = words('seed', seed);
  let [c0, c1] = words('offset', offset);
  let [c2, c3] = words('stream', stream);
  for (let round = 0; round < 10; round++) {
    const h0 = multiplyHigh(0xd2511f53, c0);
    const l0 = multiplyLow(0xd2511f53, c0);
    const h1 = multiplyHigh(0xcd9e8d57, c2);
    const l1 = multiplyLow(0xcd9e8d57, c2);
    c0 = (h1 ^ c1 ^ k0) >>> 0;
    c1 = l1;
    c2 = (h0 ^ c3 ^ k1) >>> 0;
    c3 = l0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Low and high words of an integer's lowest 64 bits. */
function words(name: string, value: bigint | number): [low: number, high: number] {
  // Without bigints where they are not needed: they take most of the time.
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) {
    return [value >>> 0, Math.floor(value / 2 ** 32)];
  }
  if (typeof value !== 'bigint' && !Number.isInteger(value)) throw invalidArgument(name, value, 'an integer');
  const bits = BigInt.asUintN(64, BigInt(value));
  return [Number(bits & 0xffffffffn), Number(bits >> 32n)];
}

/** Uniform in [0, 1) with 24 bits. */
export function uniformF32(bits: number): number {
  return (bits >>> 8) / 16777216;
}

/** Uniform in (0, 1) with 53 bits. */
export function uniformF64(high: number, low: number): number {
  return ((high >>> 0) * 2097152 + (low >>> 11) + 0.5) / 9007199254740992;
}

/** The high word of the 64-bit product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const cross = a0 * b1 + (middle & 0xffff);
  return a1 * b1 + (middle >>> 16) + (cross >>> 16);
}

/** The low word. */
function multiplyLow(a: number, b: number): number {
  return Math.imul(a, b) >>> 0;
}
