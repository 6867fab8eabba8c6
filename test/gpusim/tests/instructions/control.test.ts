// SPDX-License-Identifier: Apache-2.0
// Branches, divergence, calls, barriers and special registers.
import { type KernelCase, kernelSuite, unpack } from '../cases.js';

/** One 32-bit result per thread of the whole grid, from what `expected` gives for its global index. */
function threads(name: string, ptx: string, expected: (index: number) => number, grid = 2, block = 96): KernelCase {
  return {
    name,
    ptx,
    launch: { grid: String(grid), block: String(block), args: [{ output: grid * block * 4 }] },
    judge: ([bytes]) => {
      const values = unpack(bytes as Uint8Array, 32).map(Number);
      const wrong = values.flatMap((value, i) =>
        value === expected(i) >>> 0 ? [] : [`thread ${i} gave ${value}, expected ${expected(i) >>> 0}`],
      );
      return wrong.slice(0, 4);
    },
  };
}

const entry = (body: string, before = ''): string => `${before}
.visible .entry test(.param .u64 out)
{ .reg .u32 %r<32>; .reg .u64 %d<16>; .reg .pred %p<8>; .reg .f32 %f<4>; .shared .align 16 .b8 cells[2048];
  ld.param.u64 %d0, [out]; mov.u32 %r0, %tid.x; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mad.lo.u32 %r3, %r1, %r2, %r0; mul.wide.u32 %d1, %r3, 4; add.u64 %d0, %d0, %d1;
  mov.u32 %r10, 0;
${body}
  st.global.u32 [%d0], %r10; ret; }`;

const collatz = (start: number): number => {
  let [n, steps] = [start, 0];
  for (; n !== 1; ++steps) n = n % 2 === 0 ? n / 2 : 3 * n + 1;
  return steps;
};
const fibonacci = (n: number): number => (n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2));

/** Forms of PTX text that nvcc does not write, but people and other compilers do. */
const dialects: KernelCase[] = [
  threads(
    'parameters and results of functions in registers, arguments that are constants, calls by some lanes',
    entry(
      `add.u32 %r4, %r3, 3; call (%r10, %r5), both, (%r4, 5); and.b32 %r6, %r0, 1; setp.eq.u32 %p0, %r6, 0;
  @%p0 call (%r5), unused, (%r4, %r5); add.u32 %r10, %r10, %r5;`,
      `.func (.reg .u32 product, .reg .u32 sum) both(.reg .u32 a, .reg .u32 b)
{ .reg .pred %p; mul.lo.u32 product, a, b; add.u32 sum, a, b; setp.gt.u32 %p, a, 50; @%p ret; add.u32 sum, sum, 1000; ret; }
.func (.reg .u32 result) unused(.reg .u32 first, .reg .u32 ignored) { .reg .u32 %t; mov.u32 %t, 7; mul.lo.u32 result, first, %t; }
`,
    ),
    (i) => {
      const a = i + 3;
      const sum = a + 5 + (a > 50 ? 0 : 1000);
      return a * 5 + (i % 2 === 0 ? a * 7 : sum);
    },
  ),
  threads(
    'constant expressions',
    entry(`{ .shared .u32 words[32]; .reg .u32 %a; mov.u32 %a, words+4*2; mov.u32 %r4, words; sub.u32 %a, %a, %r4;
  mov.u32 %r10, (3 + 4) * 2 - 10 / 3; add.u32 %r10, %r10, -(1 << 4) + 0x100 % 7; add.u32 %r10, %r10, ~0xF & 0xFF | 3 ^ 1;
  add.u32 %r10, %r10, 3 > 2 && 1 << 2 >= 4 ? 100 : 200 | 7; add.u32 %r10, %r10, 5 == 4 || 0 != 0;
  add.u32 %r10, %r10, %a; mul.lo.u32 %r5, %r3, 12 - 5 - 2; add.u32 %r10, %r10, %r5; add.u32 %r10, %r10, -16 >> 2; }`),
    (i) => 11 + (-16 + 4) + (0xf0 | 2) + 100 + 8 + i * 5 - 4,
  ),
  threads(
    'registers of several components',
    entry(`{ .reg .v4 .u32 v, w<2>; .reg .v2 .u64 pair; .shared .align 16 .b8 place[4096]; .reg .u32 %a; mov.u32 %a, place; mad.lo.u32 %a, %r0, 16, %a;
  mov.u32 v.x, %r3; add.u32 v.y, %r3, 1; add.u32 v.z, %r3, 2; add.u32 v.w, %r3, 3; st.shared.v4.u32 [%a], v;
  ld.shared.v4.u32 w1, [%a]; mov.u64 pair.x, 5; mov.u64 pair.y, 6; add.u64 pair.x, pair.x, pair.y; cvt.u32.u64 %r4, pair.x;
  mul.lo.u32 %r10, w1.y, w1.a; add.u32 %r10, %r10, w1.r; sub.u32 %r10, %r10, w1.b; add.u32 %r10, %r10, %r4; }`),
    (i) => (i + 1) * (i + 3) + i - (i + 2) + 11,
  ),
];

