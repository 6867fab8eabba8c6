// SPDX-License-Identifier: Apache-2.0
// Approximate functions, within the error bounds of the PTX manual.
import { type Case, suite } from '../cases.js';
import { approximates, type Bound, packed } from '../floats.js';
import { bitsOf, type Format, f16, f32, f64, numberOf } from '../numerics.js';
import { Random } from '../random.js';
import { samples } from '../samples.js';

type Function1 = (x: number) => number;

const flags = (instruction: string): { ftz: boolean } => ({ ftz: instruction.includes('.ftz') });

function unary(instruction: string, fmt: Format, operation: Function1, bound: Bound, tuples?: Case['tuples']): Case {
  return {
    name: instruction,
    inputs: [fmt.name as 'f32'],
    outputs: [fmt.bits],
    body: `${instruction} %x, %a;`,
    judge: approximates(fmt, operation, { ...bound, ...flags(instruction) }),
    ...(tuples ? { tuples } : {}),
  };
}

const random = new Random(5);
const range = (fmt: Format, low: number, high: number): bigint[][] =>
  Array.from({ length: 1024 }, () => [bitsOf(fmt, low + (high - low) * random.uniform())]);
const special = (fmt: Format): bigint[][] =>
  [0, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN].map((x) => [bitsOf(fmt, x)]);
const circle = [...range(f32, -2 * Math.PI, 2 * Math.PI), ...special(f32)];
const exponents = [...range(f32, -150, 130), ...range(f32, -1, 1), ...special(f32)];

/** log2 near one needs the argument's own distance from one. */
const log2: Function1 = (x) => (x > 0.5 && x < 2 ? Math.log1p(x - 1) / Math.LN2 : Math.log2(x));
const logarithm = (ftz: string): Case[] => {
  const instruction = `lg2.approx${ftz}.f32`;
  const near = [...range(f32, 0.500001, 1.999999), [bitsOf(f32, 1)]];
  const far = samples(['f32'], 1024, 77).filter(([a]) => {
    const x = numberOf(f32, a as bigint);
    return !(x > 0.5 && x < 2);
  });
  return [
    { ...unary(instruction, f32, log2, { absolute: 2 ** -22 }, near), name: `${instruction} between 0.5 and 2` },
    { ...unary(instruction, f32, log2, { relative: 2 ** -22 }, far), name: `${instruction} elsewhere` },
  ];
};

const singles: Case[] = ['', '.ftz'].flatMap((ftz) => [
  unary(`rcp.approx${ftz}.f32`, f32, (x) => 1 / x, { relative: 2 ** -23 }),
  unary(`sqrt.approx${ftz}.f32`, f32, Math.sqrt, { relative: 2 ** -23 }),
  unary(`rsqrt.approx${ftz}.f32`, f32, (x) => (Object.is(x, -0) ? Number.NEGATIVE_INFINITY : 1 / Math.sqrt(x)), {
    relative: 2 ** -22.9,
  }),
  unary(`sin.approx${ftz}.f32`, f32, Math.sin, { absolute: 2 ** -20.5 }, circle),
  unary(`cos.approx${ftz}.f32`, f32, Math.cos, { absolute: 2 ** -20.5 }, circle),
  unary(`ex2.approx${ftz}.f32`, f32, (x) => 2 ** x, { relative: 2 ** -22 }, exponents),
  ...logarithm(ftz),
]);
const hyperbolic = unary('tanh.approx.f32', f32, Math.tanh, { relative: 2 ** -11 }, [
  ...range(f32, -10, 10),
  ...range(f32, -0.1, 0.1),
  ...special(f32),
]);

const quotient = (instruction: string, accept: Case['accept']): Case => ({
  name: instruction,
  inputs: ['f32', 'f32'],
  outputs: [32],
  body: `${instruction} %x, %a, %b;`,
  judge: approximates(f32, (x, y) => x / y, { relative: 2 ** -22, ...flags(instruction) }),
  ...(accept ? { accept } : {}),
});
/** The range of divisors for which div.approx has a bound; zero and infinity behave as in division. */
const moderate: Case['accept'] = ([, b]) => {
  const y = Math.abs(numberOf(f32, b as bigint));
  return !(y > 2 ** 126 && y < Number.POSITIVE_INFINITY) && !(y > 0 && y < 2 ** -126);
};
const quotients = ['', '.ftz'].flatMap((ftz) => [
  quotient(`div.approx${ftz}.f32`, moderate),
  quotient(`div.full${ftz}.f32`, undefined),
]);

/** The f64 forms work on the upper 32 bits and give zeros below. */
const gross = (instruction: string, operation: Function1): Case => {
  const judge = approximates(f64, operation, { relative: 2 ** -19, ftz: true });
  return {
    name: instruction,
    inputs: ['f64'],
    outputs: [64],
    body: `${instruction} %x, %a;`,
    judge: ([a], [bits]) => {
      const upper = (a as bigint) & ~0xffffffffn;
      if (((bits as bigint) & 0xffffffffn) !== 0n) return 'the lower half is not zero';
      return judge([upper], [bits as bigint]);
    },
  };
};
const reciprocalRoot: Function1 = (x) => (Object.is(x, -0) ? Number.NEGATIVE_INFINITY : 1 / Math.sqrt(x));
const doubles: Case[] = [
  gross('rcp.approx.ftz.f64', (x) => 1 / x),
  gross('rsqrt.approx.ftz.f64', reciprocalRoot),
  unary('rsqrt.approx.f64', f64, reciprocalRoot, { relative: 2 ** -19 }),
];

const pairs = (instruction: string, operation: Function1, bound: Bound): Case => ({
  name: instruction,
  inputs: ['f16x2'],
  outputs: [32],
  body: `${instruction} %x, %a;`,
  judge: packed(approximates(f16, operation, bound)),
});
const halves: Case[] = [
  unary('tanh.approx.f16', f16, Math.tanh, { absolute: 2 ** -10.987 }),
  pairs('tanh.approx.f16x2', Math.tanh, { absolute: 2 ** -10.987 }),
  unary('ex2.approx.f16', f16, (x) => 2 ** x, { relative: 2 ** -9.9 }),
  pairs('ex2.approx.f16x2', (x) => 2 ** x, { relative: 2 ** -9.9 }),
];

suite('approximate functions', [...singles, hyperbolic, ...quotients, ...doubles, ...halves]);
