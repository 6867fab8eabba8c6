// SPDX-License-Identifier: Apache-2.0
// Extending loads and narrow stores, cache policies, generic addresses, module variables, parameters and asynchronous copies.
import { type Case, exactly, type KernelCase, kernelSuite, pack, suite, unpack } from '../cases.js';
import type { Kind } from '../samples.js';

const ptxType = (signed: boolean, width: number): string => `${signed ? 's' : 'u'}${width}`;

/** A narrow load extends into a wider register as its type says; a narrow store keeps the low bits. */
const extending: Case[] = [8, 16, 32].flatMap((width) =>
  [32, 64]
    .filter((register) => register > width)
    .flatMap((register) =>
      ['global', 'shared', 'local'].flatMap((space) =>
        [true, false].map((signed): Case => {
          const type = ptxType(signed, width);
          const place = {
            global: `ld.param.u64 %u0, [out0]; mul.wide.u32 %u1, %index, ${register / 8}; add.u64 %u0, %u0, %u1;`,
            shared:
              '.shared .align 8 .b8 cells[1024]; mov.u64 %u0, cells; mov.u32 %t0, %tid.x; mul.wide.u32 %u1, %t0, 8; add.u64 %u0, %u0, %u1;',
            local: '.local .align 8 .b8 cells[8]; mov.u64 %u0, cells;',
          }[space];
          return {
            name: `st.${space}.${type} from and ld.${space}.${type} into a ${register}-bit register`,
            inputs: [`b${register}` as Kind],
            outputs: [register],
            body: `${place} st.${space}.${type} [%u0], %a; ld.${space}.${type} %x, [%u0];`,
            judge: exactly((a) =>
              BigInt.asUintN(register, signed ? BigInt.asIntN(width, a) : BigInt.asUintN(width, a)),
            ),
          };
        }),
      ),
    ),
);

const policies: Case[] = [
  {
    name: 'createpolicy with cache hints on ld, st and prefetches',
    inputs: ['b32'],
    outputs: [32, 32],
    body: `createpolicy.fractional.L2::evict_first.b64 %u3, 1.0; createpolicy.fractional.L2::evict_last.L2::evict_unchanged.b64 %u4, 0.5;
      ld.param.u64 %u0, [in0]; mul.wide.u32 %u1, %index, 4; add.u64 %u0, %u0, %u1; prefetch.global.L2 [%u0]; prefetch.global.L1 [%u0]; prefetchu.L1 [%u0]; and.b64 %u2, %u0, -128; applypriority.global.L2::evict_normal [%u2], 128;
      ld.global.L2::cache_hint.b32 %x, [%u0], %u3;
      ld.param.u64 %u0, [out1]; add.u64 %u0, %u0, %u1; st.global.L2::cache_hint.b32 [%u0], %x, %u4; ld.global.b32 %y, [%u0];`,
    judge: exactly((a) => [a, a]),
  },
];

const generic: Case[] = [
  ...['global', 'shared', 'local'].map(
    (space): Case => ({
      name: `generic ld and st on ${space} memory, cvta both ways, isspacep`,
      inputs: ['b32', 'b32'],
      outputs: [32, 32, 32],
      body: `${
        {
          global:
            'ld.param.u64 %u0, [out0]; mul.wide.u32 %u1, %index, 4; add.u64 %u0, %u0, %u1; cvta.global.u64 %u2, %u0;',
          shared:
            '.shared .align 4 .b8 cells[512]; mov.u64 %u0, cells; mov.u32 %t0, %tid.x; mul.wide.u32 %u1, %t0, 4; add.u64 %u0, %u0, %u1; cvta.shared.u64 %u2, %u0;',
          local: '.local .align 4 .b8 cells[4]; mov.u64 %u0, cells; cvta.local.u64 %u2, %u0;',
        }[space]
      }
      st.u32 [%u2], %a; cvta.to.${space}.u64 %u3, %u2; ld.${space}.u32 %x, [%u3]; st.${space}.u32 [%u0], %b; ld.u32 %y, [%u2];
      mov.u32 %z, 0; isspacep.global %p, %u2; selp.u32 %t1, 1, 0, %p; or.b32 %z, %z, %t1; isspacep.shared %p, %u2; selp.u32 %t1, 2, 0, %p; or.b32 %z, %z, %t1;
      isspacep.local %p, %u2; selp.u32 %t1, 4, 0, %p; or.b32 %z, %z, %t1;`,
      judge: exactly((a, b) => [a, b, { global: 1n, shared: 2n, local: 4n }[space] as bigint]),
    }),
  ),
];