const branches: KernelCase[] = [
  threads(
    'a loop whose trip count differs by lane',
    entry(`add.u32 %r4, %r3, 1;
loop: setp.eq.u32 %p0, %r4, 1; @%p0 bra done; and.b32 %r5, %r4, 1; setp.eq.u32 %p1, %r5, 0; @%p1 bra even; mad.lo.u32 %r4, %r4, 3, 1; bra next;
even: shr.u32 %r4, %r4, 1;
next: add.u32 %r10, %r10, 1; bra loop;
done:`),
    (i) => collatz(i + 1),
  ),
  threads(
    'nested divergence with break and continue, reconverging before a shuffle',
    entry(`mov.u32 %r4, 0; and.b32 %r5, %r0, 31;
outer: setp.ge.u32 %p0, %r4, 8; @%p0 bra done; add.u32 %r4, %r4, 1; and.b32 %r6, %r4, %r5; setp.eq.u32 %p1, %r6, 0; @%p1 bra outer; mov.u32 %r7, 0;
inner: add.u32 %r7, %r7, 1; add.u32 %r10, %r10, %r7; setp.gt.u32 %p2, %r10, 40; @%p2 bra done; setp.lt.u32 %p3, %r7, %r6; @%p3 bra inner; bra outer;
done: shfl.sync.idx.b32 %r11, %r10, 5, 31, -1; add.u32 %r10, %r10, %r11;`),
    (i) => {
      const run = (lane: number): number => {
        let sum = 0;
        for (let a = 1; a <= 8; ++a) {
          for (let b = 1; b <= (a & lane); ++b) {
            sum += b;
            if (sum > 40) return sum;
          }
        }
        return sum;
      };
      return run(i % 32) + run(5);
    },
  ),
  threads(
    'brx.idx through a table, fall-through included',
    entry(`and.b32 %r4, %r0, 3;
{ targets: .branchtargets zero, one, two, three; brx.idx %r4, targets; }
zero: add.u32 %r10, %r10, 1; bra join;
one: add.u32 %r10, %r10, 10;
two: add.u32 %r10, %r10, 100; bra.uni join;
three: add.u32 %r10, %r10, 1000;
join: add.u32 %r10, %r10, %r3;`),
    (i) => ([1, 110, 100, 1000][(i % 96) % 4] as number) + i,
  ),
  threads(
    'guards and negated guards on arithmetic, memory, mov and selp',
    entry(`and.b32 %r4, %r0, 1; setp.eq.u32 %p0, %r4, 1; mov.u64 %d2, cells; mul.wide.u32 %d3, %r0, 4; add.u64 %d2, %d2, %d3; st.shared.u32 [%d2], 5; @%p0 st.shared.u32 [%d2], %r0;
  mov.u32 %r10, 77; @!%p0 ld.shared.u32 %r10, [%d2]; @%p0 add.u32 %r10, %r10, %r0; @!%p0 mul.lo.u32 %r10, %r10, 2;`),
    (i) => (i % 2 === 1 ? 77 + (i % 96) : 10),
  ),
  threads(
    'early exits of single lanes, whole warps, by ret and exit; the rest meet at a barrier',
    entry(`st.global.u32 [%d0], 9; setp.lt.u32 %p0, %r0, 32; @%p0 exit; and.b32 %r4, %r0, 7; setp.eq.u32 %p1, %r4, 3; @%p1 ret;
  bar.sync 0; activemask.b32 %r5; popc.b32 %r10, %r5;`),
    (i) => (i % 96 < 32 || i % 8 === 3 ? 9 : 28),
  ),
];

