// SPDX-License-Identifier: Apache-2.0
// atom and red: each operation on each type, on private cells in global and shared memory, and many threads on one cell.
import { type Case, exactly, kernelSuite, pack, suite, unpack } from '../cases.js';
import { add, decode, encode, type Format, f16, f32, f64, isNan } from '../numerics.js';
import type { Kind } from '../samples.js';

type Update = (old: bigint, operand: bigint) => bigint;

const widthOf = (type: string): number => (type.endsWith('x2') ? 32 : Number(type.replace(/\D/g, '')));
const wrap = (type: string, update: Update): Update => {
  const w = widthOf(type);
  const read = (v: bigint): bigint => (type.startsWith('s') ? BigInt.asIntN(w, v) : v);
  return (x, y) => BigInt.asUintN(w, update(read(x), read(y)));
};
const sum =
  (fmt: Format): Update =>
  (x, y) =>
    encode(fmt, add(decode(fmt, x), decode(fmt, y)));
const packedSum: Update = (x, y) =>
  [0n, 16n].reduce((bits, at) => bits | (sum(f16)((x >> at) & 0xffffn, (y >> at) & 0xffffn) << at), 0n);

const updates: readonly (readonly [string, Update])[] = [
  ...['u32', 's32', 'u64'].map((t) => [`add.${t}`, wrap(t, (x, y) => x + y)] as const),
  ['add.f32', sum(f32)],
  ['add.f64', sum(f64)],
  ['add.noftz.f16', sum(f16)],
  ['add.noftz.f16x2', packedSum],
  ...['u32', 's32', 'u64', 's64'].flatMap((t) => [
    [`min.${t}`, wrap(t, (x, y) => (x < y ? x : y))] as const,
    [`max.${t}`, wrap(t, (x, y) => (x > y ? x : y))] as const,
  ]),
  ...['b32', 'b64'].flatMap((t) => [
    [`and.${t}`, wrap(t, (x, y) => x & y)] as const,
    [`or.${t}`, wrap(t, (x, y) => x | y)] as const,
    [`xor.${t}`, wrap(t, (x, y) => x ^ y)] as const,
    [`exch.${t}`, (_: bigint, y: bigint) => y] as const,
  ]),
  ['inc.u32', (x, y) => (x >= y ? 0n : x + 1n)],
  ['dec.u32', (x, y) => (x === 0n || x > y ? y : x - 1n)],
];

const formats: Record<string, Format> = { f16, f32, f64 };

/** Whether the two results agree; a NaN sum may have any payload. */
function same(type: string, wanted: bigint, actual: bigint): boolean {
  const fmt = formats[type];
  if (type === 'f16x2') return [0n, 16n].every((at) => same('f16', (wanted >> at) & 0xffffn, (actual >> at) & 0xffffn));
  return wanted === actual || (fmt !== undefined && isNan(fmt, wanted) && isNan(fmt, actual));
}

/** f32 addition in global and shared memory flushes or keeps subnormals as the hardware pleases; the test keeps to normals. */
const normal = (type: string): Case['accept'] => {
  const fmt = formats[type];
  if (type !== 'f32' || fmt === undefined) return undefined;
  const fine = (bits: bigint): boolean => {
    const v = decode(fmt, bits);
    return v.kind !== 'finite' || v.magnitude === 0n || v.magnitude >= 1n << BigInt(fmt.fractionBits);
  };
  return ([a, b]) => fine(a as bigint) && fine(b as bigint) && fine(sum(fmt)(a as bigint, b as bigint));
};

const cell = (space: string, width: number): string =>
  space === 'shared'
    ? `.shared .align 8 .b8 cells[1024]; mov.u64 %u0, cells; mov.u32 %t0, %tid.x; mul.wide.u32 %u1, %t0, 8; add.u64 %u0, %u0, %u1; st.shared.b${width} [%u0], %a;`
    : `ld.param.u64 %u0, [out1]; mul.wide.u32 %u1, %index, ${width / 8}; add.u64 %u0, %u0, %u1; st.global.b${width} [%u0], %a;`;

const kindOf = (type: string): Kind => (type.startsWith('f') ? (type as Kind) : (`b${widthOf(type)}` as Kind));

const cases: Case[] = ['global', 'shared', ''].flatMap((space) =>
  updates.flatMap(([operation, update]): Case[] => {
    const type = operation.split('.').at(-1) as string;
    const w = widthOf(type);
    const dot = space === '' ? '' : `.${space}`;
    const accept = normal(type);
    const base = { inputs: [kindOf(type), kindOf(type)], ...(accept ? { accept } : {}) };
    const scope = { global: '.gpu', shared: '.cta', '': '.sys' }[space];
    const judge: Case['judge'] = ([a, b], [old, fresh]) => {
      const wanted = update(a as bigint, b as bigint);
      if (old !== a) return 'the old value is wrong';
      return same(type, wanted, fresh as bigint) ? undefined : `expected 0x${wanted.toString(16)}`;
    };
    const atom = (instruction: string): Case => ({
      ...base,
      name: instruction,
      outputs: [w, w],
      body: `${cell(space, w)} ${instruction} %x, [%u0], %b; ld${dot}.b${w} %y, [%u0];`,
      judge,
    });
    const red = (instruction: string): Case => ({
      ...base,
      name: instruction,
      outputs: [w, w],
      body: `${cell(space, w)} mov.b${w} %x, %a; ${instruction} [%u0], %b; ld${dot}.b${w} %y, [%u0];`,
      judge,
    });
    const isReduction = !operation.startsWith('exch');
    return [
      atom(`atom${dot}.${operation}`),
      atom(`atom.relaxed${scope}${dot}.${operation}`),
      ...(isReduction ? [red(`red${dot}.${operation}`), red(`red.relaxed${scope}${dot}.${operation}`)] : []),
      // What semantics and scope say does not depend on the operation; the headers of nvcc write them behind it as well.
      ...(['add.u32', 'exch.b32'].includes(operation)
        ? ['acquire', 'release', 'acq_rel'].flatMap((semantics) =>
            ['cta', 'gpu', 'sys'].flatMap((each) => [
              atom(`atom.${semantics}.${each}${dot}.${operation}`),
              ...(space === '' ? [atom(`atom.${operation.replace('.', `.${semantics}.${each}.`)}`)] : []),
            ]),
          )
        : []),
    ];
  }),
);

