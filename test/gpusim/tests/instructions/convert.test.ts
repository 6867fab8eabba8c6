// SPDX-License-Identifier: Apache-2.0
// cvt between every pair of types, in every rounding that the manual allows for sm_80 and sm_89.
import { type Case, exactly, type Judge, suite } from '../cases.js';
import { allowed } from '../floats.js';
import {
  bf16,
  decode,
  type Exact,
  e4m3,
  e5m2,
  encode,
  type Format,
  f16,
  f32,
  f64,
  finite,
  flush,
  integer,
  type Rounding,
  roundShift,
  tf32,
  toInteger,
} from '../numerics.js';
import type { Kind } from '../samples.js';

const formats: Record<string, Format> = { f16, bf16, f32, f64 };
const widthOf = (type: string): number => Number(type.replace(/\D/g, ''));
const isFloat = (type: string): boolean => !/^[su]/.test(type);
const kindOf = (type: string): Kind => (isFloat(type) ? (type as Kind) : (`b${widthOf(type)}` as Kind));
const readInteger = (type: string, bits: bigint): bigint =>
  type.startsWith('s') ? BigInt.asIntN(widthOf(type), bits) : bits;

function limits(type: string): readonly [bigint, bigint] {
  const w = BigInt(widthOf(type));
  return type.startsWith('s') ? [-(1n << (w - 1n)), (1n << (w - 1n)) - 1n] : [0n, (1n << w) - 1n];
}
const clampTo = (type: string, value: bigint): bigint => {
  const [low, high] = limits(type);
  return value < low ? low : value > high ? high : value;
};

/** Small results are judged in their own width: an 8-bit destination lives in a wider register, whose upper bits are tested apart. */
const convert = (
  instruction: string,
  from: string,
  to: string,
  judge: Judge,
  target: 'sm_80' | 'sm_89' = 'sm_80',
): Case => ({
  name: instruction,
  target,
  inputs: [kindOf(from)],
  outputs: [widthOf(to)],
  body: `${instruction} %x, %a;`,
  judge,
});

const integers = ['s8', 'u8', 's16', 'u16', 's32', 'u32', 's64', 'u64'];

/** .sat is legal only where the source's range exceeds the destination's. */
const saturations = (from: string, to: string): string[] => {
  const [[low, high], [least, most]] = [limits(from), limits(to)];
  return low < least || high > most ? ['', '.sat'] : [''];
};

const betweenIntegers: Case[] = integers.flatMap((to) =>
  integers.flatMap((from) =>
    saturations(from, to).map((sat) =>
      convert(
        `cvt${sat}.${to}.${from}`,
        from,
        to,
        exactly((a) => {
          const value = readInteger(from, a);
          return BigInt.asUintN(widthOf(to), sat ? clampTo(to, value) : value);
        }),
      ),
    ),
  ),
);

/** A narrow result is extended to the register's width with the sign that its type gives. */
const extensions: Case[] = ['s8', 'u8', 's16', 'u16'].map((to) => ({
  name: `cvt.${to}.s32 extended into 32 bits by a second cvt`,
  inputs: ['b32'],
  outputs: [32],
  body: `cvt.${to}.s32 %h0, %a; cvt.${to.startsWith('s') ? 's32' : 'u32'}.${to} %x, %h0;`,
  judge: exactly((a) =>
    BigInt.asUintN(32, to.startsWith('s') ? BigInt.asIntN(widthOf(to), a) : BigInt.asUintN(widthOf(to), a)),
  ),
}));

const fromInteger: Case[] = integers.flatMap((from) =>
  ['f16', 'f32', 'f64'].flatMap((to) =>
    (['rn', 'rz', 'rm', 'rp'] as const).map((mode) =>
      convert(
        `cvt.${mode}.${to}.${from}`,
        from,
        to,
        exactly((a) => encode(formats[to] as Format, integer(readInteger(from, a)), { mode })),
      ),
    ),
  ),
);

/** With .sat only 0 and 1 are left, and what is between them. */
const fromIntegerSaturated: Case[] = integers.flatMap((from) =>
  ['f32', 'f64'].map((to) =>
    convert(
      `cvt.rn.sat.${to}.${from}`,
      from,
      to,
      exactly((a) => encode(formats[to] as Format, integer(readInteger(from, a) > 0n ? 1n : 0n))),
    ),
  ),
);

const integerModes: Record<string, Rounding> = { rni: 'rn', rzi: 'rz', rmi: 'rm', rpi: 'rp' };