/** `trap` stops the launch, unless its guard holds nobody back from it. */
const traps: KernelCase[] = [
  threads('a trap that no lane reaches', entry('setp.gt.u32 %p0, %r0, 5000; @%p0 trap; mov.u32 %r10, %r3;'), (i) => i),
  {
    name: 'trap by one lane',
    ptx: entry('setp.eq.u32 %p0, %r0, 7; @%p0 trap;'),
    launch: { args: [{ output: 128 }] },
    error: 'CUDA_ERROR_LAUNCH_FAILED',
  },
  { name: 'brkpt', ptx: entry('brkpt;'), launch: { args: [{ output: 128 }] }, error: 'CUDA_ERROR_LAUNCH_FAILED' },
];

/** Memory that a thread takes at run time. */
const allocations: KernelCase[] = [
  threads(
    'alloca of a size that differs by lane, stacksave and stackrestore: the same place again',
    entry(`and.b32 %r4, %r0, 3; add.u32 %r4, %r4, 1; mul.wide.u32 %d2, %r4, 16; stacksave.u64 %d3; alloca.u64 %d4, %d2, 16; st.local.u32 [%d4], %r3; mul.wide.u32 %d5, %r4, 16; add.u64 %d5, %d5, %d4; st.local.u32 [%d5+-4], %r0;
  ld.local.u32 %r10, [%d4]; ld.local.u32 %r5, [%d5+-4]; add.u32 %r10, %r10, %r5; stackrestore.u64 %d3; alloca.u64 %d6, %d2, 16; setp.eq.u64 %p0, %d6, %d4; selp.u32 %r6, 1000, 0, %p0; add.u32 %r10, %r10, %r6;`),
    (i) => i + (i % 96) + 1000,
  ),
  threads(
    'malloc and free in a kernel: a block of its own for every thread',
    entry(
      `add.u32 %r4, %r0, 8; cvt.u64.u32 %d2, %r4; { .param .b64 size; .param .b64 result; st.param.b64 [size], %d2; call (result), malloc, (size); ld.param.b64 %d3, [result]; }
  st.u32 [%d3], %r3; st.u32 [%d3+4], %r0; bar.sync 0; ld.u32 %r10, [%d3]; ld.u32 %r5, [%d3+4]; add.u32 %r10, %r10, %r5; { .param .b64 block; st.param.b64 [block], %d3; call free, (block); }`,
      '.extern .func (.param .b64 result) malloc(.param .b64 size); .extern .func free(.param .b64 block);',
    ),
    (i) => i + (i % 96),
  ),
];

/** What sm_90 adds to control: no effect that a program can see, and one lane of the mask elected. */
const later: KernelCase[] = [
  {
    ...threads(
      'griddepcontrol.wait and .launch_dependents',
      entry('griddepcontrol.launch_dependents; griddepcontrol.wait; mov.u32 %r10, %r3;'),
      (i) => i,
    ),
    target: 'sm_90',
  },
  {
    name: 'elect.sync elects one lane of the mask, the same one for all',
    target: 'sm_90',
    ptx: entry(`mov.u32 %r10, 99; and.b32 %r4, %r0, 31; setp.lt.u32 %p0, %r4, 7; @%p0 bra join; elect.sync %r5|%p1, 0xffffff80; selp.u32 %r6, 256, 0, %p1; add.u32 %r10, %r5, %r6;
join:`),
    launch: { args: [{ output: 128 }] },
    judge: ([bytes]) => {
      const values = unpack(bytes as Uint8Array, 32)
        .map(Number)
        .slice(7);
      const leaders = values.flatMap((value, i) => (value >= 256 ? [i + 7] : []));
      const same = values.every((value) => value % 256 === leaders[0]);
      return leaders.length === 1 && same ? [] : [`lanes 7 to 31 gave ${values}`];
    },
  },
];