suite('loads and stores', [...extending, ...policies, ...generic]);

const wordsAre =
  (wanted: readonly bigint[], width = 32): KernelCase['judge'] =>
  ([bytes]) => {
    const actual = unpack(bytes as Uint8Array, width);
    return wanted.flatMap((value, i) =>
      value === actual[i] ? [] : [`word ${i} is 0x${actual[i]?.toString(16)}, expected 0x${value.toString(16)}`],
    );
  };

const range = (count: number, f: (i: bigint) => bigint): bigint[] =>
  Array.from({ length: count }, (_, i) => f(BigInt(i)));

const variables: KernelCase[] = [
  {
    name: 'initialised const, global and pointer variables, with offsets in addresses',
    ptx: `.const .align 4 .s32 table[5] = {10, 0x20, 30, -1}; .global .align 4 .b32 words[4] = {7, 8, 9};
.global .align 8 .u64 pointers[2] = {generic(words)+4, words}; .global .align 1 .b8 letters[4] = {65, 66}; .global .f32 number = 0f40490FDB; .const .align 8 .f64 ratio = 0d3FF8000000000000;
.visible .entry test(.param .u64 out)
{ .reg .u32 %r<20>; .reg .u64 %d<8>; ld.param.u64 %d0, [out];
  ld.const.u32 %r0, [table+4]; mov.u64 %d1, table; ld.const.u32 %r1, [%d1+12]; ld.const.u32 %r2, [%d1+16];
  ld.global.u64 %d2, [pointers]; ld.u32 %r3, [%d2]; ld.global.u64 %d3, [pointers+8]; ld.global.u32 %r4, [%d3]; ld.global.u8 %r5, [letters+1]; ld.global.u8 %r6, [letters+3];
  ld.global.b32 %r7, [number]; ld.const.u64 %d4, [ratio]; cvta.const.u64 %d5, %d1; ld.u32 %r8, [%d5]; ld.global.u32 %r9, [words+12];
  st.global.v4.u32 [%d0], {%r0, %r1, %r2, %r3}; st.global.v4.u32 [%d0+16], {%r4, %r5, %r6, %r7}; st.global.v2.u32 [%d0+32], {%r8, %r9}; st.global.u64 [%d0+40], %d4; ret; }`,
    launch: { block: '1', args: [{ output: 48 }] },
    judge: wordsAre([0x20n, 0xffffffffn, 0n, 8n, 7n, 66n, 0n, 0x40490fdbn, 10n, 0n, 0n, 0x3ff80000n]),
  },
  {
    name: 'parameters of every width, a struct with vector loads, and its generic address',
    ptx: `.visible .entry test(.param .u64 out, .param .u8 a, .param .u16 b, .param .u32 c, .param .align 16 .b8 s[24], .param .f64 e)
{ .reg .u32 %r<12>; .reg .u64 %d<8>; .reg .u16 %h<2>; ld.param.u64 %d0, [out]; ld.param.s8 %r0, [a]; ld.param.u16 %r1, [b]; ld.param.u32 %r2, [c];
  ld.param.v4.u32 {%r3, %r4, %r5, %r6}, [s]; ld.param.u8 %r7, [s+17]; ld.param.s16 %r8, [s+18]; mov.u64 %d2, s; cvta.param.u64 %d3, %d2; ld.u32 %r9, [%d3+20]; ld.param.b64 %d1, [e];
  st.global.v4.u32 [%d0], {%r0, %r1, %r2, %r3}; st.global.v4.u32 [%d0+16], {%r4, %r5, %r6, %r7}; st.global.v2.u32 [%d0+32], {%r8, %r9}; st.global.u64 [%d0+40], %d1; ret; }`,
    launch: {
      block: '1',
      args: [
        { output: 48 },
        'u8:254',
        'u16:65535',
        'u32:0xdeadbeef',
        'bytes:01000000020000000300000004000000aabbfeff78563412',
        'f64:1.5',
      ],
    },
    judge: wordsAre([
      0xfffffffen,
      0xffffn,
      0xdeadbeefn,
      1n,
      2n,
      3n,
      4n,
      0xbbn,
      0xfffffffen,
      0x12345678n,
      0n,
      0x3ff80000n,
    ]),
  },
  {
    name: 'static and dynamic shared memory do not overlap; reversal across a barrier',
    ptx: `.extern .shared .align 16 .b8 dynamic[];
.visible .entry test(.param .u64 out)
{ .reg .u32 %r<8>; .reg .u64 %d<8>; .shared .align 4 .b8 fixed[256]; ld.param.u64 %d0, [out]; mov.u32 %r0, %tid.x; mul.wide.u32 %d1, %r0, 4;
  mov.u64 %d2, dynamic; add.u64 %d2, %d2, %d1; mov.u64 %d3, fixed; add.u64 %d3, %d3, %d1; st.shared.u32 [%d2], %r0; add.u32 %r1, %r0, 1000; st.shared.u32 [%d3], %r1; bar.sync 0;
  xor.b32 %r2, %r0, 63; mul.wide.u32 %d4, %r2, 4; mov.u64 %d2, dynamic; add.u64 %d2, %d2, %d4; ld.shared.u32 %r3, [%d2]; mov.u64 %d3, fixed; add.u64 %d3, %d3, %d4; ld.shared.u32 %r4, [%d3];
  shl.b32 %r4, %r4, 16; or.b32 %r3, %r3, %r4; add.u64 %d0, %d0, %d1; st.global.u32 [%d0], %r3; ret; }`,
    launch: { block: '64', shared: 256, args: [{ output: 256 }] },
    judge: wordsAre(range(64, (i) => (63n - i) | ((1063n - i) << 16n))),
  },
  {
    name: 'local arrays indexed at run time',
    ptx: `.visible .entry test(.param .u64 out)
{ .reg .u32 %r<8>; .reg .u64 %d<8>; .reg .pred %p; .local .align 16 .b8 stack[64]; ld.param.u64 %d0, [out]; mov.u32 %r0, %tid.x; mov.u32 %r1, 0; mov.u64 %d1, stack;
fill: mul.wide.u32 %d2, %r1, 4; add.u64 %d2, %d1, %d2; mad.lo.u32 %r2, %r1, 100, %r0; st.local.u32 [%d2], %r2; add.u32 %r1, %r1, 1; setp.lt.u32 %p, %r1, 16; @%p bra fill;
  and.b32 %r3, %r0, 15; mul.wide.u32 %d2, %r3, 4; add.u64 %d2, %d1, %d2; ld.local.u32 %r4, [%d2]; mul.wide.u32 %d3, %r0, 4; add.u64 %d0, %d0, %d3; st.global.u32 [%d0], %r4; ret; }`,
    launch: { block: '64', args: [{ output: 256 }] },
    judge: wordsAre(range(64, (i) => (i % 16n) * 100n + i)),
  },
];

