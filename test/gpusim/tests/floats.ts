// SPDX-License-Identifier: Apache-2.0
// Judges of floating-point results: exact ones for rounded operations, bounds for the approximate ones.
import type { Judge } from './cases.js';
import {
  decode,
  type EncodeOptions,
  type Exact,
  encode,
  type Format,
  f32,
  f64,
  flush,
  isNan,
  numberOf,
  type Rounding,
} from './numerics.js';

export interface Modifiers {
  readonly mode?: Rounding;
  readonly ftz?: boolean;
  readonly sat?: boolean;
  readonly relu?: boolean;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/**
 * Result bits that the manual allows for an exact value. NaNs of f64 keep payloads that the manual does not pin down;
 * all other formats have one canonical NaN. Whether a value that rounds up to the smallest normal number is tiny, and so
 * is flushed, is not specified: both are allowed.
 */
export function allowed(fmt: Format, value: Exact, modifiers: EncodeOptions): (bits: bigint) => boolean {
  const wanted = encode(fmt, value, modifiers);
  if (value.kind === 'nan' && wanted === fmt.nan) return (bits) => (fmt === f64 ? isNan(fmt, bits) : bits === fmt.nan);
  const smallest = 1n << BigInt(fmt.fractionBits + fmt.padding);
  const sign = 1n << BigInt(fmt.bits - 1);
  if (!modifiers.ftz || (wanted & ~sign) !== smallest) return (bits) => bits === wanted;
  return (bits) => bits === wanted || bits === (wanted & sign);
}

/** Judges a rounded operation on `inputs.length` operands of one format. */
export function rounded(
  fmt: Format,
  operation: (mode: Rounding, ...values: Exact[]) => Exact,
  modifiers: Modifiers = {},
): Judge {
  return (inputs, [bits]) => {
    const values = inputs.map((input) => decode(fmt, modifiers.ftz ? flush(fmt, input) : input));
    const exact = operation(modifiers.mode ?? 'rn', ...values);
    return allowed(fmt, exact, modifiers)(bits as bigint)
      ? undefined
      : `expected ${hex(encode(fmt, exact, modifiers))}`;
  };
}

/** Applies a judge of one number to both halves of packed operands. */
export function packed(judge: Judge): Judge {
  return (inputs, outputs) =>
    [0n, 16n]
      .map((at) =>
        judge(
          inputs.map((v) => (v >> at) & 0xffffn),
          outputs.map((v) => (v >> at) & 0xffffn),
        ),
      )
      .find((problem) => problem !== undefined);
}

export interface Bound {
  /** Largest relative error. */
  readonly relative?: number;
  /** Largest absolute error. */
  readonly absolute?: number;
  readonly ftz?: boolean;
}

/** Judges an approximate function of numbers against a bound of the manual, in f64. */
export function approximates(fmt: Format, operation: (...values: number[]) => number, bound: Bound): Judge {
  const smallest = 2 ** (1 - fmt.bias);
  const step = 2 ** (1 - fmt.bias - fmt.fractionBits);
  return (inputs, [bits]) => {
    const values = inputs.map((input) => numberOf(fmt, bound.ftz ? flush(fmt, input) : input));
    const wanted = operation(...values);
    const actual = numberOf(fmt, bits as bigint);
    if (Number.isNaN(wanted)) return Number.isNaN(actual) ? undefined : 'expected NaN';
    const largest = numberOf(fmt, encode(fmt, { kind: 'infinity', negative: false }, { satfinite: true }));
    const tolerance = Math.abs(wanted) * (bound.relative ?? 0) + (bound.absolute ?? 0) + (bound.ftz ? 0 : step);
    const fits = Object.is(Math.abs(wanted) > largest * (1 - (bound.relative ?? 0)), true);
    if (fits && Math.abs(actual) === Number.POSITIVE_INFINITY && Math.sign(actual) === Math.sign(wanted))
      return undefined;
    if (bound.ftz && Math.abs(wanted) < smallest * (1 + 2 ** -20) && actual === 0) return undefined;
    if (wanted === 0 && bound.absolute === undefined)
      return Object.is(actual, wanted) ? undefined : `expected ${wanted}`;
    return Math.abs(actual - wanted) <= tolerance ? undefined : `${actual} is not ${wanted} within the bound`;
  };
}

export const roundings = ['rn', 'rz', 'rm', 'rp'] as const;

/** Every combination of the optional modifiers, as text and as a judge's options. */
export function variants(fmt: Format): { readonly text: string; readonly modifiers: Modifiers }[] {
  const flags = fmt === f32 ? [false, true] : [false];
  return flags.flatMap((ftz) =>
    flags.map((sat) => ({ text: `${ftz ? '.ftz' : ''}${sat ? '.sat' : ''}`, modifiers: { ftz, sat } })),
  );
}
