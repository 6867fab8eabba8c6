// SPDX-License-Identifier: Apache-2.0
// mma.sync in every shape and type of sm_80 and sm_89, against the manual's fragment layouts: products with one-hot
// matrices for every position of A and of B, dense products that are exact, and dense products within rounding.
import { type KernelCase, kernelSuite, pack, type Target, unpack } from '../cases.js';
import {
  type Element,
  elements,
  fragments,
  type Matrix,
  type MmaLayout,
  matrix,
  mmaLayout,
  quadLayout,
  wordsPerLane,
} from '../layouts.js';
import { Random } from '../random.js';

interface Variant {
  readonly instruction: string;
  readonly target?: Target;
  readonly shape: readonly [m: number, n: number, k: number];
  readonly a: string;
  readonly b: string;
  readonly c: string;
  readonly d: string;
  readonly layout: MmaLayout;
  /** Products computed by one instruction: four for m8n8k4 with f16. */
  readonly products?: number;
  readonly combine?: (a: number, b: number) => number;
  readonly saturate?: boolean;
}

interface Problem {
  readonly a: Matrix;
  readonly b: Matrix;
  readonly c: Matrix;
}

const element = (name: string): Element => elements[name] as Element;

/** Small integers that every type but b1, u4 and the unsigned ones can hold with both signs. */
function small(name: string, random: Random): number {
  if (name === 'b1') return random.below(2);
  const limit = name.endsWith('4') ? 7 : name === 'e5m2' ? 4 : 8;
  const value = random.below(limit + 1);
  return name.startsWith('u') ? value : value * (random.below(2) * 2 - 1);
}

function full(name: string, random: Random): number {
  if (name === 'b1') return random.below(2);
  if (/^[su]/.test(name)) return element(name).decode(random.bits(element(name).bits));
  const value = (random.uniform() - 0.5) * 4;
  return element(name).decode(element(name).encode(value));
}

interface Task {
  /** Whether no product or sum rounds. */
  readonly exact: boolean;
  readonly problem: Problem;
}

/** One-hot matrices for every element of A, then of B, then dense ones. */
function problems(v: Variant, random: Random): Task[] {
  const [m, n, k] = v.shape;
  const zero = matrix(m, n, () => 0);
  const cell = (index: number, columns: number): readonly [number, number] => [
    Math.floor(index / columns),
    index % columns,
  ];
  const hot = (rows: number, columns: number, at: number): Matrix => {
    const [row, column] = cell(at, columns);
    return matrix(rows, columns, (i, j) => (i === row && j === column ? 1 : 0));
  };
  const step = m * k > 1024 ? 7 : 1;
  const positions = (count: number): number[] => Array.from({ length: Math.ceil(count / step) }, (_, i) => i * step);
  // A few dense partners take turns.
  const partners = (rows: number, columns: number, type: string): Matrix[] =>
    Array.from({ length: 4 }, () => matrix(rows, columns, () => small(type, random)));
  const [as, bs] = [partners(m, k, v.a), partners(k, n, v.b)];
  const list = [
    ...positions(m * k).map((at, i) => ({
      exact: true,
      problem: { a: hot(m, k, at), b: bs[i % 4] as Matrix, c: zero },
    })),
    ...positions(k * n).map((at, i) => ({
      exact: true,
      problem: { a: as[i % 4] as Matrix, b: hot(k, n, at), c: zero },
    })),
  ];
  for (let i = 0; i < 8; ++i) {
    const c = matrix(m, n, () => (v.c === 's32' ? Number(BigInt.asIntN(32, random.bits(32))) : random.below(64) - 32));
    list.push({
      exact: true,
      problem: { a: matrix(m, k, () => small(v.a, random)), b: matrix(k, n, () => small(v.b, random)), c },
    });
    const reals = v.c === 's32' ? c : matrix(m, n, () => full(v.c, random));
    list.push({
      exact: v.c === 's32',
      problem: { a: matrix(m, k, () => full(v.a, random)), b: matrix(k, n, () => full(v.b, random)), c: reals },
    });
  }
  if (!/^[sub]\d/.test(v.a)) list.push({ exact: true, problem: extremes(v, random) });
  return list;
}

