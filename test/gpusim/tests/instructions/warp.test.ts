// SPDX-License-Identifier: Apache-2.0
// Warp-wide instructions: shfl, vote, match, redux, activemask and bar.warp.sync, judged a warp at a time.
import { type Case, suite } from '../cases.js';
import { Random } from '../random.js';

type Lane = readonly bigint[];
const lanes = Array.from({ length: 32 }, (_, lane) => lane);
const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** Judges by what `expected` gives for every lane of the warp. */
function warpwise(
  expected: (inputs: readonly Lane[], lane: number) => readonly (bigint | undefined)[],
): NonNullable<Case['judgeWarp']> {
  return (inputs, outputs) => {
    for (const lane of lanes) {
      const wanted = expected(inputs, lane);
      const actual = outputs[lane] as Lane;
      const wrong = wanted.findIndex((value, i) => value !== undefined && value !== actual[i]);
      if (wrong >= 0)
        return `lane ${lane} gave ${actual.map(hex).join(' ')}, expected ${wanted.map((v) => (v === undefined ? '-' : hex(v))).join(' ')}`;
    }
    return undefined;
  };
}

const valueAt = (inputs: readonly Lane[], lane: number, column = 0): bigint => (inputs[lane] as Lane)[column] as bigint;

type Mode = 'up' | 'down' | 'bfly' | 'idx';

/** The manual's pseudocode: source lane and whether it is in range. */
function source(mode: Mode, lane: number, b: number, c: number): readonly [number, boolean] {
  const [offset, clamp, mask] = [b & 31, c & 31, (c >> 8) & 31];
  const most = (lane & mask) | (clamp & ~mask);
  const j = { up: lane - offset, down: lane + offset, bfly: lane ^ offset, idx: (lane & mask) | (offset & ~mask) }[
    mode
  ];
  const inRange = mode === 'up' ? j >= most : j <= most;
  return inRange ? [j, true] : [lane, false];
}

const shuffles: Case[] = (['up', 'down', 'bfly', 'idx'] as const).flatMap((mode) =>
  [1, 2, 4, 8, 16, 32].map((width): Case => {
    const c = ((32 - width) << 8) | (mode === 'up' ? 0 : 31);
    return {
      name: `shfl.sync.${mode}.b32, segments of ${width}, per-lane operand, predicate out`,
      inputs: ['b32', 'count'],
      outputs: [32, 32],
      body: `shfl.sync.${mode}.b32 %x|%p, %a, %b, ${c}, 0xffffffff; selp.u32 %y, 1, 0, %p;`,
      judgeWarp: warpwise((inputs, lane) => {
        const [from, inRange] = source(mode, lane, Number(valueAt(inputs, lane, 1) & 31n), c);
        return [valueAt(inputs, from), inRange ? 1n : 0n];
      }),
    };
  }),
);

const clamped: Case[] = (['down', 'bfly', 'idx', 'up'] as const).map(
  (mode): Case => ({
    name: `shfl.sync.${mode}.b32 with a clamp inside the segment`,
    inputs: ['b32'],
    outputs: [32, 32],
    body: `shfl.sync.${mode}.b32 %x|%p, %a, 3, ${(24 << 8) | 5}, -1; selp.u32 %y, 1, 0, %p;`,
    judgeWarp: warpwise((inputs, lane) => {
      const [from, inRange] = source(mode, lane, 3, (24 << 8) | 5);
      return [valueAt(inputs, from), inRange ? 1n : 0n];
    }),
  }),
);

const partial: Case = {
  name: 'shfl.sync.bfly.b32 in each half of the warp under a branch, with that half as the mask',
  inputs: ['b32'],
  outputs: [32],
  body: `mov.u32 %t0, %laneid; setp.lt.u32 %p, %t0, 16; @%p bra low;
    shfl.sync.bfly.b32 %x, %a, 7, 31, 0xffff0000; bra.uni join;
    low: shfl.sync.bfly.b32 %x, %a, 9, 31, 0x0000ffff;
    join: bar.warp.sync 0xffffffff;`,
  judgeWarp: warpwise((inputs, lane) => [valueAt(inputs, lane ^ (lane < 16 ? 9 : 7))]),
};