const calls: KernelCase[] = [
  threads(
    'a call with two parameters and a result, and divergent calls',
    entry(
      `{ .param .b32 a; .param .b32 b; .param .b32 result; st.param.b32 [a], %r3; st.param.b32 [b], 7; call.uni (result), scale, (a, b); ld.param.b32 %r10, [result]; }
  and.b32 %r4, %r0, 1; setp.eq.u32 %p0, %r4, 0; @%p0 bra skip;
  { .param .b32 a; .param .b32 b; .param .b32 result; st.param.b32 [a], %r10; st.param.b32 [b], %r0; call (result), scale, (a, b); ld.param.b32 %r10, [result]; }
skip:`,
      '.func (.param .b32 result) scale(.param .b32 a, .param .b32 b) { .reg .u32 %r<4>; ld.param.b32 %r0, [a]; ld.param.b32 %r1, [b]; mad.lo.u32 %r2, %r0, %r1, 1; st.param.b32 [result], %r2; ret; }',
    ),
    (i) => (i % 2 === 0 ? i * 7 + 1 : (i * 7 + 1) * (i % 96) + 1),
  ),
  threads(
    'recursion with a different depth in each lane',
    entry(
      '{ .param .b32 n; .param .b32 result; and.b32 %r4, %r0, 7; st.param.b32 [n], %r4; call (result), fib, (n); ld.param.b32 %r10, [result]; }',
      `.visible .func (.param .b32 result) fib(.param .b32 n)
{ .reg .u32 %r<8>; .reg .pred %p; ld.param.b32 %r0, [n]; setp.lt.u32 %p, %r0, 2; mov.u32 %r5, %r0; @%p bra done;
  sub.u32 %r1, %r0, 1; { .param .b32 m; .param .b32 q; st.param.b32 [m], %r1; call (q), fib, (m); ld.param.b32 %r3, [q]; }
  sub.u32 %r2, %r0, 2; { .param .b32 m; .param .b32 q; st.param.b32 [m], %r2; call (q), fib, (m); ld.param.b32 %r4, [q]; }
  add.u32 %r5, %r3, %r4;
done: st.param.b32 [result], %r5; ret; }`,
    ),
    (i) => fibonacci((i % 96) % 8),
    1,
    64,
  ),
  threads(
    'indirect calls through a table of functions, a different one per lane',
    entry(
      `and.b32 %r4, %r0, 1; mul.wide.u32 %d2, %r4, 8; mov.u64 %d3, functions; add.u64 %d3, %d3, %d2; ld.global.u64 %d4, [%d3];
  { prototype: .callprototype (.param .b32 _) _ (.param .b32 _); .param .b32 a; .param .b32 result; st.param.b32 [a], %r3; call (result), %d4, (a), prototype; ld.param.b32 %r10, [result]; }`,
      `.visible .func (.param .b32 result) twice(.param .b32 a) { .reg .u32 %r<2>; ld.param.b32 %r0, [a]; shl.b32 %r1, %r0, 1; st.param.b32 [result], %r1; ret; }
.visible .func (.param .b32 result) square(.param .b32 a) { .reg .u32 %r<2>; ld.param.b32 %r0, [a]; mul.lo.u32 %r1, %r0, %r0; st.param.b32 [result], %r1; ret; }
.global .align 8 .u64 functions[2] = {twice, square};`,
    ),
    (i) => (i % 2 === 0 ? i * 2 : i * i),
  ),
  threads(
    "a struct by value through a call, and a pointer to the caller's local memory",
    entry(
      `.local .align 8 .b8 frame[16]; mov.u64 %d2, frame; cvta.local.u64 %d3, %d2; st.local.u32 [%d2+4], 5;
  { .param .align 8 .b8 s[16]; .param .align 8 .b8 result[8]; st.param.u32 [s], %r3; st.param.b64 [s+8], %d3; call.uni (result), touch, (s); ld.param.v2.u32 {%r5, %r6}, [result]; }
  ld.local.u32 %r7, [%d2+4]; mad.lo.u32 %r10, %r7, 1000, %r5; add.u32 %r10, %r10, %r6;`,
      `.func (.param .align 8 .b8 result[8]) touch(.param .align 8 .b8 s[16])
{ .reg .u32 %r<4>; .reg .u64 %d<2>; ld.param.u32 %r0, [s]; ld.param.b64 %d0, [s+8]; ld.u32 %r1, [%d0+4]; add.u32 %r2, %r1, 1; st.u32 [%d0+4], %r2; st.param.v2.u32 [result], {%r0, %r1}; ret; }`,
    ),
    (i) => 6000 + i + 5,
  ),
];

