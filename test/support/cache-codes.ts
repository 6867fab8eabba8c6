// SPDX-License-Identifier: Apache-2.0
/** Codes of quantised KV caches, from their definitions and by search: shares nothing with the library. */
import type { StoredCacheDType } from '../../lib/index.js';

export type CodeType = Extract<StoredCacheDType, 'i8' | 'fp8e4m3' | 'i4'>;

export function isCodeType(type: StoredCacheDType): type is CodeType {
  return type === 'i8' || type === 'fp8e4m3' || type === 'i4';
}

/** Sign, 4 bits of exponent with bias 7, 3 of mantissa. */
function e4m3(code: number): number {
  const exponent = (code >> 3) & 15;
  const mantissa = code & 7;
  const magnitude = exponent === 0 ? mantissa / 512 : (1 + mantissa / 8) * 2 ** (exponent - 7);
  return code & 128 ? -magnitude : magnitude;
}

const values: Record<CodeType, readonly number[]> = {
  i8: Array.from({ length: 256 }, (_, code) => (code < 128 ? code : code - 256)),
  fp8e4m3: Array.from({ length: 256 }, (_, code) => e4m3(code)),
  i4: Array.from({ length: 16 }, (_, code) => (code < 8 ? code : code - 16)),
};

/** Those that are written, of numbers that are not negative: codes 0, 1, 2, ... in rising order. */
const magnitudes: Record<CodeType, readonly number[]> = {
  i8: values.i8.slice(0, 128),
  fp8e4m3: values.fp8e4m3.slice(0, 0x7f),
  i4: values.i4.slice(0, 8),
};

export function decodeCode(type: CodeType, code: number): number {
  return values[type][code] as number;
}

/** The code of the value nearest to `x`; of two, the even one. */
export function nearestCode(type: CodeType, x: number): number {
  const list = magnitudes[type];
  const wanted = Math.abs(x);
  let code = 0;
  for (let high = list.length - 1; code < high; ) {
    const middle = (code + high + 1) >> 1;
    if ((list[middle] as number) <= wanted) code = middle;
    else high = middle - 1;
  }
  const below = wanted - (list[code] as number);
  const above = (list[code + 1] ?? Number.POSITIVE_INFINITY) - wanted;
  if (above < below || (above === below && code % 2 === 1)) code++;
  if (x >= 0 || code === 0) return code;
  return type === 'fp8e4m3' ? code | 128 : values[type].length - code;
}

/** What a row of one head reads as after it was stored. */
export function storedAsCodes(type: CodeType, row: readonly number[]): number[] {
  const largest = magnitudes[type].at(-1) as number;
  const scale = Math.fround(Math.max(...row.map(Math.abs)) / largest);
  const code = (x: number): number => (scale > 0 ? nearestCode(type, Math.fround(x / scale)) : 0);
  return row.map((x) => Math.fround(decodeCode(type, code(x)) * scale));
}