/** NaN and infinities in all operands, which meet zeros and each other; e4m3 has NaN only. */
function extremes(v: Variant, random: Random): Problem {
  const [m, n, k] = v.shape;
  const infinity = (name: string): number => (name === 'e4m3' ? Number.NaN : Number.POSITIVE_INFINITY);
  const a = matrix(m, k, () => small(v.a, random));
  const b = matrix(k, n, (i, j) => (i === 0 && j === 1 ? 0 : 1 + random.below(2)));
  const c = matrix(m, n, () => random.below(64) - 32);
  const set = (rows: Matrix, row: number, column: number, value: number): void => {
    (rows[row] as number[])[column] = value;
  };
  set(a, 0, 0, infinity(v.a)); // times a number, and times the zero in column 1
  set(a, 1, 1, Number.NaN);
  set(a, 2, 0, -infinity(v.a));
  set(a, 3, 2, infinity(v.a)); // and minus infinity in C
  set(c, 3, 0, Number.NEGATIVE_INFINITY);
  set(c, 4, 2, Number.POSITIVE_INFINITY);
  set(c, 5, 3, Number.NaN);
  set(b, 3, 5, infinity(v.b));
  set(b, 2, 6, Number.NaN);
  return { a, b, c };
}

function ptx(v: Variant): string {
  const [a, b, c, d] = [v.a, v.b, v.c, v.d].map(element) as [Element, Element, Element, Element];
  const counts = [
    wordsPerLane(a, v.layout.sizes[0]),
    wordsPerLane(b, v.layout.sizes[1]),
    wordsPerLane(c, v.layout.sizes[2]),
    wordsPerLane(d, v.layout.sizes[2]),
  ];
  const width = a.bits === 64 ? 64 : 32;
  const type = (e: Element): string => (e.name === 'f32' || e.name === 'f64' ? e.name : `b${width}`);
  const list = (name: string, count: number): string =>
    Array.from({ length: count }, (_, i) => `%${name}${i}`).join(', ');
  const load = (name: string, pointer: string, count: number, e: Element): string =>
    `ld.param.u64 %p, [${pointer}]; mad.wide.u32 %p, %index, ${(count * width) / 8}, %p;\n` +
    Array.from({ length: count }, (_, i) => `ld.global.${type(e)} %${name}${i}, [%p+${(i * width) / 8}];`).join(' ');
  return `.visible .entry test(.param .u64 a, .param .u64 b, .param .u64 c, .param .u64 d)
{ .reg .u64 %p; .reg .u32 %index, %t; .reg .${type(a)} %a<16>; .reg .${type(b)} %b<16>; .reg .${type(c)} %c<16>; .reg .${type(d)} %d<16>;
mov.u32 %index, %ctaid.x; mov.u32 %t, %tid.x; mad.lo.u32 %index, %index, 32, %t;
${load('a', 'a', counts[0] as number, a)}
${load('b', 'b', counts[1] as number, b)}
${load('c', 'c', counts[2] as number, c)}
${v.instruction} {${list('d', counts[3] as number)}}, {${list('a', counts[0] as number)}}, {${list('b', counts[1] as number)}}, {${list('c', counts[2] as number)}};
ld.param.u64 %p, [d]; mad.wide.u32 %p, %index, ${((counts[3] as number) * width) / 8}, %p;
${Array.from({ length: counts[3] as number }, (_, i) => `st.global.${type(d)} [%p+${(i * width) / 8}], %d${i};`).join(' ')} ret; }`;
}

/** D = A B + C in f64, and the sum of magnitudes that bounds its rounding. */
function reference(v: Variant, p: Problem, row: number, column: number): readonly [number, number] {
  const combine = v.combine ?? ((x: number, y: number) => x * y);
  let sum = (p.c[row] as number[])[column] as number;
  let magnitude = Math.abs(sum);
  (p.a[row] as number[]).forEach((x, i) => {
    const term = combine(x, (p.b[i] as number[])[column] as number);
    sum += term;
    magnitude += Math.abs(term);
  });
  return [sum, magnitude];
}

