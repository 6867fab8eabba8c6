// SPDX-License-Identifier: Apache-2.0
/** Conversions for the 16-bit formats, which Node 20 has no typed array for. Round to nearest, ties to even. */

const floats = new Float32Array(1);
const words = new Uint32Array(floats.buffer);

function bitsOf(value: number): number {
  floats[0] = value;
  return words[0] as number;
}

function fromBits(bits: number): number {
  words[0] = bits;
  return floats[0] as number;
}

/** By exponent field: what a fraction of 1024ths and the leading one are worth. */
const scales = Float64Array.from({ length: 31 }, (_, exponent) => 2 ** (exponent - 15));

/** The value of a binary16 bit pattern. */
export function f16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * (scales[exponent] as number);
}

/** The binary16 bit pattern nearest to `Math.fround(value)`. */
export function numberToF16(value: number): number {
  const bits = bitsOf(value);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
  // Below the normal range: adding 0.5 aligns the last bits, and the addition rounds to nearest even.
  return sign | (bitsOf(fromBits(magnitude) + 0.5) - 0x3f000000);
}

/** The value of a bfloat16 bit pattern. */
export function bf16ToNumber(bits: number): number {
  return fromBits((bits << 16) >>> 0);
}

/** The bfloat16 bit pattern nearest to `Math.fround(value)`. */
export function numberToBf16(value: number): number {
  const bits = bitsOf(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}
