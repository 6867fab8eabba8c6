// SPDX-License-Identifier: Apache-2.0
// setp, set, selp and slct over every type and comparison.
import { type Case, exactly, suite } from '../cases.js';
import { compare, decode, f16, f32, f64, flush } from '../numerics.js';
import type { Kind } from '../samples.js';

type Ordering = number | undefined;

const ordered: Record<string, (order: number) => boolean> = {
  eq: (o) => o === 0,
  ne: (o) => o !== 0,
  lt: (o) => o < 0,
  le: (o) => o <= 0,
  gt: (o) => o > 0,
  ge: (o) => o >= 0,
};
const unsignedNames: Record<string, string> = { lo: 'lt', ls: 'le', hi: 'gt', hs: 'ge' };

/** The comparison's result for an ordering; undefined means that an operand is NaN. */
function holds(operator: string, order: Ordering): boolean {
  if (operator === 'num') return order !== undefined;
  if (operator === 'nan') return order === undefined;
  const name = unsignedNames[operator] ?? operator;
  if (order === undefined) return name.length === 3 && name.endsWith('u');
  return (ordered[name.slice(0, 2)] as (o: number) => boolean)(order);
}

const formats = { f16, f32, f64 } as const;
const widthOf = (type: string): number => Number(type.replace(/\D/g, ''));
const kindOf = (type: string): Kind => (type.startsWith('f') ? (type as Kind) : (`b${widthOf(type)}` as Kind));

function orderOf(type: string, ftz: boolean): (a: bigint, b: bigint) => Ordering {
  if (type.startsWith('f')) {
    const fmt = formats[type as keyof typeof formats];
    const read = (bits: bigint) => decode(fmt, ftz ? flush(fmt, bits) : bits);
    return (a, b) => compare(read(a), read(b));
  }
  const signed = type.startsWith('s');
  const read = (bits: bigint): bigint => (signed ? BigInt.asIntN(widthOf(type), bits) : bits);
  return (a, b) => (read(a) < read(b) ? -1 : read(a) > read(b) ? 1 : 0);
}

const floatOperators = ['eq', 'ne', 'lt', 'le', 'gt', 'ge', 'equ', 'neu', 'ltu', 'leu', 'gtu', 'geu', 'num', 'nan'];
const operatorsOf = (type: string): string[] => {
  if (type.startsWith('f')) return floatOperators;
  if (type.startsWith('b')) return ['eq', 'ne'];
  return ['eq', 'ne', 'lt', 'le', 'gt', 'ge', ...(type.startsWith('u') ? ['lo', 'ls', 'hi', 'hs'] : [])];
};
const types = [
  'b16',
  'b32',
  'b64',
  's16',
  'u16',
  's32',
  'u32',
  's64',
  'u64',
  'f16',
  'f32',
  'f64',
  'f32.ftz',
  'f16.ftz',
];

/** All comparisons of one type, one bit each. */
const comparisons: Case[] = types.map((entry): Case => {
  const [type, ftz] = entry.split('.') as [string, string | undefined];
  const flag = ftz ? '.ftz' : '';
  const operators = operatorsOf(type);
  const order = orderOf(type, ftz !== undefined);
  return {
    name: `setp.{${operators.join(' ')}}${flag}.${type}`,
    inputs: [kindOf(type), kindOf(type)],
    outputs: [32],
    body: `mov.u32 %x, 0;\n${operators
      .map(
        (operator, i) =>
          `setp.${operator}${flag}.${type} %p, %a, %b; selp.u32 %t0, ${1 << i}, 0, %p; or.b32 %x, %x, %t0;`,
      )
      .join('\n')}`,
    judge: exactly((a, b) =>
      operators.reduce((bits, operator, i) => bits | (holds(operator, order(a, b)) ? 1n << BigInt(i) : 0n), 0n),
    ),
  };
});

const combinations: Case[] = ['and', 'or', 'xor'].map(
  (operator): Case => ({
    name: `setp with two results and .${operator}, plain and negated`,
    inputs: ['b32', 'b32', 'b32'],
    outputs: [32],
    body: `setp.lt.s32 %q, %c, 0;
    setp.lt.${operator}.s32 %p|%r, %a, %b, %q; selp.u32 %x, 1, 0, %p; selp.u32 %t0, 2, 0, %r; or.b32 %x, %x, %t0;
    setp.lt.${operator}.s32 %p|%r, %a, %b, !%q; selp.u32 %t0, 4, 0, %p; or.b32 %x, %x, %t0; selp.u32 %t0, 8, 0, %r; or.b32 %x, %x, %t0;`,
    judge: exactly((a, b, c) => {
      const less = BigInt.asIntN(32, a) < BigInt.asIntN(32, b);
      const guard = c >> 31n === 1n;
      const apply = (x: boolean, y: boolean): bigint =>
        (operator === 'and' ? x && y : operator === 'or' ? x || y : x !== y) ? 1n : 0n;
      return (
        apply(less, guard) | (apply(!less, guard) << 1n) | (apply(less, !guard) << 2n) | (apply(!less, !guard) << 3n)
      );
    }),
  }),
);