const barriers: KernelCase[] = [
  threads(
    'bar.sync in a loop of a tree reduction',
    entry(`mov.u64 %d2, cells; mul.wide.u32 %d3, %r0, 4; add.u64 %d3, %d2, %d3; st.shared.u32 [%d3], %r3; mov.u32 %r4, 64;
loop: bar.sync 0; setp.ge.u32 %p0, %r0, %r4; @%p0 bra skip; mul.wide.u32 %d4, %r4, 4; add.u64 %d4, %d3, %d4; ld.shared.u32 %r5, [%d4]; ld.shared.u32 %r6, [%d3]; add.u32 %r6, %r6, %r5; st.shared.u32 [%d3], %r6;
skip: shr.u32 %r4, %r4, 1; setp.ne.u32 %p1, %r4, 0; @%p1 bra loop; bar.sync 0; ld.shared.u32 %r10, [%d2];`),
    (i) => Math.floor(i / 128) * 128 * 128 + (127 * 128) / 2,
    2,
    128,
  ),
  threads(
    'bar.red.popc, .and and .or',
    entry(`and.b32 %r4, %r0, 3; setp.eq.u32 %p0, %r4, 1; bar.red.popc.u32 %r10, 0, %p0; setp.lt.u32 %p1, %r0, 128; bar.red.and.pred %p2, 0, %p1; bar.red.or.pred %p3, 0, %p0; bar.red.and.pred %p4, 0, !%p0;
  selp.u32 %r5, 1000, 0, %p2; add.u32 %r10, %r10, %r5; selp.u32 %r5, 2000, 0, %p3; add.u32 %r10, %r10, %r5; selp.u32 %r5, 4000, 0, %p4; add.u32 %r10, %r10, %r5;`),
    () => 3024,
  ),
  threads(
    'bar.arrive and bar.sync with a thread count: warps 0 and 1 produce, warp 2 consumes',
    entry(`mov.u64 %d2, cells; mul.wide.u32 %d3, %r0, 4; add.u64 %d3, %d2, %d3; setp.ge.u32 %p0, %r0, 64; @%p0 bra consume; mul.lo.u32 %r4, %r0, 3; st.shared.u32 [%d3], %r4; bar.arrive 1, 96; mov.u32 %r10, %r4; bra.uni join;
consume: bar.sync 1, 96; ld.shared.u32 %r5, [%d3+-256]; ld.shared.u32 %r6, [%d3+-128]; add.u32 %r10, %r5, %r6;
join:`),
    (i) => (i % 96 < 64 ? (i % 96) * 3 : ((i % 96) - 64) * 3 + ((i % 96) - 32) * 3),
  ),
  threads(
    'two named barriers for two halves of a block; barrier.sync, barrier.cta.sync.aligned',
    entry(`mov.u64 %d2, cells; mul.wide.u32 %d3, %r0, 4; add.u64 %d4, %d2, %d3; st.shared.u32 [%d4], %r3; setp.lt.u32 %p0, %r0, 64; @%p0 bra low; barrier.sync 3, 64; bra.uni join;
low: barrier.cta.sync.aligned 2, 64;
join: xor.b32 %r4, %r0, 63; mul.wide.u32 %d3, %r4, 4; add.u64 %d4, %d2, %d3; ld.shared.u32 %r10, [%d4]; fence.acq_rel.cta; fence.sc.gpu; membar.cta; membar.gl; membar.sys; nanosleep.u32 20;`),
    (i) => Math.floor(i / 128) * 128 + ((i % 128) ^ 63),
    2,
    128,
  ),
];

