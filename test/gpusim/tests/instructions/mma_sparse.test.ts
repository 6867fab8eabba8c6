// SPDX-License-Identifier: Apache-2.0
// mma.sp in every shape and type of sm_80 and sm_89: random sparse matrices whose products and sums are exact, with
// metadata placed as the manual's section on sparse matrix storage and its metadata figures have it.
import { type KernelCase, kernelSuite, pack, type Target, unpack } from '../cases.js';
import { type Element, elements, fragments, type Matrix, matrix, mmaLayout, wordsPerLane } from '../layouts.js';
import { Random } from '../random.js';

interface Variant {
  readonly k: number;
  readonly a: string;
  readonly b: string;
  readonly c: string;
  readonly d: string;
  readonly ordered: boolean;
  readonly selector: number;
  readonly saturate?: boolean;
  readonly target?: Target;
}

const rows = 16;
const columns = 8;
const warps = 12;
const element = (name: string): Element => elements[name] as Element;

/** How a row of A is cut: chunks, of which `kept` of the parts have elements. */
function cutting(type: string): { chunk: number; parts: number; kept: number } {
  if (type === 'tf32') return { chunk: 2, parts: 2, kept: 1 };
  if (type.endsWith('4')) return { chunk: 8, parts: 4, kept: 2 };
  return { chunk: 4, parts: 4, kept: 2 };
}
/** Threads of each group of four that contribute metadata. */
const contributors = (v: Variant): number => v.k / (4 * cutting(v.a).chunk);

interface Sparse {
  readonly dense: Matrix;
  readonly compressed: Matrix;
  readonly metadata: number[];
}

function nonZero(type: string, random: Random): number {
  const value = 1 + random.below(3);
  return type.startsWith('u') || random.below(2) === 0 ? value : -value;
}

/** A sparse A; the threads that contribute nothing have metadata that would be wrong. */
function sparseMatrix(v: Variant, random: Random): Sparse {
  const { chunk, parts, kept } = cutting(v.a);
  const partSize = chunk / parts;
  const dense = matrix(rows, v.k, () => 0);
  const compressed = matrix(rows, v.k / 2, () => 0);
  const metadata = Array.from({ length: 32 }, () => random.below(2 ** 31));
  const first = v.selector * contributors(v);
  for (let lane = 0; lane < 32; ++lane) if (lane % 4 >= first && lane % 4 < first + contributors(v)) metadata[lane] = 0;
  for (let row = 0; row < rows; ++row) {
    for (let c = 0; c < v.k / chunk; ++c) {
      const places: number[] = [];
      while (places.length < kept) {
        const place = random.below(parts);
        if (!places.includes(place)) places.push(place);
      }
      // Without .ordered_metadata the two elements may come in any order.
      if (v.ordered) places.sort((x, y) => x - y);
      places.forEach((place, i) => {
        for (let e = 0; e < partSize; ++e) {
          const value = nonZero(v.a, random);
          (dense[row] as number[])[c * chunk + place * partSize + e] = value;
          (compressed[row] as number[])[(c * kept + i) * partSize + e] = value;
        }
      });
      const [one, two] = places as [number, number];
      const bits = kept === 1 ? (one === 0 ? 0b0100 : 0b1110) : one | (two << 2);
      const quad = 4 * (row % 8) + first;
      // 16- and 32-bit elements: bits 0 to 15 of a thread are of row r, the others of row r + 8.
      const [thread, shift] =
        element(v.a).bits >= 16
          ? [quad + Math.floor(c / 4), 16 * Math.floor(row / 8) + 4 * (c % 4)]
          : [quad + Math.floor(row / 8) + 2 * Math.floor(c / 8), 4 * (c % 8)];
      metadata[thread] = ((metadata[thread] as number) | (bits << shift)) >>> 0;
    }
  }
  return { dense, compressed, metadata };
}