function wrong(
  v: Variant,
  exact: boolean,
  problem: Problem,
  row: number,
  column: number,
  actual: number,
): string | undefined {
  const [sum, magnitude] = reference(v, problem, row, column);
  const wanted =
    v.d === 's32'
      ? v.saturate
        ? Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, sum))
        : Number(BigInt.asIntN(32, BigInt(sum)))
      : sum;
  if (!Number.isFinite(wanted))
    return Object.is(actual, wanted) ? undefined : `(${row}, ${column}) is ${actual}, expected ${wanted}`;
  const tolerance = exact
    ? 0
    : magnitude * (v.d === 'f16' || v.c === 'f16' ? 2 ** -9 : v.d === 'f64' ? 2 ** -50 : 2 ** -20);
  return Math.abs(actual - wanted) <= tolerance ? undefined : `(${row}, ${column}) is ${actual}, expected ${wanted}`;
}

/** The problems of a variant, as many for each warp as its instruction computes products. */
function warpsOf(v: Variant, index: number): Task[][] {
  const products = v.products ?? 1;
  const list = problems(v, new Random(100 + index));
  while (list.length % products !== 0) list.push(list[0] as Task);
  return Array.from({ length: list.length / products }, (_, i) => list.slice(i * products, (i + 1) * products));
}

function caseOf(v: Variant, index: number): KernelCase {
  const [m, n] = v.shape;
  const products = v.products ?? 1;
  const width = element(v.a).bits === 64 ? 64 : 32;
  // Made when the case runs, not when it is listed.
  let made: Task[][] | undefined;
  const warps = (): Task[][] => {
    made ??= warpsOf(v, index);
    return made;
  };
  const operand = (key: 'a' | 'b' | 'c', size: number): Uint8Array => {
    const known = new Map<Matrix, bigint[]>(); // problems share matrices
    const registers = (group: readonly Task[]): bigint[] => {
      const matrices = group.map(({ problem }) => problem[key]);
      const found = products === 1 ? known.get(matrices[0] as Matrix) : undefined;
      const made = found ?? fragments(matrices, element(v[key]), v.layout[key], size);
      known.set(matrices[0] as Matrix, made);
      return made;
    };
    return pack(warps().flatMap(registers), width);
  };
  const d = element(v.d);
  const words = wordsPerLane(d, v.layout.sizes[2]);
  const place = v.d !== v.c && products === 4 ? quadLayout('row', 'col', v.d as 'f16').c : v.layout.c;
  return {
    name: v.instruction,
    ...(v.target ? { target: v.target } : {}),
    ptx: ptx(v),
    get launch() {
      return {
        grid: String(warps().length),
        block: '32',
        args: [
          { input: operand('a', v.layout.sizes[0]) },
          { input: operand('b', v.layout.sizes[1]) },
          { input: operand('c', v.layout.sizes[2]) },
          { output: (warps().length * 32 * words * width) / 8 },
        ],
      };
    },
    judge: ([bytes]) => {
      const values = unpack(bytes as Uint8Array, width);
      const found: string[] = [];
      const per = width / d.bits;
      const seen = new Set<string>();
      warps().forEach((group, warp) => {
        for (let lane = 0; lane < 32; ++lane) {
          for (let i = 0; i < v.layout.sizes[2]; ++i) {
            const which = products === 1 ? 0 : (lane >> 2) & 3;
            const { exact, problem } = group[which] as Task;
            const [row, column] = place(lane, i);
            const word = values[(warp * 32 + lane) * words + Math.floor(i / per)] as bigint;
            const bits = BigInt.asUintN(d.bits, word >> BigInt((i % per) * d.bits));
            const text = wrong(v, exact, problem, row, column, d.decode(bits));
            if (text) found.push(`product ${warp * products + which}, lane ${lane}: ${text}`);
            if (warp === 0) seen.add(`${which} ${row} ${column}`);
          }
        }
      });
      if (seen.size !== m * n * products) found.push(`the layout covers ${seen.size} of ${m * n * products} elements`);
      return found.length > 4 ? [...found.slice(0, 4), `${found.length} elements are wrong`] : found;
    },
  };
}

const shapeOf = (text: string): readonly [number, number, number] => {
  const [, m, n, k] = /m(\d+)n(\d+)k(\d+)/.exec(text) as unknown as [string, string, string, string];
  return [Number(m), Number(n), Number(k)];
};

