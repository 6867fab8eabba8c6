// SPDX-License-Identifier: Apache-2.0
// Exact binary floating point in integers: the judge of the simulator's arithmetic. Nothing here uses the host's
// floating-point unit except the two functions that say so, so a test never inherits a host rounding.

/** A binary floating-point format, as the PTX manual describes it. */
export interface Format {
  readonly name: string;
  /** Width of the container in bits. */
  readonly bits: number;
  readonly exponentBits: number;
  /** Stored fraction bits, without the hidden one. */
  readonly fractionBits: number;
  readonly bias: number;
  /** False for e4m3, whose top exponent holds numbers and which has no infinity. */
  readonly hasInfinity: boolean;
  /** Zero bits below the fraction in the container (tf32 lives in the top 19 bits of 32). */
  readonly padding: number;
  /** Bits of the NaN that arithmetic returns. */
  readonly nan: bigint;
}

const format = (
  name: string,
  bits: number,
  exponentBits: number,
  fractionBits: number,
  nan: bigint,
  hasInfinity = true,
): Format => ({
  name,
  bits,
  exponentBits,
  fractionBits,
  bias: 2 ** (exponentBits - 1) - 1,
  hasInfinity,
  padding: bits - 1 - exponentBits - fractionBits,
  nan,
});

export const f64 = format('f64', 64, 11, 52, 0xfff8000000000000n);
export const f32 = format('f32', 32, 8, 23, 0x7fffffffn);
export const f16 = format('f16', 16, 5, 10, 0x7fffn);
export const bf16 = format('bf16', 16, 8, 7, 0x7fffn);
export const tf32 = format('tf32', 32, 8, 10, 0x7fffffffn);
export const e4m3 = format('e4m3', 8, 4, 3, 0x7fn, false);
export const e5m2 = format('e5m2', 8, 5, 2, 0x7fn);

/** An exact value: NaN, an infinity, or (-1)^negative * magnitude * 2^exponent. */
export type Exact =
  | { readonly kind: 'nan' }
  | { readonly kind: 'infinity'; readonly negative: boolean }
  | { readonly kind: 'finite'; readonly negative: boolean; readonly magnitude: bigint; readonly exponent: number };

/** To nearest even, toward zero, down, up, to nearest with ties away from zero. */
export type Rounding = 'rn' | 'rz' | 'rm' | 'rp' | 'rna';

const NAN: Exact = { kind: 'nan' };
export const infinity = (negative = false): Exact => ({ kind: 'infinity', negative });
export const finite = (negative: boolean, magnitude: bigint, exponent = 0): Exact => ({
  kind: 'finite',
  negative,
  magnitude,
  exponent,
});
export const integer = (value: bigint): Exact => finite(value < 0n, value < 0n ? -value : value);

const bitLength = (value: bigint): number => (value === 0n ? 0 : value.toString(2).length);

/** The value that `bits` stand for. */
export function decode(fmt: Format, bits: bigint): Exact {
  const raw = bits >> BigInt(fmt.padding);
  const negative = ((bits >> BigInt(fmt.bits - 1)) & 1n) === 1n;
  const fraction = raw & ((1n << BigInt(fmt.fractionBits)) - 1n);
  const top = 2 ** fmt.exponentBits - 1;
  const field = Number((raw >> BigInt(fmt.fractionBits)) & BigInt(top));
  if (fmt.hasInfinity && field === top) return fraction === 0n ? infinity(negative) : NAN;
  if (!fmt.hasInfinity && field === top && fraction === (1n << BigInt(fmt.fractionBits)) - 1n) return NAN;
  const lowest = 1 - fmt.bias - fmt.fractionBits;
  if (field === 0) return finite(negative, fraction, lowest);
  return finite(negative, fraction | (1n << BigInt(fmt.fractionBits)), lowest + field - 1);
}

