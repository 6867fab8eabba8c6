// SPDX-License-Identifier: Apache-2.0
// f32 and f64 arithmetic in every rounding, with and without .ftz and .sat.
import { type Case, suite } from '../cases.js';
import { rounded, roundings, variants } from '../floats.js';
import {
  add,
  compare,
  decode,
  divide,
  type Exact,
  type Format,
  f32,
  f64,
  finite,
  flush,
  isNan,
  multiply,
  negate,
  type Rounding,
  squareRoot,
} from '../numerics.js';

const one = finite(false, 1n);
type Operation = (mode: Rounding, ...values: Exact[]) => Exact;
const operations: Record<string, { readonly arity: number; readonly run: Operation; readonly sat: boolean }> = {
  add: { arity: 2, run: (mode, x, y) => add(x as Exact, y as Exact, mode), sat: true },
  sub: { arity: 2, run: (mode, x, y) => add(x as Exact, negate(y as Exact), mode), sat: true },
  mul: { arity: 2, run: (_, x, y) => multiply(x as Exact, y as Exact), sat: true },
  fma: { arity: 3, run: (mode, x, y, z) => add(multiply(x as Exact, y as Exact), z as Exact, mode), sat: true },
  mad: { arity: 3, run: (mode, x, y, z) => add(multiply(x as Exact, y as Exact), z as Exact, mode), sat: true },
  div: { arity: 2, run: (_, x, y) => divide(x as Exact, y as Exact), sat: false },
  rcp: { arity: 1, run: (_, x) => divide(one, x as Exact), sat: false },
  sqrt: { arity: 1, run: (_, x) => squareRoot(x as Exact), sat: false },
};

const arithmetic = (fmt: Format & { name: string }): Case[] =>
  Object.entries(operations).flatMap(([name, { arity, run, sat }]) =>
    roundings.flatMap((mode) =>
      variants(fmt)
        .filter(({ modifiers }) => sat || !modifiers.sat)
        .map(({ text, modifiers }): Case => {
          const instruction = `${name}.${mode}${text}.${fmt.name}`;
          return {
            name: instruction,
            inputs: Array.from({ length: arity }, () => fmt.name as 'f32'),
            outputs: [fmt.bits],
            body: `${instruction} %x, ${['%a', '%b', '%c'].slice(0, arity).join(', ')};`,
            judge: rounded(fmt, run, { ...modifiers, mode }),
          };
        }),
    ),
  );

/** Without a rounding modifier add, sub and mul round to nearest even. */
const defaults = (fmt: Format & { name: string }): Case[] =>
  ['add', 'sub', 'mul'].flatMap((name) =>
    variants(fmt).map(({ text, modifiers }): Case => {
      const instruction = `${name}${text}.${fmt.name}`;
      const { run } = operations[name] as { run: Operation };
      return {
        name: instruction,
        inputs: [fmt.name as 'f32', fmt.name as 'f32'],
        outputs: [fmt.bits],
        body: `${instruction} %x, %a, %b;`,
        judge: rounded(fmt, run, modifiers),
      };
    }),
  );

const smaller = (x: Exact, y: Exact): boolean => (compare(x, y) as number) < 0;

