// SPDX-License-Identifier: Apache-2.0
// Integer arithmetic of the PTX manual, section "Integer Arithmetic Instructions" and "Extended-Precision Integer".
import { type Case, exactly, suite } from '../cases.js';
import type { Kind } from '../samples.js';

type Binary = (x: bigint, y: bigint) => bigint;

const kind = (width: number): Kind => `b${width}` as Kind;
const reader = (type: string) => {
  const width = Number(type.slice(1));
  return type.startsWith('s')
    ? (bits: bigint) => BigInt.asIntN(width, bits)
    : (bits: bigint) => BigInt.asUintN(width, bits);
};
const clampTo = (type: string, value: bigint): bigint => {
  const width = BigInt(type.slice(1));
  const low = type.startsWith('s') ? -(1n << (width - 1n)) : 0n;
  const high = (1n << (type.startsWith('s') ? width - 1n : width)) - 1n;
  return value < low ? low : value > high ? high : value;
};

/** `operation.type x, a, b` on values of the type, wrapped to `resultWidth`. */
function binary(instruction: string, operation: Binary, resultWidth?: number, accept?: Case['accept']): Case {
  const type = instruction.split('.').at(-1) as string;
  const width = Number(type.slice(1));
  const out = resultWidth ?? width;
  const read = reader(type);
  return {
    name: instruction,
    inputs: [kind(width), kind(width)],
    outputs: [out],
    body: `${instruction} %x, %a, %b;`,
    judge: exactly((a, b) => BigInt.asUintN(out, operation(read(a), read(b)))),
    ...(accept ? { accept } : {}),
  };
}

function unary(instruction: string, operation: (x: bigint) => bigint, resultWidth?: number): Case {
  const type = instruction.split('.').at(-1) as string;
  const width = Number(type.slice(1));
  const out = resultWidth ?? width;
  const read = reader(type);
  return {
    name: instruction,
    inputs: [kind(width)],
    outputs: [out],
    body: `${instruction} %x, %a;`,
    judge: exactly((a) => BigInt.asUintN(out, operation(read(a)))),
  };
}

function ternary(instruction: string, third: number, operation: (x: bigint, y: bigint, z: bigint) => bigint): Case {
  const type = instruction.split('.').at(-1) as string;
  const width = Number(type.slice(1));
  const read = reader(type);
  const readThird = reader(`${type[0]}${third}`);
  return {
    name: instruction,
    inputs: [kind(width), kind(width), kind(third)],
    outputs: [third],
    body: `${instruction} %x, %a, %b, %c;`,
    judge: exactly((a, b, c) => BigInt.asUintN(third, operation(read(a), read(b), readThird(c)))),
  };
}

const all = ['s16', 'u16', 's32', 'u32', 's64', 'u64'];
const magnitude = (x: bigint): bigint => (x < 0n ? -x : x);
const widthOf = (type: string): bigint => BigInt(type.slice(1));
const high =
  (type: string) =>
  (x: bigint): bigint =>
    x >> widthOf(type);
const low24 = (type: string, x: bigint): bigint => (type === 's32' ? BigInt.asIntN(24, x) : BigInt.asUintN(24, x));

const arithmetic: Case[] = [
  ...all.map((t) => binary(`add.${t}`, (x, y) => x + y)),
  ...all.map((t) => binary(`sub.${t}`, (x, y) => x - y)),
  binary('add.sat.s32', (x, y) => clampTo('s32', x + y)),
  binary('sub.sat.s32', (x, y) => clampTo('s32', x - y)),
  ...all.map((t) => binary(`mul.lo.${t}`, (x, y) => x * y)),
  ...all.map((t) => binary(`mul.hi.${t}`, (x, y) => high(t)(x * y))),
  ...['s16', 'u16', 's32', 'u32'].map((t) => binary(`mul.wide.${t}`, (x, y) => x * y, Number(t.slice(1)) * 2)),
  ...all.map((t) => ternary(`mad.lo.${t}`, Number(t.slice(1)), (x, y, z) => x * y + z)),
  ...all.map((t) => ternary(`mad.hi.${t}`, Number(t.slice(1)), (x, y, z) => high(t)(x * y) + z)),
  ternary('mad.hi.sat.s32', 32, (x, y, z) => clampTo('s32', high('s32')(x * y) + z)),
  ...['s16', 'u16', 's32', 'u32'].map((t) => ternary(`mad.wide.${t}`, Number(t.slice(1)) * 2, (x, y, z) => x * y + z)),
  ...['s32', 'u32'].flatMap((t) => [
    binary(`mul24.lo.${t}`, (x, y) => low24(t, x) * low24(t, y)),
    binary(`mul24.hi.${t}`, (x, y) => (low24(t, x) * low24(t, y)) >> 16n),
    ternary(`mad24.lo.${t}`, 32, (x, y, z) => low24(t, x) * low24(t, y) + z),
    ternary(`mad24.hi.${t}`, 32, (x, y, z) => ((low24(t, x) * low24(t, y)) >> 16n) + z),
  ]),
  ternary('mad24.hi.sat.s32', 32, (x, y, z) => clampTo('s32', ((low24('s32', x) * low24('s32', y)) >> 16n) + z)),
  ...all.map((t) => ternary(`sad.${t}`, Number(t.slice(1)), (x, y, z) => z + magnitude(x - y))),
  ...all.map((t) =>
    binary(
      `div.${t}`,
      (x, y) => x / y,
      undefined,
      ([, y]) => y !== 0n,
    ),
  ),
  ...all.map((t) =>
    binary(
      `rem.${t}`,
      (x, y) => x % y,
      undefined,
      ([, y]) => y !== 0n,
    ),
  ),
  ...['s16', 's32', 's64'].flatMap((t) => [unary(`abs.${t}`, magnitude), unary(`neg.${t}`, (x) => -x)]),
  ...all.map((t) => binary(`min.${t}`, (x, y) => (x < y ? x : y))),
  ...all.map((t) => binary(`max.${t}`, (x, y) => (x > y ? x : y))),
];