function variant(
  shape: string,
  d: string,
  a: string,
  b: string,
  c: string,
  extra: Partial<Variant> & { readonly suffix?: string } = {},
): Variant {
  const { suffix = '', ...rest } = extra;
  const [m, n, k] = shapeOf(shape);
  return {
    instruction: `mma.sync.aligned.${shape}.row.col${extra.saturate ? '.satfinite' : ''}.${d}.${a}.${b}.${c}${suffix}`,
    shape: [m, n, k],
    a,
    b,
    c,
    d,
    layout: mmaLayout(m, k, Math.max(1, 32 / element(a).bits)),
    ...rest,
  };
}

const quads: Variant[] = (['row', 'col'] as const).flatMap((a) =>
  (['row', 'col'] as const).flatMap((b) =>
    (
      [
        ['f16', 'f16'],
        ['f32', 'f16'],
        ['f32', 'f32'],
      ] as const
    ).map(
      ([d, c]): Variant => ({
        instruction: `mma.sync.aligned.m8n8k4.${a}.${b}.${d}.f16.f16.${c}`,
        shape: [8, 8, 4],
        a: 'f16',
        b: 'f16',
        c,
        d,
        layout: quadLayout(a, b, c),
        products: 4,
      }),
    ),
  ),
);

const floats: Variant[] = [
  ...['m16n8k8', 'm16n8k16'].flatMap((shape) => ['f16', 'f32'].map((acc) => variant(shape, acc, 'f16', 'f16', acc))),
  ...['m16n8k8', 'm16n8k16'].map((shape) => variant(shape, 'f32', 'bf16', 'bf16', 'f32')),
  ...['m16n8k4', 'm16n8k8'].map((shape) => variant(shape, 'f32', 'tf32', 'tf32', 'f32')),
  variant('m8n8k4', 'f64', 'f64', 'f64', 'f64'),
  ...['m16n8k16', 'm16n8k32'].flatMap((shape) =>
    ['e4m3', 'e5m2'].flatMap((a) =>
      ['e4m3', 'e5m2'].flatMap((b) => ['f16', 'f32'].map((acc) => variant(shape, acc, a, b, acc, { target: 'sm_89' }))),
    ),
  ),
];

const integersOf = (shapes: readonly string[], types: readonly string[]): Variant[] =>
  shapes.flatMap((shape) =>
    types.flatMap((a) =>
      types.flatMap((b) => [false, true].map((saturate) => variant(shape, 's32', a, b, 's32', { saturate }))),
    ),
  );
const popcount: Record<string, (a: number, b: number) => number> = { xor: (a, b) => a ^ b, and: (a, b) => a & b };
const integers: Variant[] = [
  ...integersOf(['m8n8k16', 'm16n8k16', 'm16n8k32'], ['s8', 'u8']),
  ...integersOf(['m8n8k32', 'm16n8k32', 'm16n8k64'], ['s4', 'u4']),
  ...['m8n8k128', 'm16n8k128', 'm16n8k256'].flatMap((shape) =>
    Object.entries(popcount).map(([name, combine]) =>
      variant(shape, 's32', 'b1', 'b1', 's32', { combine, suffix: `.${name}.popc` }),
    ),
  ),
];

/** nvcc drops results that nobody reads and passes constants: `_` in the destination, literals in the accumulator. */
const sparse: KernelCase = {
  name: 'mma with ignored results and literal accumulators',
  ptx: `.visible .entry test(.param .u64 out)
{ .reg .u64 %p; .reg .b32 %a, %t; .reg .f32 %d<4>, %c; mov.b32 %a, 0x3c003c00; mov.f32 %c, 3.; add.f32 %c, %c, 1.5;
mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%d0, _, %d2, _}, {%a, %a, %a, %a}, {%a, %a}, {%c, 0., 2.5, 0.};
ld.param.u64 %p, [out]; mov.u32 %t, %tid.x; mad.wide.u32 %p, %t, 8, %p; st.global.f32 [%p], %d0; st.global.f32 [%p+4], %d2; ret; }`,
  launch: { block: '32', args: [{ output: 256 }] },
  judge: ([bytes]) => {
    const f32 = element('f32');
    const values = unpack(bytes as Uint8Array, 32).map(f32.decode);
    return values.flatMap((value, i) => (value === (i % 2 === 0 ? 20.5 : 18.5) ? [] : [`result ${i} is ${value}`]));
  },
};

kernelSuite('mma of floats', [...floats.map(caseOf), sparse]);
kernelSuite('mma.m8n8k4 of f16', quads.map(caseOf));
kernelSuite('mma of integers', integers.map(caseOf));