/** NaN becomes zero, or for f64 sources and 64-bit results the top bit alone. */
const fromNan = (from: string, to: string): bigint =>
  from !== 'f64' && widthOf(to) !== 64 ? 0n : 1n << BigInt(widthOf(to) - 1);

/** Floats saturate to the integer type's range. */
const toIntegers: Case[] = ['f16', 'f32', 'f64'].flatMap((from) =>
  integers.flatMap((to) =>
    Object.entries(integerModes).flatMap(([name, mode]) =>
      (from === 'f32' ? ['', '.ftz'] : ['']).map((ftz) => {
        const fmt = formats[from] as Format;
        return convert(`cvt.${name}${ftz}.${to}.${from}`, from, to, ([a], [bits]) => {
          const value = decode(fmt, ftz ? flush(fmt, a as bigint) : (a as bigint));
          const [low, high] = limits(to);
          if (value.kind === 'nan')
            return bits === fromNan(from, to) ? undefined : `expected 0x${fromNan(from, to).toString(16)}`;
          const exact = value.kind === 'infinity' ? (value.negative ? low : high) : clampTo(to, toInteger(value, mode));
          const wanted = BigInt.asUintN(widthOf(to), exact);
          return wanted === bits ? undefined : `expected 0x${wanted.toString(16)}`;
        });
      }),
    ),
  ),
);

function toFloat(from: string, to: string, mode: string, flags: string): Case {
  const [source, result] = [formats[from] as Format, formats[to] as Format];
  const instruction = `cvt${mode ? `.${mode}` : ''}${flags}.${to}.${from}`;
  return convert(instruction, from, to, ([a], [bits]) => {
    const read = flags.includes('ftz') && from === 'f32' ? flush(source, a as bigint) : (a as bigint);
    const value = decode(source, read);
    const options = {
      mode: (mode || 'rn') as Rounding,
      sat: flags.includes('sat'),
      relu: flags.includes('relu'),
      ftz: flags.includes('ftz') && to === 'f32',
    };
    return allowed(result, value, options)(bits as bigint)
      ? undefined
      : `expected 0x${encode(result, value, options).toString(16)}`;
  });
}

const betweenFloats: Case[] = [
  toFloat('f16', 'f32', '', ''),
  toFloat('f16', 'f32', '', '.ftz'),
  toFloat('f16', 'f32', '', '.sat'),
  toFloat('f16', 'f64', '', ''),
  toFloat('f32', 'f64', '', ''),
  toFloat('f32', 'f64', '', '.ftz'),
  toFloat('f32', 'f32', '', '.ftz'),
  toFloat('f32', 'f32', '', '.sat'),
  toFloat('f32', 'f32', '', '.ftz.sat'),
  ...(['rn', 'rz', 'rm', 'rp'] as const).flatMap((mode) => [
    toFloat('f64', 'f32', mode, ''),
    toFloat('f64', 'f32', mode, '.ftz'),
    toFloat('f64', 'f32', mode, '.sat'),
    toFloat('f32', 'f16', mode, ''),
    toFloat('f32', 'f16', mode, '.ftz'),
    toFloat('f32', 'f16', mode, '.sat'),
    toFloat('f64', 'f16', mode, ''),
  ]),
  ...['rn', 'rz'].flatMap((mode) =>
    ['', '.relu'].flatMap((flags) => [
      toFloat('f32', 'bf16', mode, flags),
      ...(flags ? [toFloat('f32', 'f16', mode, flags)] : []),
    ]),
  ),
];

const integral = (from: string): Case[] => {
  const fmt = formats[from] as Format;
  return Object.entries(integerModes).flatMap(([name, mode]) =>
    (from === 'f32' ? ['', '.ftz', '.sat'] : ['']).map((flags) =>
      convert(`cvt.${name}${flags}.${from}.${from}`, from, from, ([a], [bits]) => {
        const value = decode(fmt, flags === '.ftz' ? flush(fmt, a as bigint) : (a as bigint));
        const exact: Exact =
          value.kind === 'finite'
            ? finite(value.negative, roundShift(value.magnitude, -value.exponent, mode, value.negative))
            : value;
        return allowed(fmt, exact, { sat: flags === '.sat' })(bits as bigint)
          ? undefined
          : `expected 0x${encode(fmt, exact).toString(16)}`;
      }),
    ),
  );
};