function instruction(v: Variant): string {
  const saturate = v.saturate ? '.satfinite' : '';
  const sp = v.ordered ? 'sp::ordered_metadata' : 'sp';
  return `mma.${sp}.sync.aligned.m16n8k${v.k}.row.col${saturate}.${v.d}.${v.a}.${v.b}.${v.c}`;
}

function caseOf(v: Variant, index: number): KernelCase {
  const random = new Random(300 + index);
  const per = (name: string): number => Math.max(1, 32 / element(name).bits);
  const layoutA = mmaLayout(rows, v.k / 2, per(v.a));
  const layoutB = mmaLayout(rows, v.k, per(v.b));
  const words = {
    a: wordsPerLane(element(v.a), layoutA.sizes[0]),
    b: wordsPerLane(element(v.b), layoutB.sizes[1]),
    c: wordsPerLane(element(v.c), layoutB.sizes[2]),
    d: wordsPerLane(element(v.d), layoutB.sizes[2]),
  };
  const problems = Array.from({ length: warps }, () => ({
    a: sparseMatrix(v, random),
    b: matrix(v.k, columns, () => nonZero(v.b, random)),
    c: matrix(rows, columns, () =>
      v.saturate && random.below(2) === 0 ? 2 ** 31 - 1 - random.below(9) : random.below(33) - 16,
    ),
  }));
  const type = (name: string): string => (name === 'f32' ? 'f32' : 'b32');
  const list = (name: string, count: number): string =>
    Array.from({ length: count }, (_, i) => `%${name}${i}`).join(', ');
  const load = (name: 'a' | 'b' | 'c'): string =>
    `ld.param.u64 %p, [${name}]; mad.wide.u32 %p, %index, ${words[name] * 4}, %p;\n` +
    Array.from({ length: words[name] }, (_, i) => `ld.global.${type(v[name])} %${name}${i}, [%p+${i * 4}];`).join(' ');
  const ptx = `.visible .entry test(.param .u64 a, .param .u64 b, .param .u64 c, .param .u64 e, .param .u64 d)
{ .reg .u64 %p; .reg .u32 %index, %t; .reg .b32 %a<4>, %b<4>, %e; .reg .${type(v.c)} %c<4>; .reg .${type(v.d)} %d<4>;
mov.u32 %index, %ctaid.x; mov.u32 %t, %tid.x; mad.lo.u32 %index, %index, 32, %t;
${load('a')}
${load('b')}
${load('c')}
ld.param.u64 %p, [e]; mad.wide.u32 %p, %index, 4, %p; ld.global.b32 %e, [%p];
${instruction(v)} {${list('d', words.d)}}, {${list('a', words.a)}}, {${list('b', words.b)}}, {${list('c', words.c)}}, %e, ${v.selector};
ld.param.u64 %p, [d]; mad.wide.u32 %p, %index, ${words.d * 4}, %p;
${Array.from({ length: words.d }, (_, i) => `st.global.${type(v.d)} [%p+${i * 4}], %d${i};`).join(' ')} ret; }`;
  const operand = (
    of: (problem: (typeof problems)[0]) => Matrix,
    name: string,
    place: typeof layoutA.a,
    size: number,
  ) => ({
    input: pack(
      problems.flatMap((problem) => fragments([of(problem)], element(name), place, size)),
      32,
    ),
  });
  return {
    name: `${instruction(v)}, selector ${v.selector}`,
    ...(v.target ? { target: v.target } : {}),
    ptx,
    launch: {
      grid: String(warps),
      block: '32',
      args: [
        operand((problem) => problem.a.compressed, v.a, layoutA.a, layoutA.sizes[0]),
        operand((problem) => problem.b, v.b, layoutB.b, layoutB.sizes[1]),
        operand((problem) => problem.c, v.c, layoutB.c, layoutB.sizes[2]),
        {
          input: pack(
            problems.flatMap((problem) => problem.a.metadata.map(BigInt)),
            32,
          ),
        },
        { output: warps * 32 * words.d * 4 },
      ],
    },
    judge: ([bytes]) => {
      const values = unpack(bytes as Uint8Array, 32);
      const found: string[] = [];
      const d = element(v.d);
      const perWord = 32 / d.bits;
      problems.forEach(({ a, b, c }, warp) => {
        for (let lane = 0; lane < 32; ++lane) {
          for (let i = 0; i < layoutB.sizes[2]; ++i) {
            const [row, column] = layoutB.c(lane, i);
            const sum = (a.dense[row] as number[]).reduce(
              (total, x, j) => total + x * ((b[j] as number[])[column] as number),
              (c[row] as number[])[column] as number,
            );
            const wanted = v.saturate ? Math.min(sum, 2 ** 31 - 1) : sum;
            const word = values[(warp * 32 + lane) * words.d + Math.floor(i / perWord)] as bigint;
            const actual = d.decode(BigInt.asUintN(d.bits, word >> BigInt((i % perWord) * d.bits)));
            if (actual !== wanted) found.push(`warp ${warp}, (${row}, ${column}) is ${actual}, expected ${wanted}`);
          }
        }
      });
      return found.length > 4 ? [...found.slice(0, 4), `${found.length} elements are wrong`] : found;
    },
  };
}