/** Copies of each size in each form; the destination starts as all ones. */
function copy(instruction: string, size: number, operands: string, kept: number): KernelCase {
  const bytes = Uint8Array.from({ length: 32 * 16 }, (_, i) => (i * 7 + 3) & 255);
  return {
    name: `${instruction} ${size}${operands}`,
    ptx: `.visible .entry test(.param .u64 in, .param .u64 out)
{ .reg .u32 %r<4>; .reg .u64 %d<8>; .reg .pred %p; .reg .b64 %policy; .shared .align 16 .b8 cells[512]; ld.param.u64 %d0, [in]; ld.param.u64 %d1, [out]; mov.u32 %r0, %tid.x; mul.wide.u32 %d2, %r0, 16;
  createpolicy.fractional.L2::evict_first.b64 %policy, 1.0;
  mov.u64 %d3, cells; add.u64 %d3, %d3, %d2; add.u64 %d0, %d0, %d2; add.u64 %d1, %d1, %d2; mov.u32 %r1, -1; st.shared.v4.u32 [%d3], {%r1, %r1, %r1, %r1}; mov.u32 %r2, 2; setp.eq.u32 %p, %r2, 2;
  ${instruction} [%d3], [%d0], ${size}${operands}; cp.async.wait_all;
  ld.shared.v2.u64 {%d4, %d5}, [%d3]; st.global.v2.u64 [%d1], {%d4, %d5}; ret; }`,
    launch: { args: [{ input: bytes }, { output: 512 }] },
    judge: ([out]) => {
      const wrong = [...(out as Uint8Array)].flatMap((value, i) => {
        const at = i % 16;
        const wanted = at >= size ? 255 : at < kept ? bytes[i] : 0;
        return value === wanted ? [] : [`byte ${i} is ${value}, expected ${wanted}`];
      });
      return wrong.slice(0, 3);
    },
  };
}
const hints: KernelCase = {
  name: 'discard.global.L2 of memory that is written again before it is read',
  ptx: `.visible .entry test(.param .u64 out)
{ .reg .u32 %r<2>; .reg .u64 %d<3>; ld.param.u64 %d0, [out]; mov.u32 %r0, %tid.x; mul.wide.u32 %d1, %r0, 128; add.u64 %d0, %d0, %d1; discard.global.L2 [%d0], 128; st.global.u32 [%d0], %r0; ret; }`,
  launch: { args: [{ inout: new Uint8Array(4096) }] },
  judge: ([bytes]) =>
    wordsAre(range(32, (i) => i))?.([
      pack(
        unpack(bytes as Uint8Array, 32).filter((_, i) => i % 32 === 0),
        32,
      ),
    ]) ?? [],
};