/** magnitude * 2^-shift rounded to an integer; the sign steers the directed modes. */
export function roundShift(magnitude: bigint, shift: number, mode: Rounding, negative: boolean): bigint {
  if (shift <= 0) return magnitude << BigInt(-shift);
  const floor = magnitude >> BigInt(shift);
  const rest = magnitude - (floor << BigInt(shift));
  if (rest === 0n) return floor;
  const half = 1n << BigInt(shift - 1);
  const up = {
    rz: false,
    rm: negative,
    rp: !negative,
    rna: rest >= half,
    rn: rest > half || (rest === half && (floor & 1n) === 1n),
  }[mode];
  return up ? floor + 1n : floor;
}

export interface EncodeOptions {
  readonly mode?: Rounding;
  /** Subnormal results become zeros of the same sign. */
  readonly ftz?: boolean;
  /** Clamp to [+0, 1]; NaN becomes +0. */
  readonly sat?: boolean;
  /** Clamp to the largest finite magnitude instead of overflowing. */
  readonly satfinite?: boolean;
  /** Negative results become +0. */
  readonly relu?: boolean;
}

const largest = (fmt: Format): bigint => {
  const top = (1n << BigInt(fmt.exponentBits + fmt.fractionBits)) - 1n;
  return fmt.hasInfinity ? top - (1n << BigInt(fmt.fractionBits)) : top - 1n;
};

/** `value` rounded once into `fmt`, as bits. */
export function encode(fmt: Format, value: Exact, options: EncodeOptions = {}): bigint {
  const { mode = 'rn', ftz = false, sat = false, satfinite = false, relu = false } = options;
  if (value.kind === 'nan') return sat ? 0n : fmt.nan;
  if (value.negative && (sat || relu)) return 0n;
  const sign = value.negative ? 1n << BigInt(fmt.bits - 1) : 0n;
  const place = (bits: bigint): bigint => sign | (bits << BigInt(fmt.padding));
  const max = largest(fmt);
  const one = BigInt(fmt.bias) << BigInt(fmt.fractionBits);
  // The code after the largest number: infinity, or e4m3's NaN.
  const beyond = max + 1n;
  if (value.kind === 'infinity') return place(sat ? one : satfinite ? max : beyond);
  if (value.magnitude === 0n) return place(0n);
  const lead = Math.max(value.exponent + bitLength(value.magnitude) - 1, 1 - fmt.bias);
  const rounded = roundShift(value.magnitude, lead - fmt.fractionBits - value.exponent, mode, value.negative);
  const bits = (BigInt(lead - (1 - fmt.bias)) << BigInt(fmt.fractionBits)) + rounded;
  if (sat && bits > one) return place(one);
  if (bits > max) {
    const towardZero = mode === 'rz' || mode === (value.negative ? 'rp' : 'rm');
    return place(satfinite || towardZero ? max : beyond);
  }
  if (ftz && bits < 1n << BigInt(fmt.fractionBits)) return place(0n);
  return place(bits);
}

/** Subnormals read as zeros of the same sign, as `.ftz` reads its operands. */
export function flush(fmt: Format, bits: bigint): bigint {
  const value = decode(fmt, bits);
  const sign = bits & (1n << BigInt(fmt.bits - 1));
  return value.kind === 'finite' && value.magnitude < 1n << BigInt(fmt.fractionBits) ? sign : bits;
}

export const isNan = (fmt: Format, bits: bigint): boolean => decode(fmt, bits).kind === 'nan';

export const negate = (x: Exact): Exact => (x.kind === 'nan' ? x : { ...x, negative: !x.negative });

/** Exact sum; `mode` gives the sign of an exact zero, as IEEE 754 does. */
export function add(x: Exact, y: Exact, mode: Rounding = 'rn'): Exact {
  if (x.kind === 'nan' || y.kind === 'nan') return NAN;
  if (x.kind === 'infinity') return y.kind === 'infinity' && y.negative !== x.negative ? NAN : x;
  if (y.kind === 'infinity') return y;
  if (x.magnitude === 0n && y.magnitude === 0n) {
    return finite(x.negative === y.negative ? x.negative : mode === 'rm', 0n);
  }
  const exponent = Math.min(x.exponent, y.exponent);
  const aligned = (v: typeof x): bigint => (v.negative ? -v.magnitude : v.magnitude) << BigInt(v.exponent - exponent);
  const sum = aligned(x) + aligned(y);
  if (sum === 0n) return finite(mode === 'rm', 0n);
  return finite(sum < 0n, sum < 0n ? -sum : sum, exponent);
}