type Shape = readonly [k: number, d: string, a: string, b: string, c: string, target?: Target];
const shapes: Shape[] = [
  ...[16, 32].flatMap((k): Shape[] => [
    ...['f16', 'f32'].map((acc): Shape => [k, acc, 'f16', 'f16', acc]),
    [k, 'f32', 'bf16', 'bf16', 'f32'],
  ]),
  ...[8, 16].map((k): Shape => [k, 'f32', 'tf32', 'tf32', 'f32']),
  ...['e4m3', 'e5m2'].flatMap((a) => ['e4m3', 'e5m2'].map((b): Shape => [64, 'f32', a, b, 'f32', 'sm_89'])),
  ...[
    { bits: 8, lengths: [32, 64] },
    { bits: 4, lengths: [64, 128] },
  ].flatMap(({ bits, lengths }) =>
    lengths.flatMap((k) =>
      ['s', 'u'].flatMap((a) => ['s', 'u'].map((b): Shape => [k, 's32', `${a}${bits}`, `${b}${bits}`, 's32'])),
    ),
  ),
];
const variants = shapes.flatMap(([k, d, a, b, c, target]) =>
  [false, true].flatMap((ordered) => {
    const base: Variant = { k, d, a, b, c, ordered, selector: 0, ...(target ? { target } : {}) };
    return Array.from(
      { length: 4 / contributors(base) },
      (_, selector): Variant => ({
        ...base,
        selector,
        ...(d === 's32' && ordered ? { saturate: true } : {}),
      }),
    );
  }),
);

/** Zero metadata names one position twice: harmless for the zeros of a padded matrix, undefined for other elements. */
const undefinedMetadata = (value: string, error?: string): KernelCase => ({
  name: `mma.sp with metadata 0 and elements ${value}`,
  ptx: `.visible .entry test(.param .u64 out)
{ .reg .u64 %p; .reg .b32 %a, %b, %e; .reg .f32 %d<4>, %c; mov.f32 %c, 0.; mov.b32 %a, ${value}; mov.b32 %b, 0x3c003c00; mov.b32 %e, 0;
mma.sp.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%d0, %d1, %d2, %d3}, {%a, %a}, {%b, %b}, {%c, %c, %c, %c}, %e, 0;
ld.param.u64 %p, [out]; st.global.f32 [%p], %d0; ret; }`,
  launch: { block: '32', args: [{ output: 4 }] },
  ...(error ? { error } : { judge: ([bytes]) => ((bytes as Uint8Array).every((x) => x === 0) ? [] : ['not zero']) }),
});

kernelSuite('mma.sp', [
  ...variants.map(caseOf),
  undefinedMetadata('0'),
  undefinedMetadata('0x3c003c00', 'CUDA_ERROR_LAUNCH_FAILED'),
]);
