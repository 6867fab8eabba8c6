// SPDX-License-Identifier: Apache-2.0
// Logic, shifts, bit fields and byte permutes, from the pseudocode in the PTX manual.
import { type Case, exactly, suite } from '../cases.js';
import { Random } from '../random.js';
import type { Kind } from '../samples.js';

const ones = (count: bigint): bigint => (1n << count) - 1n;
const u = (width: number, x: bigint): bigint => BigInt.asUintN(width, x);
const low = (x: bigint, y: bigint): bigint => (x < y ? x : y);
const kind = (width: number): Kind => `b${width}` as Kind;

function make(name: string, inputs: readonly Kind[], width: number, expected: (...v: bigint[]) => bigint): Case {
  const operands = ['%a', '%b', '%c', '%d'].slice(0, inputs.length).join(', ');
  return {
    name,
    inputs,
    outputs: [width],
    body: `${name} %x, ${operands};`,
    judge: exactly((...v) => u(width, expected(...v))),
  };
}

const logic: Case[] = [16, 32, 64].flatMap((w): Case[] => [
  make(`and.b${w}`, [kind(w), kind(w)], w, (a, b) => a & b),
  make(`or.b${w}`, [kind(w), kind(w)], w, (a, b) => a | b),
  make(`xor.b${w}`, [kind(w), kind(w)], w, (a, b) => a ^ b),
  make(`not.b${w}`, [kind(w)], w, (a) => ~a),
  make(`cnot.b${w}`, [kind(w)], w, (a) => (a === 0n ? 1n : 0n)),
  make(`shl.b${w}`, [kind(w), 'count'], w, (a, n) => (n >= BigInt(w) ? 0n : a << n)),
  make(`shr.b${w}`, [kind(w), 'count'], w, (a, n) => (n >= BigInt(w) ? 0n : a >> n)),
  make(`shr.u${w}`, [kind(w), 'count'], w, (a, n) => (n >= BigInt(w) ? 0n : a >> n)),
  make(`shr.s${w}`, [kind(w), 'count'], w, (a, n) => BigInt.asIntN(w, a) >> low(n, BigInt(w) - 1n)),
]);

const predicates: Case = {
  name: 'and.pred or.pred xor.pred not.pred mov.pred',
  inputs: ['b32', 'b32'],
  outputs: [32],
  body: `{ .reg .pred %s, %v; setp.lt.s32 %p, %a, 0; setp.lt.s32 %q, %b, 0;
    and.pred %s, %p, %q; selp.u32 %x, 1, 0, %s;
    or.pred %s, %p, %q; selp.u32 %t0, 2, 0, %s; or.b32 %x, %x, %t0;
    xor.pred %s, %p, %q; selp.u32 %t0, 4, 0, %s; or.b32 %x, %x, %t0;
    not.pred %s, %p; mov.pred %v, %s; selp.u32 %t0, 8, 0, %v; or.b32 %x, %x, %t0; }`,
  judge: exactly((a, b) => {
    const [p, q] = [a >> 31n, b >> 31n];
    return (p & q) | ((p | q) << 1n) | ((p ^ q) << 2n) | ((1n - p) << 3n);
  }),
};

const popcount = (x: bigint): bigint => BigInt(x.toString(2).replaceAll('0', '').length);
const leading = (x: bigint, w: number): bigint => BigInt(x === 0n ? w : w - x.toString(2).length);
const topBit =
  (w: number, signed: boolean) =>
  (a: bigint): bigint => {
    const x = signed && a >> BigInt(w - 1) === 1n ? u(w, ~a) : a;
    return x === 0n ? 0xffffffffn : BigInt(x.toString(2).length - 1);
  };
const shiftAmount =
  (w: number, signed: boolean) =>
  (a: bigint): bigint => {
    const at = topBit(w, signed)(a);
    return at === 0xffffffffn ? at : BigInt(w - 1) - at;
  };

function extract(w: number, signed: boolean) {
  return (a: bigint, b: bigint, c: bigint): bigint => {
    const [position, length] = [b & 0xffn, c & 0xffn];
    const msb = BigInt(w - 1);
    const bit = (i: bigint): bigint => (a >> i) & 1n;
    const fill = !signed || length === 0n ? 0n : bit(low(position + length - 1n, msb));
    let result = 0n;
    for (let i = 0n; i <= msb; ++i) result |= (i < length && position + i <= msb ? bit(position + i) : fill) << i;
    return result;
  };
}

function insert(w: number) {
  return (a: bigint, b: bigint, c: bigint, d: bigint): bigint => {
    const [position, length] = [c & 0xffn, d & 0xffn];
    const mask = u(w, ones(length) << position);
    return (b & ~mask) | ((a << position) & mask);
  };
}

