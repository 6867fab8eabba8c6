// SPDX-License-Identifier: Apache-2.0
// Video instructions, from the pseudocode in the PTX manual: on one field of a word, on two halves, and on four bytes.
import { type Case, exactly, suite } from '../cases.js';

type Operation = (a: bigint, b: bigint) => bigint;

const operations: Readonly<Record<string, Operation>> = {
  vadd: (a, b) => a + b,
  vsub: (a, b) => a - b,
  vavrg: (a, b) => (a + b >= 0n ? (a + b + 1n) >> 1n : (a + b) >> 1n),
  vabsdiff: (a, b) => (a > b ? a - b : b - a),
  vmin: (a, b) => (a < b ? a : b),
  vmax: (a, b) => (a > b ? a : b),
};
const comparisons: Readonly<Record<string, (a: bigint, b: bigint) => boolean>> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
};

const types = ['u32', 's32'] as const;
const word = (value: bigint): bigint => BigInt.asUintN(32, value);
const clamp = (value: bigint, low: bigint, high: bigint): bigint => (value < low ? low : value > high ? high : value);
const saturated = (value: bigint, type: string, bits: bigint): bigint =>
  type === 's32' ? clamp(value, -(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n) : clamp(value, 0n, (1n << bits) - 1n);

/** Bits `bits` from `at` on, extended as the type has it. */
function field(value: bigint, type: string, at: number, bits: number): bigint {
  const raw = value >> BigInt(at);
  return type === 's32' ? BigInt.asIntN(bits, raw) : BigInt.asUintN(bits, raw);
}
const selected = (value: bigint, type: string, selector: string): bigint => {
  const bits = selector === '' ? 32 : selector[1] === 'b' ? 8 : 16;
  return field(value, type, selector === '' ? 0 : Number(selector[2]) * bits, bits);
};
const insert = (into: bigint, value: bigint, at: number, bits: number): bigint => {
  const mask = ((1n << BigInt(bits)) - 1n) << BigInt(at);
  return (into & ~mask) | ((value << BigInt(at)) & mask);
};

const threeWords = { inputs: ['b32', 'b32', 'b32'], outputs: [32] } as const;
const instructionCase = (body: string, expected: (a: bigint, b: bigint, c: bigint) => bigint): Case => ({
  ...threeWords,
  name: body,
  body,
  judge: exactly((a, b, c) => word(expected(a as bigint, b as bigint, c as bigint))),
});

/** What follows the operation of a scalar instruction: nothing, a second operation, or a merge. */
function finish(type: string, result: bigint, last: string, c: bigint): bigint {
  const third = field(c, type, 0, 32);
  if (last === 'add') return result + third;
  if (last === 'min') return result < third ? result : third;
  if (last === 'max') return result > third ? result : third;
  if (last === '') return result;
  const bits = last[1] === 'b' ? 8 : 16;
  return insert(c, result, Number(last[2]) * bits, bits);
}

/** The selectors take turns, so that each meets every operation and both types. */
const selectors = ['', '.b0', '.h1', '.b3', '.h0', '.b1', '.b2'];
const lasts = ['', 'add', '.b2', 'min', '.h1', '.b0', 'max', '.h0', '.b1', '.b3'];
let turn = 0;
const next = (list: readonly string[]): string => list[turn++ % list.length] as string;

function scalar(
  opcode: (parts: { types: string; saturate: string; second: string }) => string,
  run: Operation,
  kinds: readonly [result: string, a: string, b: string],
  saturate: boolean,
): Case {
  const [result, a, b] = kinds;
  const [asel, bsel, last] = [next(selectors), next(selectors), next(lasts)];
  const second = last === '' || last.startsWith('.') ? '' : `.${last}`;
  const merged = last.startsWith('.') ? last : '';
  const instruction = opcode({ types: `.${result}.${a}.${b}`, saturate: saturate ? '.sat' : '', second });
  return instructionCase(`${instruction} %x${merged}, %a${asel}, %b${bsel}${last === '' ? '' : ', %c'};`, (x, y, z) => {
    const value = run(selected(x, a, asel), selected(y, b, bsel));
    const bits = merged === '' ? 32n : merged[1] === 'b' ? 8n : 16n;
    return finish(result, saturate ? saturated(value, result, bits) : value, last, z);
  });
}

const allTypes = types.flatMap((r) => types.flatMap((a) => types.map((b) => [r, a, b] as const)));
const scalars = Object.entries(operations)
  .filter(([name]) => name !== 'vavrg')
  .flatMap(([name, run]) =>
    allTypes.flatMap((kinds) =>
      [false, true].map((saturate) =>
        scalar(({ types, saturate, second }) => `${name}${types}${saturate}${second}`, run, kinds, saturate),
      ),
    ),
  );

const shifts = ['clamp', 'wrap'].flatMap((mode) =>
  types.flatMap((result) =>
    types.flatMap((a) =>
      (['vshl', 'vshr'] as const).flatMap((name) =>
        [false, true].map((saturate) =>
          scalar(
            ({ types, saturate, second }) => `${name}${types}${saturate}.${mode}${second}`,
            (x, y) => {
              const by = mode === 'wrap' ? y & 31n : clamp(y, 0n, 32n);
              return name === 'vshl' ? x << by : x >> by;
            },
            [result, a, 'u32'],
            saturate,
          ),
        ),
      ),
    ),
  ),
);

const sets = Object.entries(comparisons).flatMap(([name, holds]) =>
  types.flatMap((a) =>
    types.map((b) =>
      scalar(
        ({ second }) => `vset.${a}.${b}.${name}${second}`,
        (x, y) => (holds(x, y) ? 1n : 0n),
        ['u32', a, b],
        false,
      ),
    ),
  ),
);

const multiplications = ['', '.shr7', '.shr15'].flatMap((scale) =>
  ['', '.sat'].flatMap((saturate) =>
    types.flatMap((a) =>
      types.flatMap((b) =>
        (['', 'po', 'product', 'c'] as const).map((variant) => {
          const [asel, bsel] = [next(selectors), next(selectors)];
          const signed = a === 's32' || b === 's32' || variant === 'product' || variant === 'c';
          const result = signed ? 's32' : 'u32';
          const minus = (of: string): string => (variant === of ? '-' : '');
          const opcode = `vmad.${result}.${a}.${b}${variant === 'po' ? '.po' : ''}${saturate}${scale}`;
          return instructionCase(
            `${opcode} %x, ${minus('product')}%a${asel}, %b${bsel}, ${minus('c')}%c;`,
            (x, y, z) => {
              const product = selected(x, a, asel) * selected(y, b, bsel);
              // Negation is by complement and one more, of 32 bits for c.
              const third = field(variant === 'c' ? word(~z) : z, result, 0, 32);
              const one = variant === '' ? 0n : 1n;
              const sum = (variant === 'product' ? ~product : product) + third + one;
              const value = sum >> BigInt(scale === '' ? 0 : Number(scale.slice(4)));
              return saturate ? saturated(value, result, 32n) : value;
            },
          );
        }),
      ),
    ),
  ),
);

/** Two or four fields, selected from both words: in their standard order, and in others with fewer results. */
const choices: Readonly<Record<number, readonly (readonly [mask: string, a: string, b: string])[]>> = {
  2: [
    ['', '', ''],
    ['.h1', '.h03', '.h21'],
    ['.h0', '.h32', '.h10'],
    ['.h10', '.h22', '.h31'],
  ],
  4: [
    ['', '', ''],
    ['.b20', '.b7210', '.b0123'],
    ['.b3', '.b4567', '.b3210'],
    ['.b310', '.b5555', '.b0246'],
  ],
};

function vector(
  count: number,
  opcode: string,
  run: Operation,
  kinds: readonly [result: string, a: string, b: string],
  last: '' | '.sat' | '.add',
  [mask, asel, bsel]: readonly [string, string, string],
): Case {
  const bits = 32 / count;
  const digits = (selector: string, standard: string): number[] =>
    [...(selector === '' ? standard : selector.slice(2))].reverse().map(Number);
  const first = digits(asel, count === 2 ? '10' : '3210');
  const second = digits(bsel, count === 2 ? '32' : '7654');
  const chosen = mask === '' ? [0, 1, 2, 3] : digits(mask, '');
  return instructionCase(`${opcode} %x${mask}, %a${asel}, %b${bsel}, %c;`, (x, y, z) => {
    const both = (y << 32n) | x;
    let result = z;
    for (let i = 0; i < count; ++i) {
      if (!chosen.includes(i)) continue;
      const value = run(
        field(both, kinds[1], (first[i] as number) * bits, bits),
        field(both, kinds[2], (second[i] as number) * bits, bits),
      );
      const kept = last === '.sat' ? saturated(value, kinds[0], BigInt(bits)) : value;
      result = last === '.add' ? result + kept : insert(result, kept, i * bits, bits);
    }
    return result;
  });
}

const vectors = [2, 4].flatMap((count) => [
  ...Object.entries(operations).flatMap(([name, run]) =>
    allTypes.flatMap((kinds) =>
      (['', '.sat', '.add'] as const).flatMap((last) => {
        const opcode = `${name}${count}.${kinds.join('.')}${last}`;
        const standard = kinds[0] === kinds[1] && kinds[1] === kinds[2];
        const which = choices[count]?.filter((_, i) => (i === 0) === standard) ?? [];
        return [vector(count, opcode, run, kinds, last, which[turn++ % which.length] as (typeof which)[0])];
      }),
    ),
  ),
  ...Object.entries(comparisons).flatMap(([name, holds]) =>
    types.flatMap((a) =>
      types.flatMap((b) =>
        (['', '.add'] as const).map((last) => {
          const which = choices[count] ?? [];
          return vector(
            count,
            `vset${count}.${a}.${b}.${name}${last}`,
            (x, y) => (holds(x, y) ? 1n : 0n),
            ['u32', a, b],
            last,
            which[turn++ % which.length] as (typeof which)[0],
          );
        }),
      ),
    ),
  ),
]);

suite('video instructions on one field', [...scalars, ...shifts, ...sets, ...multiplications]);
suite('video instructions on two halves or four bytes', vectors);
