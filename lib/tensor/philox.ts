// SPDX-License-Identifier: Apache-2.0
/** Philox4x32-10, equal bit for bit to csrc/include/pagewarp/philox.h. Salmon et al., SC'11. */

const mask32 = 0xffffffffn;

/** Four independent 32-bit words for counter (offset, stream) under key `seed`. */
export function philox(
  seed: bigint | number,
  stream: bigint | number,
  offset: bigint | number,
): [number, number, number, number] {
  const key = BigInt.asUintN(64, BigInt(seed));
  const high = BigInt.asUintN(64, BigInt(stream));
  const low = BigInt.asUintN(64, BigInt(offset));
  let k0 = Number(key & mask32);
  let k1 = Number(key >> 32n);
  let c0 = Number(low & mask32);
  let c1 = Number(low >> 32n);
  let c2 = Number(high & mask32);
  let c3 = Number(high >> 32n);
  for (let round = 0; round < 10; round++) {
    const [h0, l0] = multiply(0xd2511f53, c0);
    const [h1, l1] = multiply(0xcd9e8d57, c2);
    c0 = (h1 ^ c1 ^ k0) >>> 0;
    c1 = l1;
    c2 = (h0 ^ c3 ^ k1) >>> 0;
    c3 = l0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Uniform in [0, 1) with 24 bits. */
export function uniformF32(bits: number): number {
  return (bits >>> 8) / 16777216;
}

/** Uniform in (0, 1) with 53 bits. */
export function uniformF64(high: number, low: number): number {
  return ((high >>> 0) * 2097152 + (low >>> 11) + 0.5) / 9007199254740992;
}

/** High and low words of the 64-bit product of two unsigned 32-bit numbers. */
function multiply(a: number, b: number): [high: number, low: number] {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const cross = a0 * b1 + (middle % 65536);
  const high = a1 * b1 + Math.floor(middle / 65536) + Math.floor(cross / 65536);
  return [high >>> 0, Math.imul(a, b) >>> 0];
}
