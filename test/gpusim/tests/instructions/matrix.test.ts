// SPDX-License-Identifier: Apache-2.0
// ldmatrix, stmatrix and movmatrix by the manual's layout, and wmma end to end (load, multiply, store) in every shape, type and layout.
import { type KernelCase, kernelSuite, pack, unpack } from '../cases.js';
import { type Element, elements, matrix8x8 } from '../layouts.js';
import { Random } from '../random.js';

/** The row of 16 bytes in shared memory that a lane's address names. */
const rowOf = (lane: number): number => (lane * 37 + 11) % 64;

/** Rows of 16 bytes lie in shared memory in a scattered order, so that every lane's address matters. */
function load(count: 1 | 2 | 4, transposed: boolean): KernelCase {
  const halves = Array.from({ length: 512 }, (_, i) => BigInt(i + 1));
  const list = Array.from({ length: count }, (_, i) => `%r${i}`).join(', ');
  return {
    name: `ldmatrix.sync.aligned.m8n8.x${count}${transposed ? '.trans' : ''}.shared.b16`,
    ptx: `.visible .entry test(.param .u64 in, .param .u64 out)
{ .reg .u32 %r<12>; .reg .u64 %d<8>; .reg .pred %p; .shared .align 128 .b8 tile[1024]; ld.param.u64 %d0, [in]; ld.param.u64 %d1, [out]; mov.u32 %r8, %tid.x; mul.wide.u32 %d2, %r8, 32; mov.u64 %d3, tile;
  add.u64 %d4, %d3, %d2; add.u64 %d0, %d0, %d2; ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%d0]; st.shared.v4.u32 [%d4], {%r0, %r1, %r2, %r3}; ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%d0+16]; st.shared.v4.u32 [%d4+16], {%r0, %r1, %r2, %r3}; bar.sync 0;
  mad.lo.u32 %r9, %r8, 37, 11; and.b32 %r9, %r9, 63; mul.wide.u32 %d5, %r9, 16; add.u64 %d5, %d3, %d5;
  ldmatrix.sync.aligned.m8n8.x${count}${transposed ? '.trans' : ''}.shared.b16 {${list}}, [%d5];
  mul.wide.u32 %d2, %r8, ${count * 4}; add.u64 %d1, %d1, %d2; ${Array.from({ length: count }, (_, i) => `st.global.u32 [%d1+${4 * i}], %r${i};`).join(' ')} ret; }`,
    launch: { args: [{ input: pack(halves, 16) }, { output: 32 * count * 4 }] },
    judge: ([bytes]) => {
      const values = unpack(bytes as Uint8Array, 16);
      const place = matrix8x8(transposed);
      return values
        .flatMap((value, at) => {
          const [lane, register, i] = [Math.floor(at / (2 * count)), Math.floor(at / 2) % count, at % 2];
          const [row, column] = place(lane, i);
          const wanted = halves[rowOf(register * 8 + row) * 8 + column];
          return value === wanted
            ? []
            : [`lane ${lane} register ${register} element ${i} is ${value}, expected ${wanted}`];
        })
        .slice(0, 4);
    },
  };
}