export function multiply(x: Exact, y: Exact): Exact {
  if (x.kind === 'nan' || y.kind === 'nan') return NAN;
  const negative = x.negative !== y.negative;
  if (x.kind === 'infinity' || y.kind === 'infinity') {
    const zero = (v: Exact): boolean => v.kind === 'finite' && v.magnitude === 0n;
    return zero(x) || zero(y) ? NAN : infinity(negative);
  }
  return finite(negative, x.magnitude * y.magnitude, x.exponent + y.exponent);
}

/** Bits kept beyond any format's precision; the lowest is sticky, so that one later rounding is exact. */
const kGuardBits = 128;

export function divide(x: Exact, y: Exact): Exact {
  if (x.kind === 'nan' || y.kind === 'nan') return NAN;
  const negative = x.negative !== y.negative;
  if (x.kind === 'infinity') return y.kind === 'infinity' ? NAN : infinity(negative);
  if (y.kind === 'infinity') return finite(negative, 0n);
  if (y.magnitude === 0n) return x.magnitude === 0n ? NAN : infinity(negative);
  const numerator = x.magnitude << BigInt(kGuardBits);
  const quotient = numerator / y.magnitude;
  const sticky = quotient * y.magnitude === numerator ? 0n : 1n;
  return finite(negative, quotient * 2n + sticky, x.exponent - y.exponent - kGuardBits - 1);
}

function integerSquareRoot(value: bigint): bigint {
  if (value < 2n) return value;
  let root = 1n << BigInt((bitLength(value) + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

export function squareRoot(x: Exact): Exact {
  if (x.kind === 'nan') return NAN;
  if (x.kind === 'finite' && x.magnitude === 0n) return x;
  if (x.negative) return NAN;
  if (x.kind === 'infinity') return x;
  const odd = x.exponent & 1;
  const scaled = x.magnitude << BigInt(odd + kGuardBits);
  const root = integerSquareRoot(scaled);
  const sticky = root * root === scaled ? 0n : 1n;
  return finite(false, root * 2n + sticky, (x.exponent - odd - kGuardBits) / 2 - 1);
}

/** -1, 0, 1, or undefined when either is NaN. Zeros of both signs are equal. */
export function compare(x: Exact, y: Exact): number | undefined {
  if (x.kind === 'nan' || y.kind === 'nan') return undefined;
  const difference =
    x.kind === 'infinity' && y.kind === 'infinity' && x.negative === y.negative ? 0 : sign(add(x, negate(y)));
  return difference;
}

function sign(x: Exact): number {
  if (x.kind === 'nan') return Number.NaN;
  if (x.kind === 'finite' && x.magnitude === 0n) return 0;
  return x.negative ? -1 : 1;
}

/** `x` rounded to an integer; `integer` rounding modes are those of `.rni .rzi .rmi .rpi`. */
export function toInteger(x: Exact & { kind: 'finite' }, mode: Rounding): bigint {
  const magnitude = roundShift(x.magnitude, -x.exponent, mode, x.negative);
  return x.negative ? -magnitude : magnitude;
}

const scratch = new DataView(new ArrayBuffer(8));

/** The double nearest to `value` (host floating point). */
export function toNumber(value: Exact): number {
  scratch.setBigUint64(0, encode(f64, value));
  return scratch.getFloat64(0);
}

/** The exact value of a double (host floating point). */
export function fromNumber(value: number): Exact {
  scratch.setFloat64(0, value);
  return decode(f64, scratch.getBigUint64(0));
}

export const bitsOf = (fmt: Format, value: number, options: EncodeOptions = {}): bigint =>
  encode(fmt, fromNumber(value), options);
export const numberOf = (fmt: Format, bits: bigint): number => toNumber(decode(fmt, bits));
