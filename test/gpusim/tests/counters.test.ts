// SPDX-License-Identifier: Apache-2.0
// The profiler's counters on kernels whose counts are worked out by hand.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { header } from './cases.js';
import { type Launch, runBatch } from './runner.js';

type Record = { readonly [key: string]: number | Record };

interface Counted {
  readonly name: string;
  /** Body of the kernel `test(.param .u64 buffer)`; %d0 is the buffer, %r0 the thread's index in its block. */
  readonly body: string;
  readonly grid?: number;
  readonly block?: number;
  /** Counters by their path in the record. */
  readonly counts: { readonly [path: string]: number };
}

/** Two instructions come before every body. */
const prologue = `ld.param.u64 %d0, [buffer]; mov.u32 %r0, %tid.x;`;
const module = (body: string): string => `${header('sm_80')}.visible .entry test(.param .u64 buffer)
{ .reg .u32 %r<16>; .reg .u64 %d<8>; .reg .pred %p<4>; .reg .f32 %f<8>; .shared .align 16 .b8 cells[16384];
${prologue}
${body}
ret; }`;

const warps = (test: Counted): number => ((test.grid ?? 1) * (test.block ?? 32)) / 32;

/** Address of a 4-byte element `expression` registers on: %d2 = buffer + %r1 * bytes. */
const element = (bytes: number): string => `mul.wide.u32 %d1, %r1, ${bytes}; add.u64 %d2, %d0, %d1;`;
const load = (index: string, type = 'u32', registers = '%r9'): string =>
  `${index} ${element(4)} ld.global.${type} ${registers}, [%d2];`;

const instructions: readonly Counted[] = [
  {
    name: 'straight-line code',
    body: `mov.u32 %r1, %r0; ${element(4)} ld.global.f32 %f0, [%d2]; mul.f32 %f1, %f0, 0f40000000; fma.rn.f32 %f1, %f1, %f0, %f0; ex2.approx.f32 %f2, %f1; st.global.f32 [%d2], %f2; bar.sync 0;`,
    grid: 3,
    block: 64,
    counts: {
      // 2 + mov, mul, add, ld, mul, fma, ex2, st, bar, ret.
      warpInstructions: 6 * 12,
      threadInstructions: 6 * 12 * 32,
      'warpByClass.float32': 6 * 2,
      'warpByClass.special': 6,
      'warpByClass.integer': 6 * 2,
      'warpByClass.loadGlobal': 6,
      'warpByClass.storeGlobal': 6,
      'warpByClass.loadConst': 6,
      'warpByClass.barrier': 6,
      barriers: 6,
      divergentBranches: 0,
    },
  },
  {
    name: 'a uniform loop of ten rounds',
    body: `mov.u32 %r1, 0; mov.u32 %r2, 0;
loop: add.u32 %r2, %r2, %r1; add.u32 %r1, %r1, 1; setp.lt.u32 %p0, %r1, 10; @%p0 bra loop;
mov.u32 %r1, %r0; ${element(4)} st.global.u32 [%d2], %r2;`,
    grid: 2,
    block: 128,
    counts: {
      // 2 + 2 movs + 10 * (2 adds, setp, bra) + mov, mul, add, st, ret.
      warpInstructions: 8 * (2 + 2 + 40 + 5),
      'warpByClass.integer': 8 * (20 + 2),
      // A branch counts where some lane takes it.
      branches: 8 * 9,
      divergentBranches: 0,
    },
  },
  {
    name: 'a branch that splits every warp in two',
    body: `and.b32 %r1, %r0, 1; setp.eq.u32 %p0, %r1, 0; mov.u32 %r2, 5; @%p0 bra even; mul.lo.u32 %r2, %r2, 3; add.u32 %r2, %r2, 1; bra.uni join;
even: sub.u32 %r2, %r2, 1;
join: mov.u32 %r1, %r0; ${element(4)} st.global.u32 [%d2], %r2;`,
    block: 64,
    counts: {
      // 2 + and, setp, mov, bra + one side of 3 + the other of 1 + mov, mul, add, st, ret.
      warpInstructions: 2 * (2 + 4 + 3 + 1 + 5),
      // The guarded branch counts for the lanes whose guard holds.
      threadInstructions: 2 * (32 * (2 + 3 + 5) + 16 + 16 * (3 + 1)),
      divergentBranches: 2,
    },
  },
];

const global = (name: string, body: string, sectors: number, ideal: number, touched: number): Counted => ({
  name,
  body,
  counts: {
    globalLoadRequests: 1,
    globalLoadSectors: sectors,
    globalLoadIdealSectors: ideal,
    globalBytesTouched: touched * 32,
  },
});
const coalescing: readonly Counted[] = [
  global('consecutive words', load('mov.u32 %r1, %r0;'), 4, 4, 4),
  global('words in reverse', load('sub.u32 %r1, 31, %r0;'), 4, 4, 4),
  global('every second word', load('shl.b32 %r1, %r0, 1;'), 8, 4, 8),
  global('every 32nd word', load('shl.b32 %r1, %r0, 5;'), 32, 4, 32),
  global('one word for all', load('mov.u32 %r1, 3;'), 1, 1, 1),
  global('consecutive words off by one', load('add.u32 %r1, %r0, 1;'), 5, 4, 5),
  global('consecutive vectors of four', load('shl.b32 %r1, %r0, 2;', 'v4.u32', '{%r9, %r10, %r11, %r12}'), 16, 16, 16),
];