function extremes(fmt: Format): Case[] {
  const flags = fmt === f32 ? ['', '.ftz', '.NaN', '.ftz.NaN', '.xorsign.abs', '.NaN.xorsign.abs'] : [''];
  return ['min', 'max'].flatMap((name) =>
    flags.map((flag): Case => {
      const instruction = `${name}${flag}.${fmt.name}`;
      const sign = 1n << BigInt(fmt.bits - 1);
      return {
        name: instruction,
        target: flag.includes('xorsign') ? 'sm_89' : 'sm_80',
        inputs: [fmt.name as 'f32', fmt.name as 'f32'],
        outputs: [fmt.bits],
        body: `${instruction} %x, %a, %b;`,
        judge: ([a, b], [bits]) => {
          const prepare = (v: bigint): bigint => {
            const read = flag.includes('ftz') ? flush(fmt, v) : v;
            return flag.includes('xorsign') ? read & ~sign : read;
          };
          const [left, right] = [prepare(a as bigint), prepare(b as bigint)];
          const restore = (v: bigint): bigint =>
            flag.includes('xorsign') ? (v & ~sign) | (((a as bigint) ^ (b as bigint)) & sign) : v;
          if (
            (flag.includes('NaN') && (isNan(fmt, left) || isNan(fmt, right))) ||
            (isNan(fmt, left) && isNan(fmt, right))
          ) {
            return isNan(fmt, bits as bigint) ? undefined : 'expected NaN';
          }
          if (isNan(fmt, left) || isNan(fmt, right))
            return restore(isNan(fmt, left) ? right : left) === bits ? undefined : 'expected the number';
          const [x, y] = [decode(fmt, left), decode(fmt, right)];
          // Which of two zeros of different sign comes back is not specified.
          if (compare(x, y) === 0)
            return bits === restore(left) || bits === restore(right) ? undefined : 'expected either operand';
          return restore(smaller(x, y) === (name === 'min') ? left : right) === bits
            ? undefined
            : 'expected the other operand';
        },
      };
    }),
  );
}

function signs(fmt: Format): Case[] {
  const sign = 1n << BigInt(fmt.bits - 1);
  const make = (instruction: string, arity: number, expected: (a: bigint, b: bigint) => bigint, ftz = false): Case => ({
    name: instruction,
    inputs: Array.from({ length: arity }, () => fmt.name as 'f32'),
    outputs: [fmt.bits],
    body: `${instruction} %x, ${arity === 2 ? '%a, %b' : '%a'};`,
    judge: ([a, b], [bits]) => {
      const wanted = expected(ftz ? flush(fmt, a as bigint) : (a as bigint), b as bigint);
      if (isNan(fmt, wanted)) return isNan(fmt, bits as bigint) ? undefined : 'expected NaN';
      return wanted === bits ? undefined : `expected 0x${wanted.toString(16)}`;
    },
  });
  return [
    make(`abs.${fmt.name}`, 1, (a) => a & ~sign),
    make(`neg.${fmt.name}`, 1, (a) => a ^ sign),
    make(`copysign.${fmt.name}`, 2, (a, b) => (a & sign) | (b & ~sign)),
    ...(fmt === f32
      ? [make('abs.ftz.f32', 1, (a) => a & ~sign, true), make('neg.ftz.f32', 1, (a) => a ^ sign, true)]
      : []),
  ];
}

function properties(fmt: Format): Case[] {
  const subnormal = (v: Exact): boolean =>
    v.kind === 'finite' && v.magnitude !== 0n && v.magnitude < 1n << BigInt(fmt.fractionBits);
  const tests: Record<string, (v: Exact) => boolean> = {
    finite: (v) => v.kind === 'finite',
    infinite: (v) => v.kind === 'infinity',
    number: (v) => v.kind !== 'nan',
    notanumber: (v) => v.kind === 'nan',
    normal: (v) => v.kind === 'finite' && !subnormal(v),
    subnormal,
  };
  return Object.entries(tests).map(
    ([name, holds]): Case => ({
      name: `testp.${name}.${fmt.name}`,
      inputs: [fmt.name as 'f32'],
      outputs: [32],
      body: `testp.${name}.${fmt.name} %p, %a; selp.u32 %x, 1, 0, %p;`,
      judge: ([a], [bits]) =>
        bits === (holds(decode(fmt, a as bigint)) ? 1n : 0n) ? undefined : 'the property is the other way',
    }),
  );
}

suite('f32 arithmetic', arithmetic(f32));
suite('f64 arithmetic', arithmetic(f64));
suite('float defaults, extremes and signs', [
  ...[f32, f64].flatMap((fmt) => [...defaults(fmt), ...extremes(fmt), ...signs(fmt), ...properties(fmt)]),
]);