const ballot = (inputs: readonly Lane[], test: (value: bigint) => boolean): bigint =>
  lanes.reduce((mask, lane) => mask | (test(valueAt(inputs, lane)) ? 1n << BigInt(lane) : 0n), 0n);
const negative = (value: bigint): boolean => value >> 31n === 1n;
const everyLane = 0xffffffffn;
const bit = (value: boolean, at: bigint): bigint => (value ? 1n << at : 0n);

/** Warps of random values, of one value for all lanes, and of all but one. */
const random = new Random(21);
const tuples = Array.from({ length: 1024 }, (_, i) => {
  const warp = i >> 5;
  if (warp % 4 === 0) return [warp % 8 === 0 ? 0x80000001n : 1n];
  if (warp % 4 === 1) return [(i & 31) === warp ? 0x80000001n : 1n];
  return [random.bits(32)];
});

const votes: Case = {
  name: 'vote.sync.{all any uni ballot}.pred, plain and negated',
  inputs: ['b32'],
  outputs: [32, 32],
  tuples,
  body: `setp.lt.s32 %p, %a, 0; vote.sync.ballot.b32 %x, %p, 0xffffffff;
    vote.sync.all.pred %q, %p, 0xffffffff; selp.u32 %y, 1, 0, %q;
    vote.sync.any.pred %q, %p, 0xffffffff; selp.u32 %t0, 2, 0, %q; or.b32 %y, %y, %t0;
    vote.sync.uni.pred %q, %p, 0xffffffff; selp.u32 %t0, 4, 0, %q; or.b32 %y, %y, %t0;
    vote.sync.all.pred %q, !%p, 0xffffffff; selp.u32 %t0, 8, 0, %q; or.b32 %y, %y, %t0;
    vote.sync.any.pred %q, !%p, 0xffffffff; selp.u32 %t0, 16, 0, %q; or.b32 %y, %y, %t0;`,
  judgeWarp: warpwise((inputs) => {
    const set = ballot(inputs, negative);
    const [all, none] = [set === everyLane, set === 0n];
    return [set, bit(all, 0n) | bit(!none, 1n) | bit(all || none, 2n) | bit(none, 3n) | bit(!all, 4n)];
  }),
};

const partialVote: Case = {
  name: 'vote.sync.ballot over a mask that leaves lanes out',
  inputs: ['b32'],
  outputs: [32],
  tuples,
  body: `mov.u32 %x, 0; mov.u32 %t0, %laneid; and.b32 %t0, %t0, 3; setp.ne.u32 %q, %t0, 0; setp.lt.s32 %p, %a, 0;
    @%q bra join; vote.sync.ballot.b32 %x, %p, 0x11111111; join: bar.warp.sync -1;`,
  judgeWarp: warpwise((inputs, lane) => [lane % 4 === 0 ? ballot(inputs, negative) & 0x11111111n : 0n]),
};

const matches: Case[] = [32, 64].flatMap((width): Case[] => {
  const low = width === 32 ? 'and.b32 %t0, %a, 3;' : 'and.b64 %u0, %a, 0x8000000000000001;';
  const register = width === 32 ? '%t0' : '%u0';
  const mask = width === 32 ? 3n : 0x8000000000000001n;
  const value = (inputs: readonly Lane[], lane: number): bigint => valueAt(inputs, lane) & mask;
  const values = Array.from({ length: 1024 }, (_, i) => [(i >> 5) % 3 === 0 ? 5n : random.bits(width)]);
  return [
    {
      name: `match.any.sync.b${width}`,
      inputs: [width === 32 ? 'b32' : 'b64'],
      outputs: [32],
      tuples: values,
      body: `${low} match.any.sync.b${width} %x, ${register}, 0xffffffff;`,
      judgeWarp: warpwise((inputs, lane) => [
        lanes.reduce((set, other) => set | bit(value(inputs, other) === value(inputs, lane), BigInt(other)), 0n),
      ]),
    },
    {
      name: `match.all.sync.b${width} with predicate`,
      inputs: [width === 32 ? 'b32' : 'b64'],
      outputs: [32, 32],
      tuples: values,
      body: `${low} match.all.sync.b${width} %x|%p, ${register}, 0xffffffff; selp.u32 %y, 1, 0, %p;`,
      judgeWarp: warpwise((inputs) =>
        lanes.every((lane) => value(inputs, lane) === value(inputs, 0)) ? [everyLane, 1n] : [0n, 0n],
      ),
    },
  ];
});