/** Every lane's registers go to rows of 16 bytes that lie in a scattered order; the rest of the tile stays zero. */
function store(count: 1 | 2 | 4, transposed: boolean): KernelCase {
  const halves = Array.from({ length: 64 * count }, (_, i) => BigInt(i + 1));
  const list = Array.from({ length: count }, (_, i) => `%r${i}`);
  return {
    name: `stmatrix.sync.aligned.m8n8.x${count}${transposed ? '.trans' : ''}.shared.b16`,
    target: 'sm_90',
    ptx: `.visible .entry test(.param .u64 in, .param .u64 out)
{ .reg .u32 %r<12>; .reg .u64 %d<8>; .shared .align 128 .b8 tile[1024]; ld.param.u64 %d0, [in]; ld.param.u64 %d1, [out]; mov.u32 %r8, %tid.x; mul.wide.u32 %d2, %r8, 32; mov.u64 %d3, tile; add.u64 %d4, %d3, %d2;
  mov.u32 %r9, 0; st.shared.v4.u32 [%d4], {%r9, %r9, %r9, %r9}; st.shared.v4.u32 [%d4+16], {%r9, %r9, %r9, %r9}; bar.sync 0;
  mul.wide.u32 %d5, %r8, ${count * 4}; add.u64 %d0, %d0, %d5; ${list.map((r, i) => `ld.global.u32 ${r}, [%d0+${4 * i}];`).join(' ')}
  mad.lo.u32 %r9, %r8, 37, 11; and.b32 %r9, %r9, 63; mul.wide.u32 %d5, %r9, 16; add.u64 %d5, %d3, %d5;
  stmatrix.sync.aligned.m8n8.x${count}${transposed ? '.trans' : ''}.shared.b16 [%d5], {${list.join(', ')}}; bar.sync 0;
  add.u64 %d1, %d1, %d2; ld.shared.v4.u32 {%r0, %r1, %r2, %r3}, [%d4]; st.global.v4.u32 [%d1], {%r0, %r1, %r2, %r3}; ld.shared.v4.u32 {%r0, %r1, %r2, %r3}, [%d4+16]; st.global.v4.u32 [%d1+16], {%r0, %r1, %r2, %r3}; ret; }`,
    launch: { args: [{ input: pack(halves, 16) }, { output: 1024 }] },
    judge: ([bytes]) => {
      const wanted = new Array<bigint>(512).fill(0n);
      halves.forEach((value, at) => {
        const [lane, register, i] = [Math.floor(at / (2 * count)), Math.floor(at / 2) % count, at % 2];
        const [row, column] = matrix8x8(transposed)(lane, i);
        wanted[rowOf(register * 8 + row) * 8 + column] = value;
      });
      return unpack(bytes as Uint8Array, 16)
        .flatMap((value, at) => (value === wanted[at] ? [] : [`half ${at} is ${value}, expected ${wanted[at]}`]))
        .slice(0, 4);
    },
  };
}

const stores: KernelCase[] = ([1, 2, 4] as const).flatMap((count) => [store(count, false), store(count, true)]);
const loads: KernelCase[] = ([1, 2, 4] as const).flatMap((count) => [load(count, false), load(count, true)]);

const move: KernelCase = {
  name: 'movmatrix.sync.aligned.m8n8.trans.b16',
  ptx: `.visible .entry test(.param .u64 in, .param .u64 out)
{ .reg .u32 %r<4>; .reg .u64 %d<4>; ld.param.u64 %d0, [in]; ld.param.u64 %d1, [out]; mov.u32 %r0, %tid.x; mul.wide.u32 %d2, %r0, 4; add.u64 %d0, %d0, %d2; add.u64 %d1, %d1, %d2;
  ld.global.u32 %r1, [%d0]; movmatrix.sync.aligned.m8n8.trans.b16 %r2, %r1; st.global.u32 [%d1], %r2; ret; }`,
  launch: {
    args: [
      {
        input: pack(
          Array.from({ length: 64 }, (_, i) => BigInt(i + 1)),
          16,
        ),
      },
      { output: 128 },
    ],
  },
  judge: ([bytes]) =>
    unpack(bytes as Uint8Array, 16).flatMap((value, at) =>
      value === BigInt((at % 8) * 8 + Math.floor(at / 8) + 1) ? [] : [`element ${at} is ${value}`],
    ),
};

type Order = 'row' | 'col';
interface Wmma {
  readonly shape: string;
  readonly a: string;
  readonly b: string;
  readonly c: string;
  readonly d: string;
  readonly registers: readonly [a: number, b: number, c: number, d: number];
  readonly orders: readonly [a: Order, b: Order, c: Order];
  readonly suffix?: string;
}

const element = (name: string): Element => elements[name] as Element;