const compareAndSwap: Case[] = ['.global', '.shared', ''].flatMap((space) =>
  [16, 32, 64].flatMap((w) =>
    ['', '.relaxed', '.relaxed.gpu', '.acquire.gpu', '.release.sys', '.acq_rel.cta'].map(
      (semantics): Case => ({
        name: `atom${semantics}${space}.cas.b${w}`,
        inputs: [`b${w}` as Kind, `b${w}` as Kind, `b${w}` as Kind, 'b32'],
        outputs: [w, w],
        // A negative last operand makes the comparison succeed.
        body: `${cell(space.slice(1), w)} setp.lt.s32 %p, %d, 0; selp.b${w} %b, %a, %b, %p;
      atom${semantics}${space}.cas.b${w} %x, [%u0], %b, %c; ld${space}.b${w} %y, [%u0];`,
        judge: exactly((a, b, c, d) => [a, d >> 31n === 1n || a === b ? c : a]),
      }),
    ),
  ),
);

suite('atomics on private cells', [...cases, ...compareAndSwap]);

const threads = 256 * 4;
const contended = (space: 'global' | 'shared'): string => `
.visible .entry test(.param .u64 out, .param .u64 claims)
{ .reg .u32 %r<8>; .reg .u64 %d<8>; .reg .pred %p; .reg .f32 %f<4>; .shared .align 8 .b8 cell[16];
  ld.param.u64 %d0, [out]; ld.param.u64 %d6, [claims]; mov.u32 %r0, %tid.x; mov.u32 %r7, %ctaid.x; mad.lo.u32 %r6, %r7, 256, %r0;
  ${space === 'shared' ? 'mov.u64 %d1, cell; setp.ne.u32 %p, %r0, 0; @%p bra ready; st.shared.v2.u32 [%d1], {0, 0}; ready: bar.sync 0;' : 'mov.u64 %d1, %d0;'}
  atom.${space}.add.u32 %r1, [%d1], 1; red.${space}.max.u32 [%d1+4], %r0;
  ${space === 'shared' ? 'bar.sync 0;' : ''}
  mul.wide.u32 %d2, %r6, 4; add.u64 %d6, %d6, %d2; st.global.u32 [%d6], %r1;
  ${space === 'shared' ? 'setp.ne.u32 %p, %r0, 0; @%p ret; ld.shared.v2.u32 {%r2, %r3}, [%d1]; mul.wide.u32 %d2, %r7, 8; add.u64 %d0, %d0, %d2; st.global.v2.u32 [%d0], {%r2, %r3};' : ''}
  ret; }`;

kernelSuite('atomics on one cell', [
  {
    name: '1024 threads of four blocks on one global counter get 1024 tickets',
    ptx: contended('global'),
    launch: { grid: '4', block: '256', args: [{ inout: new Uint8Array(8) }, { output: threads * 4 }] },
    judge: ([cells, claims]) => {
      const [count, most] = unpack(cells as Uint8Array, 32);
      const tickets = new Set(unpack(claims as Uint8Array, 32));
      return [
        ...(count === 1024n ? [] : [`count ${count}`]),
        ...(most === 255n ? [] : [`max ${most}`]),
        ...(tickets.size === threads ? [] : [`${tickets.size} tickets`]),
      ];
    },
  },
  {
    name: '256 threads of each block on a shared counter',
    ptx: contended('shared'),
    launch: { grid: '4', block: '256', args: [{ output: 32 }, { output: threads * 4 }] },
    judge: ([cells, claims]) => {
      const tickets = unpack(claims as Uint8Array, 32);
      const perBlock = [0, 1, 2, 3].map((block) => new Set(tickets.slice(block * 256, block * 256 + 256)).size);
      const wrong = unpack(cells as Uint8Array, 32).filter((value, i) => value !== (i % 2 === 0 ? 256n : 255n));
      return [
        ...wrong.map(String),
        ...perBlock.filter((size) => size !== 256).map((size) => `${size} tickets in a block`),
      ];
    },
  },
  {
    name: 'f32 and f64 sums of integers are exact under contention',
    ptx: `.visible .entry test(.param .u64 out)
{ .reg .u32 %r<4>; .reg .u64 %d<4>; .reg .f32 %f<2>; .reg .f64 %g<2>;
  ld.param.u64 %d0, [out]; mov.u32 %r0, %tid.x; cvt.rn.f32.u32 %f0, %r0; cvt.rn.f64.u32 %g0, %r0;
  red.global.add.f32 [%d0+8], %f0; red.global.add.f64 [%d0], %g0; ret; }`,
    launch: { grid: '8', block: '128', args: [{ inout: pack([0n, 0n], 64) }] },
    judge: ([cells]) => {
      const view = new DataView((cells as Uint8Array).buffer, (cells as Uint8Array).byteOffset);
      const wanted = (8 * 127 * 128) / 2;
      return [view.getFloat64(0, true), view.getFloat32(8, true)].filter((value) => value !== wanted).map(String);
    },
  },
]);