const signed = (value: bigint): bigint => BigInt.asIntN(32, value);
const smaller = (x: bigint, y: bigint): bigint => (x < y ? x : y);
const larger = (x: bigint, y: bigint): bigint => (x > y ? x : y);
const reductions: readonly (readonly [string, (values: readonly bigint[]) => bigint])[] = [
  ['add.u32', (v) => v.reduce((x, y) => x + y)],
  ['add.s32', (v) => v.reduce((x, y) => x + y)],
  ['min.u32', (v) => v.reduce(smaller)],
  ['max.u32', (v) => v.reduce(larger)],
  ['min.s32', (v) => v.map(signed).reduce(smaller)],
  ['max.s32', (v) => v.map(signed).reduce(larger)],
  ['and.b32', (v) => v.reduce((x, y) => x & y)],
  ['or.b32', (v) => v.reduce((x, y) => x | y)],
  ['xor.b32', (v) => v.reduce((x, y) => x ^ y)],
];
const reduxes: Case[] = reductions.flatMap(([operation, reduce]): Case[] => [
  {
    name: `redux.sync.${operation}`,
    inputs: ['b32'],
    outputs: [32],
    body: `redux.sync.${operation} %x, %a, 0xffffffff;`,
    judgeWarp: warpwise((inputs) => [BigInt.asUintN(32, reduce(lanes.map((lane) => valueAt(inputs, lane))))]),
  },
  {
    name: `redux.sync.${operation} over odd lanes`,
    inputs: ['b32'],
    outputs: [32],
    body: `mov.u32 %x, 7; mov.u32 %t0, %laneid; and.b32 %t0, %t0, 1; setp.eq.u32 %p, %t0, 0; @%p bra join;
      redux.sync.${operation} %x, %a, 0xaaaaaaaa; join: bar.warp.sync 0xffffffff;`,
    judgeWarp: warpwise((inputs, lane) => {
      const odd = lanes.filter((other) => other % 2 === 1);
      return [lane % 2 === 0 ? 7n : BigInt.asUintN(32, reduce(odd.map((other) => valueAt(inputs, other))))];
    }),
  },
]);

const active: Case = {
  name: 'activemask and vote over it on both sides of a branch, and lanemask registers',
  inputs: ['b32'],
  outputs: [32, 32],
  body: `mov.u32 %y, 0; setp.lt.s32 %p, %a, 0; @%p bra yes;
    activemask.b32 %x; bra.uni join;
    yes: activemask.b32 %x;
    join: bar.warp.sync 0xffffffff; activemask.b32 %t0; setp.eq.u32 %q, %t0, 0xffffffff; selp.u32 %y, 1, 0, %q;
    mov.u32 %t0, %lanemask_lt; mov.u32 %t1, %lanemask_le; xor.b32 %t1, %t1, %t0; mov.u32 %t2, %lanemask_eq; setp.eq.u32 %q, %t1, %t2; selp.u32 %t1, 2, 0, %q; or.b32 %y, %y, %t1;
    mov.u32 %t2, %lanemask_ge; or.b32 %t0, %t0, %t2; setp.eq.u32 %q, %t0, 0xffffffff; selp.u32 %t0, 4, 0, %q; or.b32 %y, %y, %t0;
    mov.u32 %t1, %lanemask_gt; popc.b32 %t0, %t1; mov.u32 %t1, %laneid; add.u32 %t0, %t0, %t1; setp.eq.u32 %q, %t0, 31; selp.u32 %t0, 8, 0, %q; or.b32 %y, %y, %t0;`,
  judgeWarp: warpwise((inputs, lane) => {
    const set = ballot(inputs, negative);
    return [negative(valueAt(inputs, lane)) ? set : everyLane & ~set, 15n];
  }),
};

suite('shuffles', [...shuffles, ...clamped, partial]);
suite('votes, matches and reductions', [votes, partialVote, ...matches, ...reduxes, active]);