const fields: Case[] = [32, 64].flatMap((w): Case[] => [
  make(`popc.b${w}`, [kind(w)], 32, popcount),
  make(`clz.b${w}`, [kind(w)], 32, (a) => leading(a, w)),
  make(`brev.b${w}`, [kind(w)], w, (a) => BigInt(`0b${[...a.toString(2).padStart(w, '0')].reverse().join('')}`)),
  ...[false, true].flatMap((signed) => [
    make(`bfind.${signed ? 's' : 'u'}${w}`, [kind(w)], 32, topBit(w, signed)),
    make(`bfind.shiftamt.${signed ? 's' : 'u'}${w}`, [kind(w)], 32, shiftAmount(w, signed)),
    make(`bfe.${signed ? 's' : 'u'}${w}`, [kind(w), 'count', 'count'], w, extract(w, signed)),
  ]),
  make(`bfi.b${w}`, [kind(w), kind(w), 'count', 'count'], w, insert(w)),
]);

const shiftPair =
  (left: boolean, clamp: boolean) =>
  (a: bigint, b: bigint, c: bigint): bigint => {
    const n = clamp ? low(c, 32n) : c & 31n;
    const both = (b << 32n) | a;
    return left ? (both << n) >> 32n : both >> n;
  };

function mask(clamp: boolean) {
  return (a: bigint, b: bigint): bigint => {
    if (clamp && a >= 32n) return 0n;
    const start = a & 31n;
    const length = clamp && b >= 32n ? 32n : b & 31n;
    return u(32, ones(length) << start);
  };
}

function extend(clamp: boolean, signed: boolean) {
  return (a: bigint, b: bigint): bigint => {
    if (clamp && b >= 32n) return a;
    const n = b & 31n;
    const kept = a & ones(n);
    return signed && n > 0n && (a >> (n - 1n)) & 1n ? kept | (~0n << n) : kept;
  };
}

function nth(value: bigint, base: bigint, offset: bigint): bigint {
  const set = (i: bigint): boolean => ((value >> i) & 1n) === 1n;
  const steps = BigInt.asIntN(32, offset);
  if (steps === 0n) return set(base) ? base : 0xffffffffn;
  let left = steps < 0n ? -steps : steps;
  for (let at = base; at >= 0n && at < 32n; at += steps < 0n ? -1n : 1n) if (set(at) && --left === 0n) return at;
  return 0xffffffffn;
}

const random = new Random(11);
const words: Case[] = [
  ...(['l', 'r'] as const).flatMap((side) =>
    (['clamp', 'wrap'] as const).map((mode) =>
      make(`shf.${side}.${mode}.b32`, ['b32', 'b32', 'count'], 32, shiftPair(side === 'l', mode === 'clamp')),
    ),
  ),
  ...(['clamp', 'wrap'] as const).flatMap((mode) => [
    make(`bmsk.${mode}.b32`, ['count', 'count'], 32, mask(mode === 'clamp')),
    make(`szext.${mode}.u32`, ['b32', 'count'], 32, extend(mode === 'clamp', false)),
    make(`szext.${mode}.s32`, ['b32', 'count'], 32, extend(mode === 'clamp', true)),
  ]),
  {
    ...make('fns.b32', ['b32', 'b32', 'b32'], 32, nth),
    tuples: Array.from({ length: 1024 }, (_, i) => [
      random.bits(32) & random.bits(32),
      random.bits(5),
      u(32, BigInt(i % 13) - 6n),
    ]),
  },
];

const tables: Case[] = Array.from({ length: 16 }, (_, group): Case => {
  const luts = Array.from({ length: 16 }, (_, i) => group * 16 + i);
  const spread = (lut: number, a: bigint, b: bigint, c: bigint): bigint => {
    let result = 0n;
    for (let i = 0; i < 8; ++i) {
      if (((lut >> i) & 1) === 0) continue;
      result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    }
    return u(32, result);
  };
  // All sixteen results in one word: each is rotated in, so that any wrong bit changes it.
  const body = luts.map(
    (lut) => `lop3.b32 %t0, %a, %b, %c, ${lut}; shf.l.wrap.b32 %x, %x, %x, 5; xor.b32 %x, %x, %t0;`,
  );
  return {
    name: `lop3.b32 tables ${luts[0]} to ${luts.at(-1)}`,
    inputs: ['b32', 'b32', 'b32'],
    outputs: [32],
    body: `mov.u32 %x, 0;\n${body.join('\n')}`,
    judge: exactly((a, b, c) => luts.reduce((x, lut) => u(32, (x << 5n) | (x >> 27n)) ^ spread(lut, a, b, c), 0n)),
  };
});

