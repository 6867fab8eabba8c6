// SPDX-License-Identifier: Apache-2.0
/** Inputs and runs of linear layers, from the parameters of test/cases/linear.json. */
import { expect } from 'vitest';
import { Device, type FloatDType, linear, type MatrixFormat, PackedMatrix, Tensor } from '../../lib/index.js';
import { decodeBlocks, lutLevels, randomBlocks, tablesOf } from '../oracle/ggml-blocks.js';
import { randomNumbers } from './random.js';

/** Formats whose packed matrices GPUs multiply by. */
export const gpuFormats = [
  'q4_0',
  'q4_1',
  'q4_k',
  'q5_0',
  'q5_1',
  'q5_k',
  'q6_k',
  'q8_0',
  'iq4_nl',
  'mxfp4',
  'int4_zp',
  'int4_g16',
  'lut4',
  'nvfp4',
] as const satisfies readonly MatrixFormat[];

export interface LinearCase {
  m: number;
  n: number;
  k: number;
  format: MatrixFormat;
  x?: FloatDType;
  out?: FloatDType;
  bias?: boolean;
  biasType?: FloatDType;
  residual?: boolean;
  residualType?: FloatDType;
  /** Rows of x and out lie apart. */
  strided?: boolean;
  /** The matrix is put together from that many pieces. */
  sources?: number;
  large?: boolean;
  gate?: 'silu';
  precision?: 'int8';
  /** lut4: each row has levels of its own. */
  rowTables?: boolean;
}

/** Arrays of a case, independent of any device. */
export interface LinearInputs {
  blocks: Uint8Array;
  x: Float32Array;
  bias: Float32Array | undefined;
  residual: Float32Array | undefined;
  /** Of the matrix's columns. */
  order?: Int32Array;
  /** 16 of each row. */
  levels?: Float32Array<ArrayBuffer>;
}

export const isDense = (format: MatrixFormat): boolean => format === 'f32' || format === 'f16' || format === 'bf16';

export function makeLinearInputs(c: LinearCase, seed: number): LinearInputs {
  return {
    blocks: randomBlocks(c.format, c.n, c.k, seed),
    x: randomNumbers(c.m * c.k, { seed, stream: 2 }),
    bias: c.bias ? randomNumbers(c.n, { seed, stream: 3 }) : undefined,
    residual: c.residual ? randomNumbers(c.m * c.n, { seed, stream: 4 }) : undefined,
    ...(c.rowTables ? { levels: rowLevels(c.n) } : {}),
  };
}

/** Tables whose scales and middles differ from row to row. */
function rowLevels(n: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: 16 * n }, (_, i) => {
    const row = i >> 4;
    return (lutLevels[i % 16] as number) * (1 + row / n) + (row % 7) / 11;
  });
}

/** The weights on the device, from sources of unequal size; dense ones on a GPU from a tensor. */
export function uploadWeights(device: Device, c: LinearCase, { blocks, order, levels }: LinearInputs): PackedMatrix {
  const { n, k, format, sources = 1 } = c;
  if (device.kind === 'cuda' && isDense(format)) {
    using numbers = Tensor.from(device, decodeBlocks(format, blocks), [n, k], 'f32');
    return PackedMatrix.fromTensor(device.defaultStream, numbers, format as FloatDType);
  }
  const rowBytes = blocks.length / n;
  const list = [];
  for (let i = 0, row = 0; i < sources; i++) {
    const end = i === sources - 1 ? n : row + Math.max(1, Math.floor(n / (sources + 1)));
    const data = Tensor.from(device, blocks.slice(row * rowBytes, end * rowBytes), undefined, 'u8');
    const tables = levels ? { levels: levels.slice(16 * row, 16 * end) } : tablesOf(format);
    list.push({ data, format, columns: k, ...tables });
    row = end;
  }
  const matrix = PackedMatrix.fromBlocks(device.defaultStream, list, order ? { order } : {});
  for (const { data } of list) data.dispose();
  return matrix;
}