/** Two f32 into one register: the first operand goes to the upper half. */
const pairs: Case[] = ['f16x2', 'bf16x2'].flatMap((type) =>
  (['rn', 'rz'] as const).flatMap((mode) =>
    ['', '.relu'].map((relu): Case => {
      const fmt = type === 'f16x2' ? f16 : bf16;
      const instruction = `cvt.${mode}${relu}.${type}.f32`;
      const half = (bits: bigint): bigint => encode(fmt, decode(f32, bits), { mode, relu: relu !== '' });
      return {
        name: instruction,
        inputs: ['f32', 'f32'],
        outputs: [32],
        body: `${instruction} %x, %a, %b;`,
        judge: exactly((a, b) => (half(a) << 16n) | half(b)),
      };
    }),
  ),
);

const tensorFloats = [false, true].map((satfinite) =>
  convert(`cvt.rna${satfinite ? '.satfinite' : ''}.tf32.f32`, 'f32', 'f32', ([a], [bits]) => {
    const value = decode(f32, a as bigint);
    if (value.kind === 'nan') return decode(tf32, bits as bigint).kind === 'nan' ? undefined : 'expected NaN';
    // The 13 lowest bits of a tf32 register carry no meaning.
    const wanted = encode(tf32, value, { mode: 'rna', satfinite });
    return ((bits as bigint) & ~0x1fffn) === wanted ? undefined : `expected 0x${wanted.toString(16)}`;
  }),
);

const bytes: Case[] = [e4m3, e5m2].flatMap((fmt) =>
  ['', '.relu'].flatMap((relu): Case[] => {
    const type = `${fmt.name}x2`;
    const narrow = (value: Exact): bigint => encode(fmt, value, { satfinite: true, relu: relu !== '' });
    const half = (bits: bigint): bigint => encode(f16, decode(fmt, bits), { relu: relu !== '' });
    return [
      {
        name: `cvt.rn.satfinite${relu}.${type}.f32`,
        target: 'sm_89',
        inputs: ['f32', 'f32'],
        outputs: [16],
        body: `cvt.rn.satfinite${relu}.${type}.f32 %x, %a, %b;`,
        judge: exactly((a, b) => (narrow(decode(f32, a)) << 8n) | narrow(decode(f32, b))),
      },
      {
        name: `cvt.rn.satfinite${relu}.${type}.f16x2`,
        target: 'sm_89',
        inputs: ['f16x2'],
        outputs: [16],
        body: `cvt.rn.satfinite${relu}.${type}.f16x2 %x, %a;`,
        judge: exactly((a) => (narrow(decode(f16, a >> 16n)) << 8n) | narrow(decode(f16, a & 0xffffn))),
      },
      {
        name: `cvt.rn${relu}.f16x2.${type}`,
        target: 'sm_89',
        inputs: ['b16'],
        outputs: [32],
        body: `cvt.rn${relu}.f16x2.${type} %x, %a;`,
        judge: exactly((a) => (half(a >> 8n) << 16n) | half(a & 0xffn)),
        tuples: Array.from({ length: 1024 }, (_, i) => [BigInt((i * 4099) % 65536)]),
      },
    ];
  }),
);

const packs: Case[] = ['s16', 'u16', 's8', 'u8'].map((type): Case => {
  const w = BigInt(widthOf(type));
  const one = (bits: bigint): bigint => BigInt.asUintN(Number(w), clampTo(type, BigInt.asIntN(32, bits)));
  const narrow = w === 8n;
  return {
    name: `cvt.pack.sat.${type}.s32${narrow ? '.b32' : ''}`,
    inputs: narrow ? ['b32', 'b32', 'b32'] : ['b32', 'b32'],
    outputs: [32],
    body: narrow ? `cvt.pack.sat.${type}.s32.b32 %x, %a, %b, %c;` : `cvt.pack.sat.${type}.s32 %x, %a, %b;`,
    judge: exactly((a, b, c = 0n) => BigInt.asUintN(32, (narrow ? c << (2n * w) : 0n) | (one(a) << w) | one(b))),
  };
});

suite('cvt between integers', [...betweenIntegers, ...extensions]);
suite('cvt from integers to floats', [...fromInteger, ...fromIntegerSaturated]);
suite('cvt from floats to integers', toIntegers);
suite('cvt between floats', [...betweenFloats, ...['f16', 'f32', 'f64'].flatMap(integral), ...pairs, ...tensorFloats]);
suite('cvt of bytes', [...bytes, ...packs]);