const pairwise: Case = {
  name: 'setp.{lt neu}.f16x2 p|q',
  inputs: ['f16x2', 'f16x2'],
  outputs: [32],
  body: `setp.lt.f16x2 %p|%q, %a, %b; selp.u32 %x, 1, 0, %p; selp.u32 %t0, 2, 0, %q; or.b32 %x, %x, %t0;
    setp.neu.f16x2 %p|%q, %a, %b; selp.u32 %t0, 4, 0, %p; or.b32 %x, %x, %t0; selp.u32 %t0, 8, 0, %q; or.b32 %x, %x, %t0;`,
  judge: exactly((a, b) => {
    const order = (at: bigint): Ordering => compare(decode(f16, (a >> at) & 0xffffn), decode(f16, (b >> at) & 0xffffn));
    return ['lt', 'neu'].reduce(
      (bits, operator, i) =>
        bits |
        (holds(operator, order(0n)) ? 1n << BigInt(2 * i) : 0n) |
        (holds(operator, order(16n)) ? 2n << BigInt(2 * i) : 0n),
      0n,
    );
  }),
};

const sets: Case[] = types
  .filter((entry) => !entry.startsWith('f16') && !entry.endsWith('16'))
  .flatMap((entry) => {
    const [type, ftz] = entry.split('.') as [string, string | undefined];
    const order = orderOf(type, ftz !== undefined);
    const operators = type.startsWith('b') ? ['eq', 'ne'] : ['le', type.startsWith('f') ? 'gtu' : 'gt'];
    return ['u32', 's32', 'f32'].flatMap((result) =>
      operators.map((operator): Case => {
        const instruction = `set.${operator}${ftz ? '.ftz' : ''}.${result}.${type}`;
        return {
          name: instruction,
          inputs: [kindOf(type), kindOf(type)],
          outputs: [32],
          body: `${instruction} %x, %a, %b;`,
          judge: exactly((a, b) =>
            holds(operator, order(a, b)) ? (result === 'f32' ? 0x3f800000n : 0xffffffffn) : 0n,
          ),
        };
      }),
    );
  });

/** 0x3c00 is 1.0; a mask fills its half of the word, or all of it. */
const halfSets: Case[] = floatOperators.map(
  (operator): Case => ({
    name: `set.${operator} to f16, u16, s16 and u32 from f16, to f16x2 and u32 from f16x2`,
    inputs: ['f16x2', 'f16x2'],
    outputs: [32, 32, 32, 32],
    body: `mov.b32 {%h0, %h1}, %a; mov.b32 {%h2, %h3}, %b; set.${operator}.f16.f16 %h4, %h0, %h2;
      set.${operator}.u16.f16 %h5, %h0, %h2; mov.b32 %x, {%h4, %h5}; set.${operator}.s16.f16 %h5, %h0, %h2; mov.b32 %t0, {%h5, %h5}; set.${operator}.u32.f16 %y, %h0, %h2;
      set.${operator}.f16x2.f16x2 %z, %a, %b; set.${operator}.u32.f16x2 %w, %a, %b; xor.b32 %w, %w, %t0;`,
    judge: exactly((a, b) => {
      const half = (at: bigint): boolean =>
        holds(operator, compare(decode(f16, (a >> at) & 0xffffn), decode(f16, (b >> at) & 0xffffn)));
      const word = (value: bigint): bigint => [0n, 16n].reduce((bits, at) => bits | (half(at) ? value << at : 0n), 0n);
      const low = half(0n) ? 0xffffffffn : 0n;
      return [half(0n) ? 0xffff3c00n : 0n, low, word(0x3c00n), word(0xffffn) ^ low];
    }),
  }),
);

const selections: Case[] = [
  ...['b16', 'b32', 'b64', 'u16', 's32', 'u64', 'f32', 'f64'].map(
    (type): Case => ({
      name: `selp.${type}`,
      inputs: [`b${widthOf(type)}` as Kind, `b${widthOf(type)}` as Kind, 'b32'],
      outputs: [widthOf(type), widthOf(type)],
      body: `setp.lt.s32 %p, %c, 0; selp.${type} %x, %a, %b, %p; not.pred %q, %p; selp.${type} %y, %a, %b, %q;`,
      judge: exactly((a, b, c) => (c >> 31n === 1n ? [a, b] : [b, a])),
    }),
  ),
  ...['b16', 'u32', 's64', 'f32', 'f64'].flatMap((type): Case[] => [
    {
      name: `slct.${type}.s32`,
      inputs: [`b${widthOf(type)}` as Kind, `b${widthOf(type)}` as Kind, 'b32'],
      outputs: [widthOf(type)],
      body: `slct.${type}.s32 %x, %a, %b, %c;`,
      judge: exactly((a, b, c) => (c >> 31n === 0n ? a : b)),
    },
    ...['', '.ftz'].map(
      (ftz): Case => ({
        name: `slct${ftz}.${type}.f32`,
        inputs: [`b${widthOf(type)}` as Kind, `b${widthOf(type)}` as Kind, 'f32'],
        outputs: [widthOf(type)],
        body: `slct${ftz}.${type}.f32 %x, %a, %b, %c;`,
        // NaN chooses the second operand, and -0 the first.
        judge: exactly((a, b, c) => {
          const order = compare(decode(f32, ftz ? flush(f32, c) : c), decode(f32, 0n));
          return order !== undefined && order >= 0 ? a : b;
        }),
      }),
    ),
  ]),
];

suite('comparisons', [...comparisons, ...combinations, pairwise]);
suite('set', [...sets, ...halfSets]);
suite('selections', selections);
