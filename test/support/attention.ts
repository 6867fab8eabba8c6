// SPDX-License-Identifier: Apache-2.0
/** Inputs and runs of attention for tests and benchmarks, from the parameters of test/cases/attention.json. */
import {
  type AttentionPlan,
  attention,
  bf16ToNumber,
  type CustomMask,
  type Device,
  type FloatDType,
  f16ToNumber,
  numberToBf16,
  numberToF16,
  type PageTable,
  planAttention,
  type StoredCacheDType,
  Tensor,
  type TreeMask,
  treeMask,
} from '../../lib/index.js';
import { type CodeType, decodeCode, isCodeType, nearestCode } from './cache-codes.js';
import { generator } from './grid.js';
import { randomNumbers } from './random.js';

type AnyArray = Float32Array | Uint16Array | Int8Array | Uint8Array;

export interface AttentionCase {
  seed: number;
  batch?: number;
  /** Query rows and keys of each sequence; a list overrides `batch`. */
  queries: number | number[];
  kv: number | number[];
  heads?: number;
  /** Query heads per kv head, instead of `heads`. */
  group?: number;
  kvHeads: number;
  headDim: number;
  pageSize: number;
  layout?: 'NHD' | 'HND';
  cache?: StoredCacheDType;
  dtype?: FloatDType;
  mask?: 'causal' | 'none' | 'tree' | 'customCausal';
  window?: number;
  sinkTokens?: number;
  softCap?: number;
  alibi?: boolean;
  sinks?: boolean;
  split?: 'auto' | 'none' | number | readonly ('none' | number)[];
  /** Factor on q: how peaked the softmax is. */
  scaleQ?: number;
}

/** Arrays of a case, independent of any device. */
export interface AttentionInputs {
  parameters: AttentionCase;
  heads: number;
  queryLengths: number[];
  pageTable: PageTable;
  q: AnyArray;
  k: AnyArray;
  v: AnyArray;
  kScale: Float32Array | undefined;
  vScale: Float32Array | undefined;
  parents: number[][] | undefined;
}

/** @param mostPoolElements larger pools are not made: sequences of large cases share pages */
export function makeInputs(parameters: AttentionCase, mostPoolElements = 1 << 22): AttentionInputs {
  const { seed, kvHeads, headDim, pageSize } = parameters;
  const kvLengths = perSequence(parameters.kv, parameters.batch);
  const queryLengths = perSequence(parameters.queries, kvLengths.length);
  const heads = parameters.heads ?? kvHeads * (parameters.group ?? 1);
  const needed = kvLengths.map((length) => Math.ceil(length / pageSize));
  const total = needed.reduce((sum, n) => sum + n, 0);
  const pages = Math.max(1, Math.min(total + 2, Math.floor(mostPoolElements / (pageSize * kvHeads * headDim))));
  const order = shuffled(pages, seed);
  const indptr = new Int32Array(needed.length + 1);
  for (const [s, n] of needed.entries()) indptr[s + 1] = (indptr[s] as number) + n;
  const indices = Int32Array.from({ length: total }, (_, i) => order[i % pages] as number);
  const elements = pages * pageSize * kvHeads * headDim;
  const cache = parameters.cache ?? 'f32';
  const rows = queryLengths.reduce((sum, n) => sum + n, 0);
  const scales = (stream: number): Float32Array | undefined =>
    isCodeType(cache)
      ? randomNumbers(pages * pageSize * kvHeads, { seed, stream, distribution: 'uniform', scale: 0.2 }).map(
          (x) => (x + 0.8) / codesPerUnit[cache],
        )
      : undefined;
  return {
    parameters,
    heads,
    queryLengths,
    pageTable: { lengths: Int32Array.from(kvLengths), indptr, indices, pageSize, pages, kvHeads, headDim },
    q: randomArray(parameters.dtype ?? 'f32', rows * heads * headDim, seed, 1, parameters.scaleQ),
    k: randomArray(cache, elements, seed, 2),
    v: randomArray(cache, elements, seed, 3),
    kScale: scales(4),
    vScale: scales(5),
    parents: parameters.mask === 'tree' ? queryLengths.map((n, s) => randomTree(n, seed + s)) : undefined,
  };
}

function perSequence(lengths: number | number[], batch = 1): number[] {
  return Array.isArray(lengths) ? lengths : new Array<number>(batch).fill(lengths);
}