const lop3Predicate: Case = {
  name: 'lop3.or.b32 and lop3.and.b32 with a predicate',
  inputs: ['b32', 'b32', 'b32'],
  outputs: [32, 32],
  body: `setp.gt.s32 %q, %a, %b; lop3.or.b32 %x|%p, %a, %b, %c, 0x80, %q; selp.u32 %y, 1, 0, %p;
    lop3.and.b32 %t0|%r, %a, %b, %c, 0x96, %q; selp.u32 %t1, 2, 0, %r; or.b32 %y, %y, %t1;`,
  judge: exactly((a, b, c) => {
    const q = BigInt.asIntN(32, a) > BigInt.asIntN(32, b);
    const [x, y] = [a & b & c, a ^ b ^ c];
    return [x, (x !== 0n || q ? 1n : 0n) | (y !== 0n && q ? 2n : 0n)];
  }),
};

const byteOf = (a: bigint, b: bigint, index: bigint): bigint => (((b << 32n) | a) >> (8n * (index & 7n))) & 0xffn;
const assembleBytes = (values: readonly bigint[]): bigint =>
  values.reduce((word, value, i) => word | (value << BigInt(8 * i)), 0n);
const lanes = [0n, 1n, 2n, 3n];
const permuteModes: Record<string, (n: bigint) => readonly bigint[]> = {
  f4e: (n) => lanes.map((i) => n + i),
  b4e: (n) => lanes.map((i) => n - i),
  rc8: (n) => lanes.map(() => n),
  ecl: (n) => lanes.map((i) => (i > n ? i : n)),
  ecr: (n) => lanes.map((i) => low(i, n)),
  rc16: (n) => lanes.map((i) => (n & 1n) * 2n + (i & 1n)),
};
const permutes: Case[] = [
  make('prmt.b32', ['b32', 'b32', 'b32'], 32, (a, b, c) =>
    assembleBytes(
      lanes.map((i) => {
        const control = (c >> (4n * i)) & 15n;
        const byte = byteOf(a, b, control);
        return control & 8n ? (byte & 0x80n ? 0xffn : 0n) : byte;
      }),
    ),
  ),
  ...Object.entries(permuteModes).map(([mode, select]) =>
    make(`prmt.b32.${mode}`, ['b32', 'b32', 'b32'], 32, (a, b, c) =>
      assembleBytes(select(c & 3n).map((i) => byteOf(a, b, i))),
    ),
  ),
];

/** A constant in a type's own notation and its bits. */
const constants: Readonly<Record<string, readonly [text: string, bits: bigint]>> = {
  u16: ['65535', 0xffffn],
  s16: ['-2', 0xfffen],
  b16: ['0x1234', 0x1234n],
  u32: ['4000000000', 4000000000n],
  s32: ['-7', 0xfffffff9n],
  b32: ['0b101U', 5n],
  f32: ['0f3FC00000', 0x3fc00000n],
  u64: ['0xfedcba9876543210', 0xfedcba9876543210n],
  s64: ['-9000000000', u(64, -9000000000n)],
  b64: ['017', 15n],
  f64: ['-0.5', 0xbfe0000000000000n],
};

const moves: Case[] = [
  ...Object.entries(constants).map(([type, [text, bits]]): Case => {
    const width = Number(type.slice(1));
    return {
      name: `mov.${type}`,
      inputs: [kind(width)],
      outputs: [width, width],
      body: `mov.${type} %x, %a; mov.${type} %y, ${text};`,
      judge: exactly((a) => [a, bits]),
    };
  }),
  {
    name: 'mov pack and unpack b32, b64, b8x4 through 16-bit halves',
    inputs: ['b64', 'b32'],
    outputs: [64, 32],
    body: `mov.b64 {%t0, %t1}, %a; mov.b64 %x, {%t1, %t0}; mov.b32 {%h0, %h1}, %b; mov.b32 %y, {%h1, %h0};`,
    judge: exactly((a, b) => [u(64, (a << 32n) | (a >> 32n)), u(32, (b << 16n) | (b >> 16n))]),
  },
  {
    name: 'mov.b64 from four 16-bit registers, and an ignored element',
    inputs: ['b64'],
    outputs: [64, 16],
    body: `mov.b64 {%h0, %h1, %h2, %h3}, %a; mov.b64 %x, {%h3, %h2, %h1, %h0}; mov.b64 {_, _, %y, _}, %a;`,
    judge: exactly((a) => [
      lanes.reduce((x, i) => x | (((a >> (16n * i)) & 0xffffn) << (16n * (3n - i))), 0n),
      (a >> 32n) & 0xffffn,
    ]),
  },
  {
    name: 'mov.b16 pack and unpack of bytes',
    inputs: ['b32'],
    outputs: [32],
    body: `{ .reg .b8 %m<4>; mov.b32 {%m0, %m1, %m2, %m3}, %a; mov.b32 %x, {%m3, %m2, %m1, %m0}; }`,
    judge: exactly((a) => assembleBytes(lanes.map((i) => byteOf(a, 0n, 3n - i)))),
  },
];

suite('logic and shifts', [...logic, predicates]);
suite('bit fields', [...fields, ...words]);
suite('lop3', [...tables, lop3Predicate]);
suite('permutes and moves', [...permutes, ...moves]);