const shared = (
  name: string,
  index: string,
  wavefronts: number,
  ideal: number,
  bytes = 4,
  type = 'u32',
  registers = '%r9',
): Counted => ({
  name,
  body: `${index} mul.wide.u32 %d1, %r1, ${bytes}; mov.u64 %d2, cells; add.u64 %d2, %d2, %d1; mov.u32 %r9, 1; mov.u32 %r10, 1; mov.u32 %r11, 1; mov.u32 %r12, 1;
    st.shared.${type} [%d2], ${registers}; ld.shared.${type} ${registers}, [%d2];`,
  counts: {
    sharedLoadWavefronts: wavefronts,
    sharedLoadIdeal: ideal,
    sharedStoreWavefronts: wavefronts,
    sharedStoreIdeal: ideal,
  },
});
const banks: readonly Counted[] = [
  shared('stride 1', 'mov.u32 %r1, %r0;', 1, 1),
  shared('stride 2', 'shl.b32 %r1, %r0, 1;', 2, 1),
  shared('stride 4', 'shl.b32 %r1, %r0, 2;', 4, 1),
  shared('stride 32', 'shl.b32 %r1, %r0, 5;', 32, 1),
  shared('stride 33', 'mul.lo.u32 %r1, %r0, 33;', 1, 1),
  shared('a swizzled column', 'shl.b32 %r1, %r0, 5; xor.b32 %r1, %r1, %r0;', 1, 1),
  shared('vectors of two in order', 'mov.u32 %r1, %r0;', 2, 2, 8, 'v2.u32', '{%r9, %r10}'),
  shared('vectors of four in order', 'mov.u32 %r1, %r0;', 4, 4, 16, 'v4.u32', '{%r9, %r10, %r11, %r12}'),
  {
    name: 'a broadcast',
    body: 'mov.u64 %d2, cells; setp.eq.u32 %p0, %r0, 0; @%p0 st.shared.u32 [%d2], %r0; bar.sync 0; ld.shared.u32 %r9, [%d2];',
    counts: { sharedLoadWavefronts: 1, sharedLoadIdeal: 1, sharedStoreWavefronts: 1, sharedStoreIdeal: 1 },
  },
];

const others: readonly Counted[] = [
  {
    name: 'atomics by lane and matrix operations',
    body: `{ .reg .b32 %m<8>; .reg .f32 %g<4>; mov.u32 %m0, 0; mov.f32 %g0, 0f00000000; red.global.add.u32 [%d0], 1; setp.lt.u32 %p0, %r0, 5; @%p0 red.global.add.u32 [%d0], 1;
      mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%g0, %g1, %g2, %g3}, {%m0, %m0, %m0, %m0}, {%m0, %m0}, {%g0, %g0, %g0, %g0}; }`,
    counts: { atomics: 37, matrixOperations: 2 * 16 * 8 * 16 },
  },
];

const everything = [...instructions, ...coalescing, ...banks, ...others];

describe('counters', () => {
  const records = new Map<Counted, Record>();
  beforeAll(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gpusim-profile-'));
    const file = join(folder, 'profile.json');
    const launches = everything.map(
      (test): Launch => ({
        code: module(test.body),
        kernel: 'test',
        grid: String(test.grid ?? 1),
        block: String(test.block ?? 32),
        args: ['zero:8192'],
      }),
    );
    const outcomes = await runBatch(launches, {
      environment: { GPUSIM_PROFILE: file, GPUSIM_CHECK: 'memcheck,synccheck' },
    });
    expect(outcomes.map((outcome) => outcome.error)).toEqual(everything.map(() => undefined));
    const list = JSON.parse(readFileSync(file, 'utf8')) as Record[];
    everything.forEach((test, i) => {
      records.set(test, list[i] as Record);
    });
    rmSync(folder, { recursive: true });
  }, 120_000);

  it('the whole record is a function of the seed, however many threads run the blocks', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gpusim-counters-'));
    const spinning = `atom.global.add.u32 %r2, [%d0], 1; wait: ld.relaxed.gpu.global.u32 %r3, [%d0]; setp.lt.u32 %p0, %r3, 128; @%p0 bra wait;`;
    const bodies = [
      ...everything.map((test) => ({ ...test, seed: 3 })),
      { body: spinning, grid: 4, block: 32, seed: 3 },
    ];
    const profileOf = async (threads: number): Promise<unknown> => {
      const file = join(folder, `profile${threads}.json`);
      const launches = bodies.map(
        (test): Launch => ({
          code: module(test.body),
          kernel: 'test',
          grid: String((test.grid ?? 1) * 4),
          block: String(test.block ?? 32),
          seed: test.seed,
          args: ['zero:65536'],
        }),
      );
      const environment = {
        GPUSIM_PROFILE: file,
        GPUSIM_CHECK: 'memcheck',
        GPUSIM_THREADS: String(threads),
      };
      await runBatch(launches, { environment });
      return JSON.parse(readFileSync(file, 'utf8'));
    };
    const [first, second, third] = [await profileOf(1), await profileOf(1), await profileOf(3)];
    expect(first).toHaveLength(bodies.length);
    expect(second).toEqual(first);
    expect(third).toEqual(first);
    rmSync(folder, { recursive: true });
  });

  const read = (record: Record | undefined, path: string): unknown =>
    path.split('.').reduce<unknown>((value, key) => (value as Record | undefined)?.[key], record);

  it.each(everything.map((test) => [test.name, test] as const))('%s', (_, test) => {
    const record = records.get(test);
    const actual = Object.fromEntries(Object.keys(test.counts).map((path) => [path, read(record, path)]));
    expect(actual).toEqual(test.counts);
    expect(read(record, 'warpInstructions')).toBeGreaterThanOrEqual(warps(test) * 3);
  });
});