/** [rows, width] with `gap` columns of NaN behind each row. */
function spread(values: Float32Array, rows: number, gap: number): number[] {
  const width = values.length / rows;
  const out: number[] = [];
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < width; i++) out.push(values[row * width + i] as number);
    for (let i = 0; i < gap; i++) out.push(Number.NaN);
  }
  return out;
}

/** The columns `[begin, end)` of rows of `width`. */
function columns(values: readonly number[], width: number, begin: number, end: number): number[] {
  const out: number[] = [];
  for (let at = 0; at < values.length; at += width) {
    for (let i = begin; i < end; i++) out.push(values[at + i] as number);
  }
  return out;
}

/** Runs a case into a poisoned `out`: out [m, n], what lies between its rows, and x as its dtype rounds it. */
export async function runLinear(
  device: Device,
  c: LinearCase,
  inputs: LinearInputs,
): Promise<{ out: number[]; gaps: number[]; x: number[] }> {
  const gap = c.strided ? 5 : 0;
  const n = c.gate ? c.n / 2 : c.n;
  using weight = uploadWeights(device, c, inputs);
  using wide = Tensor.from(device, spread(inputs.x, c.m, gap), [c.m, c.k + gap], c.x ?? 'f32');
  using outs = Tensor.full(device, [c.m, n + gap], c.out ?? 'f32', Number.NaN);
  using x = wide.slice(1, 0, c.k);
  using out = outs.slice(1, 0, n);
  const options: Parameters<typeof linear>[1] = { x, weight, out };
  if (c.gate) options.gate = c.gate;
  if (c.precision) options.precision = c.precision;
  if (inputs.bias) options.bias = Tensor.from(device, Array.from(inputs.bias), [c.n], c.biasType ?? 'f32');
  if (inputs.residual) {
    options.residual = Tensor.from(device, Array.from(inputs.residual), [c.m, c.n], c.residualType ?? 'f32');
  }
  linear(device.defaultStream, options);
  const all = await outs.readNumbers();
  options.bias?.dispose();
  options.residual?.dispose();
  const width = n + gap;
  return {
    out: columns(all, width, 0, n),
    gaps: columns(all, width, n, width),
    x: await x.readNumbers(),
  };
}

/** A case in float64 over the same dtypes: [m, n]. */
export async function linearReference(c: LinearCase, inputs: LinearInputs): Promise<number[]> {
  using device = Device.cpu({ isa: 'reference', threads: 1 });
  return (await runLinear(device, { ...c, out: 'f32' }, inputs)).out;
}

/** A NaN in a row of x makes that row of out NaN, an infinity makes it infinite or NaN; all other rows keep their bits. */
export async function expectNonFiniteRows(device: Device, given: Omit<LinearCase, 'm'>): Promise<void> {
  const c = { ...given, m: 19 };
  const inputs = makeLinearInputs(c, 8);
  const clean = (await runLinear(device, c, inputs)).out;
  const bad = new Map([
    [0, Number.NaN],
    [7, Number.POSITIVE_INFINITY],
    [18, Number.NEGATIVE_INFINITY],
  ]);
  const x = inputs.x.slice();
  for (const [row, value] of bad) x[row * c.k + 11 * row] = value;
  const { out } = await runLinear(device, c, { ...inputs, x });
  for (let row = 0; row < c.m; row++) {
    const values = out.slice(row * c.n, (row + 1) * c.n);
    if (!bad.has(row)) expect(values).toEqual(clean.slice(row * c.n, (row + 1) * c.n));
    else if (Number.isNaN(bad.get(row))) expect(values.every(Number.isNaN)).toBe(true);
    else expect(values.some(Number.isFinite)).toBe(false);
  }
}

/** Rows `[begin, end)` of the batch alone give the bits that they give within it. */
export async function expectRowsAlone(
  device: Device,
  c: LinearCase,
  ranges: readonly (readonly [begin: number, end: number])[],
): Promise<void> {
  const inputs = makeLinearInputs(c, 7);
  const { out } = await runLinear(device, c, inputs);
  for (const [begin, end] of ranges) {
    const part = { ...inputs, x: inputs.x.slice(begin * c.k, end * c.k) };
    expect((await runLinear(device, { ...c, m: end - begin }, part)).out).toEqual(out.slice(begin * c.n, end * c.n));
  }
}