function shuffled(count: number, seed: number): Int32Array {
  const random = generator(seed + 77);
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

/** What codes of random numbers are, before they are rounded; scales make numbers of about the same size of them. */
const codesPerUnit: Record<CodeType, number> = { i8: 36, fp8e4m3: 36, i4: 2 };

/** `count` values of `dtype`: 2^16 random ones, repeated with a shift, so that large pools are cheap. */
function randomArray(dtype: StoredCacheDType, elements: number, seed: number, stream: number, scale = 1): AnyArray {
  const period = 1 << 16;
  const count = dtype === 'i4' ? elements / 2 : elements;
  const numbers = randomNumbers(Math.min(count, period), { seed, stream, scale });
  const encode = {
    f32: Float32Array,
    f16: Uint16Array,
    bf16: Uint16Array,
    i8: Int8Array,
    fp8e4m3: Uint8Array,
    i4: Uint8Array,
  }[dtype];
  const convert = {
    f32: (x: number) => x,
    f16: numberToF16,
    bf16: numberToBf16,
    i8: (x: number) => nearestCode('i8', x * codesPerUnit.i8),
    fp8e4m3: (x: number) => nearestCode('fp8e4m3', x * codesPerUnit.fp8e4m3),
    // Two of 4 bits, the second far from the first.
    i4: (x: number) => nearestCode('i4', x * codesPerUnit.i4) | (nearestCode('i4', ((x * 1e3) % 7) - 3) << 4),
  }[dtype];
  const base = new encode(numbers.length);
  for (const [i, number] of numbers.entries()) base[i] = convert(number);
  const all = new encode(count);
  for (let at = 0, shift = 0; at < count; at += period, shift = (shift + 7919) % period) {
    const length = Math.min(period, count - at);
    const head = Math.min(length, period - shift);
    all.set(base.subarray(shift, shift + head) as never, at);
    all.set(base.subarray(0, length - head) as never, at + head);
  }
  return all;
}

/** Parents of a random tree: depth up to 8, at most 10 children per node. */
function randomTree(nodes: number, seed: number): number[] {
  const random = generator(seed);
  const parents: number[] = [];
  const depth: number[] = [];
  const children = new Map<number, number>();
  for (let node = 0; node < nodes; node++) {
    let parent = Math.floor(random() * (node + 1)) - 1;
    while (parent >= 0 && ((depth[parent] as number) >= 7 || (children.get(parent) ?? 0) >= 10)) parent--;
    parents.push(parent);
    depth.push(parent < 0 ? 0 : (depth[parent] as number) + 1);
    children.set(parent, (children.get(parent) ?? 0) + 1);
  }
  return parents;
}

/** Bits of the causal rule, as a custom mask. */
function causalBits(queryLengths: readonly number[], kvLengths: ArrayLike<number>): CustomMask {
  const total = queryLengths.reduce((sum, n, s) => sum + n * (kvLengths[s] as number), 0);
  const bits = new Uint8Array(Math.ceil(total / 8));
  let bit = 0;
  for (const [s, queries] of queryLengths.entries()) {
    const keys = kvLengths[s] as number;
    for (let i = 0; i < queries; i++) {
      for (let j = 0; j < keys; j++, bit++) {
        if (j <= keys - queries + i) bits[bit >> 3] = (bits[bit >> 3] as number) | (1 << (bit & 7));
      }
    }
  }
  return { kind: 'custom', bits };
}

function maskOf(inputs: AttentionInputs): 'causal' | 'none' | TreeMask | CustomMask {
  const { mask = 'causal' } = inputs.parameters;
  if (mask === 'tree') return treeMask(inputs.parents as number[][]);
  if (mask === 'customCausal') return causalBits(inputs.queryLengths, inputs.pageTable.lengths);
  return mask;
}

/** The case cut down to some of its sequences: what the slow reference is asked about. */
export function subset(inputs: AttentionInputs, sequences: readonly number[]): AttentionInputs {
  const { pageTable, queryLengths, heads } = inputs;
  const rowLength = heads * pageTable.headDim;
  const firstRow = queryLengths.map((_, s) => queryLengths.slice(0, s).reduce((sum, n) => sum + n, 0));
  const indptr = new Int32Array(sequences.length + 1);
  const indices: number[] = [];
  const q = sequences.flatMap((s, i) => {
    indices.push(...pageTable.indices.slice(pageTable.indptr[s], pageTable.indptr[s + 1]));
    indptr[i + 1] = indices.length;
    const begin = (firstRow[s] as number) * rowLength;
    return Array.from(inputs.q.subarray(begin, begin + (queryLengths[s] as number) * rowLength));
  });
  return {
    ...inputs,
    queryLengths: sequences.map((s) => queryLengths[s] as number),
    pageTable: {
      ...pageTable,
      lengths: Int32Array.from(sequences, (s) => pageTable.lengths[s] as number),
      indptr,
      indices: Int32Array.from(indices),
    },
    q: (inputs.q.constructor as Float32ArrayConstructor).from(q),
    parents: inputs.parents && sequences.map((s) => inputs.parents?.[s] as number[]),
  };
}

export interface AttentionRun {
  out: Float32Array;
  lse: Float32Array;
}

/** Everything of a case on one device, ready to run. Dispose it. */
export class AttentionBench implements Disposable {
  readonly plan: AttentionPlan;
  readonly out: Tensor<FloatDType>;
  readonly lse: Tensor<'f32'>;
  readonly #device: Device;
  readonly #inputs: AttentionInputs;
  readonly #owned: Disposable[] = [];
  readonly #options: Parameters<typeof attention>[1];

  constructor(device: Device, inputs: AttentionInputs, outDtype?: FloatDType) {
    const { parameters, pageTable, heads, queryLengths } = inputs;
    const { kvHeads, headDim, pageSize, pages } = pageTable;
    this.#device = device;
    this.#inputs = inputs;
    const rows = queryLengths.reduce((sum, n) => sum + n, 0);
    const dtype = parameters.dtype ?? 'f32';
    const q = this.#own(Tensor.from(device, inputs.q as never, [rows, heads, headDim], dtype));
    const hnd = (parameters.layout ?? 'NHD') === 'HND';
    const pool = (data: AnyArray, type: StoredCacheDType, tail: number[]): Tensor => {
      const inner = hnd ? [kvHeads, pageSize] : [pageSize, kvHeads];
      const stored = type === 'fp8e4m3' || type === 'i4' ? 'u8' : type;
      const made = this.#own(Tensor.from(device, data as never, [pages, ...inner, ...tail], stored)) as Tensor;
      return hnd ? this.#own(made.transpose(1, 2)) : made;
    };
    const cache = parameters.cache ?? 'f32';
    const scale = (data: Float32Array | undefined): Tensor<'f32'> | undefined =>
      data && (pool(data, 'f32', []) as Tensor<'f32'>);
    const perHead = (values: number[]): Tensor<'f32'> => this.#own(Tensor.from(device, values, [heads], 'f32'));
    this.plan = this.#own(
      planAttention({
        queryLengths,
        pageTable,
        heads,
        mask: maskOf(inputs),
        ...(parameters.window === undefined ? {} : { window: parameters.window }),
        sinkTokens: parameters.sinkTokens ?? 0,
        split: parameters.split ?? 'auto',
        device,
      }),
    );
    this.out = this.#own(Tensor.empty(device, [rows, heads, headDim], outDtype ?? dtype));
    this.lse = this.#own(Tensor.empty(device, [rows, heads], 'f32'));
    this.#options = {
      q,
      plan: this.plan,
      kv: {
        type: cache,
        k: pool(inputs.k, cache, [cache === 'i4' ? headDim / 2 : headDim]),
        v: pool(inputs.v, cache, [cache === 'i4' ? headDim / 2 : headDim]),
        kScale: scale(inputs.kScale),
        vScale: scale(inputs.vScale),
      },
      out: this.out,
      lse: this.lse,
      softCap: parameters.softCap ?? 0,
      ...(parameters.alibi ? { alibiSlopes: perHead(slopes(heads)) } : {}),
      ...(parameters.sinks ? { sinks: perHead(sinkLogits(heads)) } : {}),
    };
  }

  /** Enqueues one attention. */
  enqueue(): void {
    attention(this.#device.defaultStream, this.#options);
  }

  /** Runs once and reads the results. Outputs start as NaN: what is not written shows. */
  async run(): Promise<AttentionRun> {
    this.out.fill(Number.NaN);
    this.lse.fill(Number.NaN);
    this.enqueue();
    return {
      out: Float32Array.from(await this.out.readNumbers()),
      lse: Float32Array.from(await this.lse.readNumbers()),
    };
  }

  /** Rows of `out` or `lse` that belong to some of the sequences. */
  rowsOf(values: Float32Array, sequences: readonly number[]): Float32Array {
    const { queryLengths } = this.#inputs;
    const rows = queryLengths.reduce((sum, n) => sum + n, 0);
    const perRow = values.length / Math.max(1, rows);
    return Float32Array.from(
      sequences.flatMap((s) => {
        const begin = queryLengths.slice(0, s).reduce((sum, n) => sum + n, 0);
        return Array.from(values.subarray(begin * perRow, (begin + (queryLengths[s] as number)) * perRow));
      }),
    );
  }

  [Symbol.dispose](): void {
    for (const owned of this.#owned) owned[Symbol.dispose]();
  }

  #own<T extends Disposable>(owned: T): T {
    this.#owned.push(owned);
    return owned;
  }
}

/** ALiBi's slopes for a number of heads. */
export function slopes(heads: number): number[] {
  return Array.from({ length: heads }, (_, h) => Math.fround(2 ** ((-8 * (h + 1)) / heads)));
}

export function sinkLogits(heads: number): number[] {
  return Array.from({ length: heads }, (_, h) => Math.fround(Math.sin(h) * 2));
}

/** Element `i` of stored data as a number. */
export function decodeElement(data: AnyArray, dtype: StoredCacheDType, i: number): number {
  if (dtype === 'i4') return decodeCode(dtype, ((data[i >> 1] as number) >> (4 * (i % 2))) & 15);
  const value = data[i] as number;
  if (dtype === 'fp8e4m3') return decodeCode(dtype, value);
  return dtype === 'f16' ? f16ToNumber(value) : dtype === 'bf16' ? bf16ToNumber(value) : value;
}
