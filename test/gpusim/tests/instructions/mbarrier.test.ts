// SPDX-License-Identifier: Apache-2.0
// mbarrier objects as sm_80 has them: arrivals, waits by state and by parity, phases, drops, counts, and copies that arrive.
import { type KernelCase, kernelSuite, pack, unpack } from '../cases.js';

const threads = 64;
const numbers = Array.from({ length: threads }, (_, i) => BigInt(3 * i + 1));

/** 64 threads; %r0 is the thread, %d0 in, %d1 out, both advanced to the thread's own element. The object `bar` is made by thread 0. */
const kernel = (count: number, body: string): string => `.visible .entry test(.param .u64 in, .param .u64 out)
{ .reg .u32 %r<12>; .reg .u64 %d<8>, %state; .reg .pred %p<4>; .shared .align 8 .b64 bar; .shared .align 16 .b8 cells[${threads * 4}];
ld.param.u64 %d0, [in]; ld.param.u64 %d1, [out]; mov.u32 %r0, %tid.x; mul.wide.u32 %d2, %r0, 4; add.u64 %d0, %d0, %d2; add.u64 %d1, %d1, %d2;
mul.lo.u32 %r1, %r0, 4; mov.u32 %r2, cells; add.u32 %r3, %r2, %r1; sub.u32 %r4, ${(threads - 1) * 4}, %r1; add.u32 %r4, %r2, %r4; mov.u32 %r9, bar;
setp.eq.u32 %p0, %r0, 0; @%p0 mbarrier.init.shared.b64 [%r9], ${count}; bar.sync 0;
${body}
ret; }`;
const waitState = (label: string): string =>
  `${label}: mbarrier.test_wait.shared.b64 %p1, [%r9], %state; @!%p1 bra ${label};`;
const waitParity = (label: string, parity: string): string =>
  `${label}: mbarrier.test_wait.parity.shared.b64 %p1, [%r9], ${parity}; @!%p1 bra ${label};`;

const is = (wanted: (i: number) => bigint): KernelCase['judge'] => {
  return ([bytes]) =>
    unpack(bytes as Uint8Array, 32)
      .flatMap((value, i) => (value === wanted(i) ? [] : [`thread ${i} has ${value}, expected ${wanted(i)}`]))
      .slice(0, 4);
};
const at = (i: number): bigint => numbers[i] as bigint;
const launch = { block: String(threads), args: [{ input: pack(numbers, 32) }, { output: threads * 4 }] };

const cases: KernelCase[] = [
  {
    name: 'arrive and wait for the state order shared memory between warps',
    ptx: kernel(
      threads,
      `ld.global.u32 %r5, [%d0]; st.shared.u32 [%r3], %r5; mbarrier.arrive.shared.b64 %state, [%r9];
${waitState('wait')} ld.shared.u32 %r5, [%r4]; st.global.u32 [%d1], %r5;`,
    ),
    launch,
    judge: is((i) => at(threads - 1 - i)),
  },
  {
    name: 'the parity of three phases',
    ptx: kernel(
      threads,
      `ld.global.u32 %r5, [%d0]; st.shared.u32 [%r3], %r5; mov.u32 %r6, 0;
next: mbarrier.arrive.release.cta.shared.b64 %state, [%r9]; and.b32 %r7, %r6, 1; ${waitParity('even', '%r7')} ld.shared.u32 %r8, [%r4];
mbarrier.arrive.shared.b64 %state, [%r9]; xor.b32 %r7, %r7, 1; ${waitParity('odd', '%r7')}
add.u32 %r8, %r8, 1; st.shared.u32 [%r3], %r8; add.u32 %r6, %r6, 2; setp.lt.u32 %p2, %r6, 6; @%p2 bra next;
st.global.u32 [%d1], %r8;`,
    ),
    launch,
    // Three exchanges between i and 63 - i, one more each time.
    judge: is((i) => at(threads - 1 - i) + 3n),
  },
  {
    name: 'counts, drops and what is pending',
    // 64 of 70 arrive, one drops the other six, so that the next phase takes 64.
    ptx: kernel(
      threads + 6,
      `mbarrier.arrive.noComplete.shared.b64 %state, [%r9], 1; bar.sync 0; @%p0 mbarrier.arrive_drop.noComplete.shared.b64 %state, [%r9], 5; @%p0 mbarrier.arrive_drop.shared.b64 %state, [%r9]; bar.sync 0;
mbarrier.test_wait.parity.shared.b64 %p1, [%r9], 0; selp.u32 %r5, 1000, 0, %p1; mbarrier.arrive.shared.b64 %state, [%r9]; ${waitState('wait')}
mbarrier.pending_count.b64 %r6, %state; setp.gt.u32 %p2, %r6, ${threads}; @%p2 add.u32 %r5, %r5, 7; setp.eq.u32 %p2, %r6, 0; @%p2 add.u32 %r5, %r5, 70;
bar.sync 0; @%p0 mbarrier.inval.shared.b64 [%r9]; st.global.u32 [%d1], %r5;`,
    ),
    launch,
    judge: is(() => 1000n),
  },
  {
    name: 'cp.async.mbarrier.arrive tells of copies',
    ptx: kernel(
      threads,
      `cp.async.ca.shared.global [%r3], [%d0], 4; cp.async.mbarrier.arrive.noinc.shared.b64 [%r9];
${waitParity('wait', '0')} ld.shared.u32 %r5, [%r4]; st.global.u32 [%d1], %r5;`,
    ),
    launch,
    judge: is((i) => at(threads - 1 - i)),
  },
  {
    name: 'cp.async.mbarrier.arrive without .noinc leaves the count as it was',
    ptx: kernel(
      threads,
      `cp.async.ca.shared.global [%r3], [%d0], 4; cp.async.mbarrier.arrive.shared.b64 [%r9]; mbarrier.arrive.shared.b64 %state, [%r9];
${waitState('wait')} ld.shared.u32 %r5, [%r4]; st.global.u32 [%d1], %r5;`,
    ),
    launch,
    judge: is((i) => at(threads - 1 - i)),
  },
];

kernelSuite('mbarrier', cases);
