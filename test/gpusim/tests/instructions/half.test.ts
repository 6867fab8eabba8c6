// SPDX-License-Identifier: Apache-2.0
// f16, f16x2, bf16 and bf16x2 arithmetic of sm_80.
import { type Case, exactly, type Judge, suite } from '../cases.js';
import { packed, rounded } from '../floats.js';
import {
  add,
  bf16,
  compare,
  decode,
  type Exact,
  type Format,
  f16,
  flush,
  isNan,
  multiply,
  negate,
  type Rounding,
} from '../numerics.js';
import type { Kind } from '../samples.js';

type Operation = (mode: Rounding, ...values: Exact[]) => Exact;
const operations: Record<string, readonly [number, Operation]> = {
  add: [2, (mode, x, y) => add(x as Exact, y as Exact, mode)],
  sub: [2, (mode, x, y) => add(x as Exact, negate(y as Exact), mode)],
  mul: [2, (_, x, y) => multiply(x as Exact, y as Exact)],
  fma: [3, (mode, x, y, z) => add(multiply(x as Exact, y as Exact), z as Exact, mode)],
};

function arithmetic(name: string, flags: string, type: string): Case {
  const [arity, run] = operations[name] as readonly [number, Operation];
  const fmt = type.startsWith('bf') ? bf16 : f16;
  const instruction = `${name}${flags}.${type}`;
  const judge = rounded(fmt, run, {
    ftz: flags.includes('ftz'),
    sat: flags.includes('sat'),
    relu: flags.includes('relu'),
  });
  const relu: Judge = (inputs, outputs) => {
    // .relu clamps negative results to zero and makes NaN canonical.
    const values = inputs.map((v) => decode(fmt, flags.includes('ftz') ? flush(fmt, v) : v));
    return run('rn', ...values).kind === 'nan'
      ? outputs[0] === fmt.nan
        ? undefined
        : 'expected canonical NaN'
      : judge(inputs, outputs);
  };
  const chosen = flags.includes('relu') ? relu : judge;
  return {
    name: instruction,
    inputs: Array.from({ length: arity }, () => type as Kind),
    outputs: [type.endsWith('x2') ? 32 : 16],
    body: `${instruction} %x, ${['%a', '%b', '%c'].slice(0, arity).join(', ')};`,
    judge: type.endsWith('x2') ? packed(chosen) : chosen,
  };
}

const sums: Case[] = [
  ...['f16', 'f16x2'].flatMap((type) => [
    ...['add', 'sub', 'mul'].flatMap((name) =>
      ['', '.rn', '.ftz', '.sat', '.rn.ftz.sat'].map((flags) => arithmetic(name, flags, type)),
    ),
    ...['.rn', '.rn.ftz', '.rn.sat', '.rn.ftz.sat', '.rn.relu', '.rn.ftz.relu'].map((flags) =>
      arithmetic('fma', flags, type),
    ),
  ]),
  ...['bf16', 'bf16x2'].flatMap((type) => ['.rn', '.rn.relu'].map((flags) => arithmetic('fma', flags, type))),
];

function sign(instruction: string, change: (bits: bigint, mask: bigint) => bigint): Case {
  const type = instruction.split('.').at(-1) as string;
  const fmt = type.startsWith('bf') ? bf16 : f16;
  const judge: Judge = ([a], [bits]) => {
    const wanted = change(instruction.includes('ftz') ? flush(fmt, a as bigint) : (a as bigint), 0x8000n);
    if (isNan(fmt, wanted)) return isNan(fmt, bits as bigint) ? undefined : 'expected NaN';
    return wanted === bits ? undefined : `expected 0x${wanted.toString(16)}`;
  };
  return {
    name: instruction,
    inputs: [type as Kind],
    outputs: [type.endsWith('x2') ? 32 : 16],
    body: `${instruction} %x, %a;`,
    judge: type.endsWith('x2') ? packed(judge) : judge,
  };
}

const signs: Case[] = [
  ...['f16', 'f16x2', 'bf16', 'bf16x2', 'ftz.f16', 'ftz.f16x2'].flatMap((t) => [
    sign(`neg.${t}`, (bits, mask) => bits ^ mask),
    sign(`abs.${t}`, (bits, mask) => bits & ~mask),
  ]),
];

/** min and max of 16-bit floats: the manual gives -0 < +0, numbers win over NaN, .NaN and two NaNs give canonical NaN. */
function extreme(name: 'min' | 'max', flags: string, type: string): Case {
  const fmt: Format = type.startsWith('bf') ? bf16 : f16;
  const instruction = `${name}${flags}.${type}`;
  const judge = exactly((a, b) => {
    const prepare = (v: bigint): bigint => {
      const read = flags.includes('ftz') ? flush(fmt, v) : v;
      return flags.includes('xorsign') ? read & 0x7fffn : read;
    };
    const [left, right] = [prepare(a), prepare(b)];
    const [nanLeft, nanRight] = [isNan(fmt, left), isNan(fmt, right)];
    if ((nanLeft && nanRight) || (flags.includes('NaN') && (nanLeft || nanRight))) return fmt.nan;
    let chosen = nanLeft ? right : left;
    if (!nanLeft && !nanRight) {
      const order = compare(decode(fmt, left), decode(fmt, right)) as number;
      const rightIsLess = order > 0 || (order === 0 && right >> 15n === 1n);
      chosen = rightIsLess === (name === 'min') ? right : left;
    }
    return flags.includes('xorsign') ? (chosen & 0x7fffn) | ((a ^ b) & 0x8000n) : chosen;
  });
  const judged: Judge = flags.includes('xorsign')
    ? (inputs, outputs) =>
        outputs.every((bits) => isNan(fmt, bits)) && judge(inputs, [fmt.nan]) === undefined
          ? undefined
          : judge(inputs, outputs)
    : judge;
  return {
    name: instruction,
    target: flags.includes('xorsign') ? 'sm_89' : 'sm_80',
    inputs: [type as Kind, type as Kind],
    outputs: [type.endsWith('x2') ? 32 : 16],
    body: `${instruction} %x, %a, %b;`,
    judge: type.endsWith('x2') ? packed(judged) : judged,
  };
}

const extremes: Case[] = (['min', 'max'] as const).flatMap((name) => [
  ...['f16', 'f16x2'].flatMap((type) =>
    ['', '.ftz', '.NaN', '.ftz.NaN', '.xorsign.abs', '.NaN.xorsign.abs'].map((flags) => extreme(name, flags, type)),
  ),
  ...['bf16', 'bf16x2'].flatMap((type) =>
    ['', '.NaN', '.xorsign.abs', '.NaN.xorsign.abs'].map((flags) => extreme(name, flags, type)),
  ),
]);

suite('16-bit float arithmetic', [...sums, ...signs, ...extremes]);