/** Elements in memory order, packed into bytes; sub-byte elements go low bits first. */
function bytesOf(values: readonly number[], type: Element): Uint8Array {
  if (type.bits >= 8) return pack(values.map(type.encode), type.bits);
  const per = 8 / type.bits;
  const bytes = new Uint8Array(values.length / per);
  values.forEach((value, i) => {
    const at = Math.floor(i / per);
    bytes[at] = (bytes[at] as number) | Number(type.encode(value) << BigInt((i % per) * type.bits));
  });
  return bytes;
}

function wmma(v: Wmma, index: number): KernelCase {
  const [, m, n, k] = (v.shape.match(/m(\d+)n(\d+)k(\d+)/) ?? []).map(Number) as [number, number, number, number];
  const random = new Random(300 + index);
  const pick = (name: string): number => {
    if (name === 'b1') return random.below(2);
    const value = random.below(name.endsWith('4') && !name.startsWith('f') ? 7 : 9);
    return name.startsWith('u') ? value : value - 3;
  };
  const a = Array.from({ length: m * k }, () => pick(v.a));
  const b = Array.from({ length: k * n }, () => pick(v.b));
  const c = Array.from({ length: m * n }, () => random.below(200) - 100);
  const [orderA, orderB, orderC] = v.orders;
  const order = (values: readonly number[], rows: number, columns: number, layout: Order): number[] =>
    layout === 'row'
      ? [...values]
      : Array.from({ length: rows * columns }, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)] as number);
  const registers = (letter: string, count: number): string =>
    `{${Array.from({ length: count }, (_, i) => `%${letter}${i}`).join(', ')}}`;
  const declare = (letter: string, e: string): string =>
    `.reg .${e === 'f32' || e === 'f64' ? e : 'b32'} %${letter}<8>;`;
  const stride = (layout: Order, rows: number, columns: number): number => (layout === 'row' ? columns : rows);
  const [ra, rb, rc, rd] = v.registers;
  // Integer and f64 accumulate forms name their types once; 16-bit and tf32 inputs name them all but f16, which names only d and c.
  const types = v.a === 'f16' ? `${v.d}.${v.c}` : `${v.d}.${v.a}.${v.b}.${v.c}`;
  const operation = v.suffix ? `${v.suffix}.` : '';
  const d = element(v.d);
  const size = (m * n * d.bits) / 8;
  // Rounding of f64 is to nearest even, said or not.
  const product = (space: string): string => `
wmma.load.a.sync.aligned.${orderA}.${v.shape}${space}.${v.a} ${registers('a', ra)}, [%p0], ${stride(orderA, m, k)};
wmma.load.b.sync.aligned.${orderB}.${v.shape}${space}.${v.b} ${registers('b', rb)}, [%p1], ${stride(orderB, k, n)};
wmma.load.c.sync.aligned.${orderC}.${v.shape}${space}.${v.c} ${registers('c', rc)}, [%p2], ${stride(orderC, m, n)};
wmma.mma.${operation}sync.aligned.${orderA}.${orderB}.${v.shape}.${types}${v.d === 'f64' && space === '' ? '.rn' : ''} ${registers('d', rd)}, ${registers('a', ra)}, ${registers('b', rb)}, ${registers('c', rc)};
wmma.store.d.sync.aligned.${orderC}.${v.shape}${space}.${v.d} [%p3], ${registers('d', rd)}, ${stride(orderC, m, n)};`;
  // Once through global, once through generic addresses.
  const ptx = `.visible .entry test(.param .u64 a, .param .u64 b, .param .u64 c, .param .u64 d)
{ .reg .u64 %p<4>; ${declare('a', v.a)} ${declare('b', v.b)} ${declare('c', v.c)} ${declare('d', v.d)}
ld.param.u64 %p0, [a]; ld.param.u64 %p1, [b]; ld.param.u64 %p2, [c]; ld.param.u64 %p3, [d];
${product('.global')} add.u64 %p3, %p3, ${size}; ${product('')} ret; }`;
  return {
    name: `wmma ${v.shape} A ${orderA} B ${orderB} C ${orderC} ${types}${v.suffix ? ` ${v.suffix}` : ''}`,
    ptx,
    launch: {
      args: [
        { input: bytesOf(order(a, m, k, orderA), element(v.a)) },
        { input: bytesOf(order(b, k, n, orderB), element(v.b)) },
        { input: bytesOf(order(c, m, n, orderC), element(v.c)) },
        { output: 2 * size },
      ],
    },
    judge: ([bytes]) => {
      const combine =
        v.suffix === 'xor.popc'
          ? (x: number, y: number) => x ^ y
          : v.suffix === 'and.popc'
            ? (x: number, y: number) => x & y
            : (x: number, y: number) => x * y;
      const wanted = Array.from({ length: m * n }, (_, at) => {
        const [row, column] = [Math.floor(at / n), at % n];
        let sum = c[at] as number;
        for (let i = 0; i < k; ++i) sum += combine(a[row * k + i] as number, b[i * n + column] as number);
        return sum;
      });
      const expected = order(wanted, m, n, orderC);
      const found = unpack(bytes as Uint8Array, d.bits).flatMap((bits, i) => {
        const at = i % (m * n);
        const space = i < m * n ? 'global' : 'generic';
        return d.decode(bits) === expected[at]
          ? []
          : [`${space}: element ${at} is ${d.decode(bits)}, expected ${expected[at]}`];
      });
      return found.length > 3 ? [...found.slice(0, 3), `${found.length} are wrong`] : found;
    },
  };
}

