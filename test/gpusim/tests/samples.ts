// SPDX-License-Identifier: Apache-2.0
// Inputs for instruction tests: the values at which instructions go wrong, and random ones between them.
import { bf16, e4m3, e5m2, encode, type Format, f16, f32, f64, fromNumber } from './numerics.js';
import { Random } from './random.js';

export type Kind =
  | 'b8'
  | 'b16'
  | 'b32'
  | 'b64'
  | 'f16'
  | 'bf16'
  | 'f32'
  | 'f64'
  | 'f16x2'
  | 'bf16x2'
  | 'e4m3x2'
  | 'e5m2x2'
  | 'count';

const formats = { f16, bf16, f32, f64, e4m3, e5m2 } as const;

/** Bits that a value of the kind takes. */
export const widthOf = (kind: Kind): number =>
  ({
    b8: 8,
    b16: 16,
    b32: 32,
    b64: 64,
    f16: 16,
    bf16: 16,
    f32: 32,
    f64: 64,
    f16x2: 32,
    bf16x2: 32,
    e4m3x2: 16,
    e5m2x2: 16,
    count: 32,
  })[kind];

function integerEdges(width: number): bigint[] {
  const top = 1n << BigInt(width - 1);
  const all = (1n << BigInt(width)) - 1n;
  const alternating = all / 3n;
  return [0n, 1n, 2n, 7n, top - 1n, top, top + 1n, all, all - 1n, alternating, all - alternating, top >> 1n];
}

/** Shift counts and bit positions, sensible and not. */
const counts = [
  0n,
  1n,
  2n,
  7n,
  8n,
  15n,
  16n,
  17n,
  31n,
  32n,
  33n,
  48n,
  63n,
  64n,
  65n,
  127n,
  128n,
  255n,
  256n,
  511n,
  0xffffffffn,
  0x80000000n,
];

function floatEdges(fmt: Format): bigint[] {
  const sign = 1n << BigInt(fmt.bits - 1);
  const hidden = 1n << BigInt(fmt.fractionBits);
  const numbers = [
    0,
    1,
    1.5,
    2,
    3,
    0.5,
    0.25,
    2.5,
    3.5,
    10,
    127.5,
    128,
    255,
    256,
    32767.5,
    65535,
    65536,
    2147483520,
    2147483648,
    4294967040,
    4294967296,
    2 ** 53,
    2 ** 63,
  ];
  const positive = [
    ...numbers.map((x) => encode(fmt, fromNumber(x), { satfinite: true })),
    1n,
    hidden >> 1n,
    hidden - 1n,
    hidden,
    hidden + 1n,
    encode(fmt, fromNumber(1)) + 1n,
    encode(fmt, fromNumber(1)) - 1n,
    encode(fmt, fromNumber(Number.MAX_VALUE), { satfinite: true }),
    fmt.nan & ~sign,
  ];
  if (fmt.hasInfinity)
    positive.push(encode(fmt, fromNumber(Number.POSITIVE_INFINITY)), (fmt.nan & ~sign) ^ (hidden >> 2n));
  return positive.flatMap((bits) => [bits, bits | sign]);
}

function randomFloat(fmt: Format, random: Random): bigint {
  if (random.below(3) === 0) return random.bits(fmt.bits);
  // Exponents close to one, so that sums and fused products meet.
  const spread = Math.min(24, fmt.bias);
  const field = BigInt(fmt.bias + random.below(spread) - (spread >> 1));
  const sign = random.bits(1) << BigInt(fmt.bits - 1);
  return sign | (field << BigInt(fmt.fractionBits)) | random.bits(fmt.fractionBits);
}

function pair(fmt: Format, edges: readonly bigint[], random: Random): bigint {
  const half = (): bigint => (random.below(4) === 0 ? random.pick(edges) : randomFloat(fmt, random));
  return half() | (half() << BigInt(fmt.bits));
}

interface Source {
  readonly edges: readonly bigint[];
  readonly random: (random: Random) => bigint;
}

function source(kind: Kind): Source {
  if (kind === 'count') return { edges: counts, random: (r) => r.bits(r.below(4) === 0 ? 32 : 6) };
  if (kind.startsWith('b') && !kind.startsWith('bf')) {
    const width = widthOf(kind);
    return {
      edges: integerEdges(width),
      random: (r) => r.bits(width) >> BigInt(r.below(3) === 0 ? r.below(width) : 0),
    };
  }
  const name = kind.replace('x2', '') as keyof typeof formats;
  const fmt = formats[name];
  const edges = floatEdges(fmt);
  if (!kind.endsWith('x2')) return { edges, random: (r) => randomFloat(fmt, r) };
  const packed = edges.map((bits, i) => bits | ((edges[(i * 7 + 3) % edges.length] as bigint) << BigInt(fmt.bits)));
  return { edges: packed, random: (r) => pair(fmt, edges, r) };
}

/** `count` tuples: pairs of edge values first, then edges against random values, then random values. */
export function samples(kinds: readonly Kind[], count: number, seed: number): bigint[][] {
  const random = new Random(seed);
  const sources = kinds.map(source);
  const tuples: bigint[][] = [];
  const [first, second] = sources;
  if (first && kinds.length === 1) tuples.push(...first.edges.map((edge) => [edge]));
  if (first && second && kinds.length === 2 && first.edges.length * second.edges.length <= (count * 3) / 4) {
    for (const a of first.edges) for (const b of second.edges) tuples.push([a, b]);
  }
  while (tuples.length < count) {
    const edgy = random.below(3) === 0 ? 2 : 6;
    tuples.push(sources.map((s) => (random.below(edgy) === 0 ? random.pick(s.edges) : s.random(random))));
  }
  return tuples.slice(0, count);
}