/** Every multiply-add that takes or gives a carry, after one that gives it; `addc` shows the carry that is left. */
const multiplyChains: Case[] = ['u32', 's32', 'u64', 's64'].flatMap((t) =>
  ['lo', 'hi'].flatMap((first) =>
    ['lo', 'hi'].flatMap((second) =>
      ['.cc', ''].map((cc): Case => {
        const width = Number(t.slice(1));
        const w = BigInt(width);
        const read = (v: bigint): bigint => (t.startsWith('s') ? BigInt.asIntN(width, v) : v);
        const part = (which: string, x: bigint, y: bigint): bigint =>
          BigInt.asUintN(width, which === 'lo' ? read(x) * read(y) : (read(x) * read(y)) >> w);
        return {
          name: `mad.${first}.cc / madc.${second}${cc} / addc .${t}`,
          inputs: [kind(width), kind(width), kind(width), kind(width)],
          outputs: [width, width, width],
          body: `mad.${first}.cc.${t} %x, %a, %b, %c; madc.${second}${cc}.${t} %y, %a, %d, %b; addc.${t} %z, 0, 0;`,
          judge: exactly((a, b, c, d) => {
            const one = part(first, a, b) + c;
            const two = part(second, a, d) + b + (one >> w);
            // Without .cc the carry of the first is still there.
            return [BigInt.asUintN(width, one), BigInt.asUintN(width, two), cc === '' ? one >> w : two >> w];
          }),
        };
      }),
    ),
  ),
);

/** Two words through carry chains, in both directions and through both multiply-adds. */
const wide = (low: bigint, top: bigint, width: bigint): bigint => (top << width) | low;
const chains: Case[] = [32, 64].flatMap((width): Case[] => {
  const w = BigInt(width);
  const t = `u${width}`;
  const words: Kind[] = [kind(width), kind(width), kind(width), kind(width)];
  const split = (value: bigint): bigint[] => [
    BigInt.asUintN(width, value),
    BigInt.asUintN(width, value >> w),
    BigInt.asUintN(width, value >> (2n * w)),
  ];
  return [
    {
      name: `add.cc / addc.cc / addc .${t}`,
      inputs: words,
      outputs: [width, width, width],
      body: `add.cc.${t} %x, %a, %c; addc.cc.${t} %y, %b, %d; addc.${t} %z, 0, 0;`,
      judge: exactly((a, b, c, d) => split(wide(a, b, w) + wide(c, d, w))),
    },
    {
      name: `sub.cc / subc.cc / subc .${t}`,
      inputs: words,
      outputs: [width, width, width],
      body: `sub.cc.${t} %x, %a, %c; subc.cc.${t} %y, %b, %d; subc.${t} %z, 0, 0;`,
      judge: exactly((a, b, c, d) => split(BigInt.asUintN(width * 3, wide(a, b, w) - wide(c, d, w)))),
    },
  ];
});

const bytes = (bits: bigint, signed: boolean): bigint[] =>
  [0n, 8n, 16n, 24n].map((at) => (signed ? BigInt.asIntN(8, bits >> at) : BigInt.asUintN(8, bits >> at)));
const halves = (bits: bigint, signed: boolean): bigint[] =>
  [0n, 16n].map((at) => (signed ? BigInt.asIntN(16, bits >> at) : BigInt.asUintN(16, bits >> at)));
const dot = (x: readonly bigint[], y: readonly bigint[]): bigint =>
  x.reduce((sum, value, i) => sum + value * (y[i] as bigint), 0n);

const dots: Case[] = ['u32', 's32'].flatMap((at) =>
  ['u32', 's32'].flatMap((bt): Case[] => {
    const signs = [at === 's32', bt === 's32'] as const;
    const test = (name: string, product: (a: bigint, b: bigint) => bigint): Case => ({
      name: `${name}.${at}.${bt}`,
      inputs: ['b32', 'b32', 'b32'],
      outputs: [32],
      body: `${name}.${at}.${bt} %x, %a, %b, %c;`,
      judge: exactly((a, b, c) => BigInt.asUintN(32, product(a, b) + c)),
    });
    return [
      test('dp4a', (a, b) => dot(bytes(a, signs[0]), bytes(b, signs[1]))),
      test('dp2a.lo', (a, b) => dot(halves(a, signs[0]), bytes(b, signs[1]).slice(0, 2))),
      test('dp2a.hi', (a, b) => dot(halves(a, signs[0]), bytes(b, signs[1]).slice(2))),
    ];
  }),
);

suite('integer arithmetic', arithmetic);
suite('carry chains', [...chains, ...multiplyChains]);
suite('dot products of bytes', dots);