const special: KernelCase[] = [
  {
    name: 'index registers in three dimensions',
    ptx: `.visible .entry test(.param .u64 out)
{ .reg .u32 %r<24>; .reg .u64 %d<4>; ld.param.u64 %d0, [out];
  mov.u32 %r0, %tid.x; mov.u32 %r1, %tid.y; mov.u32 %r2, %tid.z; mov.u32 %r3, %ntid.x; mov.u32 %r4, %ntid.y; mov.u32 %r5, %ntid.z; mov.u32 %r6, %ctaid.x; mov.u32 %r7, %ctaid.y; mov.u32 %r8, %ctaid.z; mov.u32 %r9, %nctaid.x; mov.u32 %r10, %nctaid.y; mov.u32 %r11, %nctaid.z;
  mad.lo.u32 %r12, %r2, %r4, %r1; mad.lo.u32 %r12, %r12, %r3, %r0; mad.lo.u32 %r13, %r8, %r10, %r7; mad.lo.u32 %r13, %r13, %r9, %r6; mul.lo.u32 %r14, %r3, %r4; mul.lo.u32 %r14, %r14, %r5; mad.lo.u32 %r15, %r13, %r14, %r12; mul.wide.u32 %d1, %r15, 16; add.u64 %d0, %d0, %d1;
  mov.u32 %r16, %laneid; mov.u32 %r17, %warpid; mov.u32 %r18, WARP_SZ; shl.b32 %r17, %r17, 8; or.b32 %r16, %r16, %r17; st.global.v4.u32 [%d0], {%r12, %r13, %r14, %r16}; ret; }`,
    launch: { grid: '3,2,2', block: '5,4,3', args: [{ output: 12 * 60 * 16 }] },
    judge: ([bytes]) => {
      const words = unpack(bytes as Uint8Array, 32).map(Number);
      return Array.from({ length: 720 }, (_, i) => {
        const thread = i % 60;
        const wanted = [thread, Math.floor(i / 60), 60, (thread % 32) | (Math.floor(thread / 32) << 8)];
        return wanted.every((value, j) => value === words[i * 4 + j])
          ? ''
          : `thread ${i}: ${words.slice(i * 4, i * 4 + 4)}`;
      }).filter((text) => text !== '');
    },
  },
  threads(
    'registers that change while running are converted as others are; those for tools and graphs are zero',
    entry(`cvt.u64.u32 %d2, %clock; shr.u64 %d3, %d2, 32; cvt.u32.u64 %r10, %d3; { .reg .u16 %h<2>; cvt.u16.u32 %h0, %envreg7; cvt.u16.u32 %h1, %reserved_smem_offset_1;
  or.b16 %h0, %h0, %h1; cvt.u32.u16 %r4, %h0; } add.u32 %r10, %r10, %r4; cvt.u64.u32 %d4, %pm3; mov.b64 %d5, %current_graph_exec; add.u64 %d4, %d4, %d5; cvt.u32.u64 %r4, %d4; add.u32 %r10, %r10, %r4;
  membar.proxy.alias; fence.proxy.alias; add.u32 %r10, %r10, %r3;`),
    (i) => i,
  ),
  threads(
    'clock and globaltimer do not run backwards; smid is below nsmid; shared sizes',
    entry(`mov.u64 %d2, %clock64; mov.u32 %r4, %clock; mov.u64 %d3, %globaltimer; nanosleep.u32 10; mov.u64 %d4, %clock64; mov.u64 %d5, %globaltimer; setp.ge.u64 %p0, %d4, %d2; setp.ge.u64 %p1, %d5, %d3; mov.u32 %r5, %smid; mov.u32 %r6, %nsmid; setp.lt.u32 %p2, %r5, %r6;
  mov.u32 %r7, %dynamic_smem_size; setp.eq.u32 %p3, %r7, 0; mov.u32 %r8, %nwarpid; setp.ge.u32 %p4, %r8, 3; and.pred %p0, %p0, %p1; and.pred %p2, %p2, %p3; and.pred %p0, %p0, %p2; and.pred %p0, %p0, %p4; selp.u32 %r10, 1, 0, %p0; pmevent 3;`),
    () => 1,
  ),
];

kernelSuite('other ways to write PTX', dialects);
kernelSuite('branches', branches);
kernelSuite('traps', traps);
kernelSuite('allocations', allocations);
kernelSuite('control of sm_90', later);
kernelSuite('calls', calls);
kernelSuite('barriers', barriers);
kernelSuite('special registers', special);