const orders: readonly (readonly [Order, Order, Order])[] = [
  ['row', 'col', 'row'],
  ['row', 'row', 'col'],
  ['col', 'row', 'row'],
  ['col', 'col', 'col'],
];
const shapes16 = ['m16n16k16', 'm8n32k16', 'm32n8k16'];
const counts: Record<string, readonly [number, number]> = { m16n16k16: [4, 4], m8n32k16: [2, 8], m32n8k16: [8, 2] };

const products: Wmma[] = [
  ...shapes16.flatMap((shape) =>
    orders.flatMap((o) =>
      (['f16', 'f32'] as const).map(
        (acc): Wmma => ({
          shape,
          a: 'f16',
          b: 'f16',
          c: acc,
          d: acc,
          registers: acc === 'f16' ? [8, 8, 4, 4] : [8, 8, 8, 8],
          orders: o,
        }),
      ),
    ),
  ),
  ...shapes16.flatMap((shape) => {
    const [ra, rb] = counts[shape] as readonly [number, number];
    return orders.flatMap((o): Wmma[] => [
      { shape, a: 'bf16', b: 'bf16', c: 'f32', d: 'f32', registers: [ra, rb, 8, 8], orders: o },
      ...['s8', 'u8'].map(
        (t): Wmma => ({ shape, a: t, b: t, c: 's32', d: 's32', registers: [ra / 2, rb / 2, 8, 8], orders: o }),
      ),
    ]);
  }),
  ...orders.flatMap((o): Wmma[] => [
    { shape: 'm16n16k8', a: 'tf32', b: 'tf32', c: 'f32', d: 'f32', registers: [4, 4, 8, 8], orders: o },
    { shape: 'm8n8k4', a: 'f64', b: 'f64', c: 'f64', d: 'f64', registers: [1, 1, 2, 2], orders: o },
  ]),
  ...(['row', 'col'] as const).flatMap((c): Wmma[] => [
    ...['s4', 'u4'].map(
      (t): Wmma => ({
        shape: 'm8n8k32',
        a: t,
        b: t,
        c: 's32',
        d: 's32',
        registers: [1, 1, 2, 2],
        orders: ['row', 'col', c],
      }),
    ),
    ...['xor.popc', 'and.popc'].map(
      (suffix): Wmma => ({
        shape: 'm8n8k128',
        a: 'b1',
        b: 'b1',
        c: 's32',
        d: 's32',
        registers: [1, 1, 2, 2],
        orders: ['row', 'col', c],
        suffix,
      }),
    ),
  ]),
];

kernelSuite('ldmatrix, stmatrix and movmatrix', [...loads, ...stores, move]);
kernelSuite('wmma', products.map(wmma));