const copies: KernelCase[] = [
  ...[4, 8, 16].flatMap((size) => [
    copy('cp.async.ca.shared.global', size, '', size),
    copy('cp.async.ca.shared.global', size, ', %r2', 2),
    copy('cp.async.ca.shared.global', size, ', 0', 0),
  ]),
  copy('cp.async.cg.shared.global', 16, ', %r2', 2),
  ...['', '.L2::64B', '.L2::128B', '.L2::256B'].flatMap((prefetch) => [
    copy(`cp.async.ca.shared.global${prefetch}`, 8, '', 8),
    copy(`cp.async.cg.shared.global${prefetch}`, 16, '', 16),
    copy(`cp.async.cg.shared.global.L2::cache_hint${prefetch}`, 16, ', %policy', 16),
    copy(`cp.async.ca.shared.global.L2::cache_hint${prefetch}`, 4, ', %r2, %policy', 2),
  ]),
  copy('cp.async.ca.shared.global', 16, ', !%p', 16),
  copy('cp.async.ca.shared.global', 8, ', %p', 0),
];

const groups: KernelCase = {
  name: 'cp.async groups: wait_group N leaves the newest N in flight, empty groups count, wait_group 0 ends all',
  ptx: `.visible .entry test(.param .u64 in, .param .u64 out)
{ .reg .u32 %r<8>; .reg .u64 %d<8>; .shared .align 16 .b8 cells[384]; ld.param.u64 %d0, [in]; ld.param.u64 %d1, [out]; mov.u32 %r0, %tid.x; mul.wide.u32 %d2, %r0, 4; mov.u64 %d3, cells; add.u64 %d3, %d3, %d2; add.u64 %d0, %d0, %d2; add.u64 %d1, %d1, %d2;
  cp.async.ca.shared.global [%d3], [%d0], 4; cp.async.commit_group; cp.async.ca.shared.global [%d3+128], [%d0+128], 4; cp.async.commit_group; cp.async.ca.shared.global [%d3+256], [%d0+256], 4; cp.async.commit_group; cp.async.commit_group;
  cp.async.wait_group 3; ld.shared.u32 %r1, [%d3]; cp.async.wait_group 2; ld.shared.u32 %r2, [%d3+128]; cp.async.wait_group 0; ld.shared.u32 %r3, [%d3+256];
  st.global.u32 [%d1], %r1; st.global.u32 [%d1+128], %r2; st.global.u32 [%d1+256], %r3; ret; }`,
  launch: {
    args: [
      {
        input: pack(
          range(96, (i) => i * 3n),
          32,
        ),
      },
      { output: 384 },
    ],
  },
  judge: wordsAre(range(96, (i) => i * 3n)),
};

kernelSuite('variables and parameters', variables);
kernelSuite('cache hints', [hints]);
kernelSuite('asynchronous copies', [...copies, groups]);
