// SPDX-License-Identifier: Apache-2.0
import { PagewarpError, unsupported } from '../errors.js';
import type { NativeInt4 } from '../native.js';
import type { SafetensorsFile } from './safetensors.js';

type Json = Readonly<Record<string, unknown>>;

/** How a folder's 4-bit weights are stored: its `quantization_config`. */
export interface Int4Scheme {
  readonly method: 'gptq' | 'awq' | 'compressed-tensors' | 'pagewarp';
  /** Of zero points: what is added to the stored ones. */
  readonly zeroShift: number;
}

const supported = 'gptq and awq (4 bits, zero points in qzeros), compressed-tensors (pack-quantized, 4 bits)';

/**
 * Reads `quantization_config`.
 * @throws PagewarpError ERR_UNSUPPORTED for other methods, widths and variants
 */
export function int4SchemeOf(path: string, config: unknown): Int4Scheme | undefined {
  if (config === undefined || config === null) return undefined;
  const json = config as Json;
  const method = json['quant_method'];
  if (method === 'gptq' || method === 'awq') {
    if (json['bits'] !== 4) throw unsupported(`${path}: ${method} with ${String(json['bits'])} bits`, supported);
    const version = String(json['version'] ?? 'gemm').toLowerCase();
    if (method === 'awq' && version !== 'gemm')
      throw unsupported(`${path}: awq "${version}"`, 'the "gemm" version of awq');
    const stored = json['checkpoint_format'] ?? 'gptq';
    return { method, zeroShift: method === 'gptq' && stored !== 'gptq_v2' ? 1 : 0 };
  }
  if (method === 'compressed-tensors') {
    const groups = Object.values((json['config_groups'] ?? {}) as Json) as { weights?: Json; format?: string }[];
    for (const { weights, format } of groups) {
      const kind = format ?? json['format'];
      if (kind !== 'pack-quantized') throw unsupported(`${path}: the compression format "${String(kind)}"`, supported);
      if (weights?.['num_bits'] !== 4 || weights['type'] !== 'int') {
        throw unsupported(
          `${path}: weights of ${String(weights?.['num_bits'])} bits (${weights?.['type']})`,
          supported,
        );
      }
    }
    return { method, zeroShift: 0 };
  }
  if (method === 'pagewarp') {
    if (json['format'] !== 'lut4') throw unsupported(`${path}: the format "${String(json['format'])}"`, 'lut4');
    return { method, zeroShift: 0 };
  }
  throw unsupported(`${path}: the quantisation method ${JSON.stringify(method)}`, supported);
}

/** The `quantization_config` of folders with our blocks of 16 levels. */
export function lut4Config(levels: 'nf4' | 'any4'): Json {
  return { quant_method: 'pagewarp', format: 'lut4', bits: 4, group_size: 32, levels };
}

const codeNames = {
  gptq: 'qweight',
  awq: 'qweight',
  'compressed-tensors': 'weight_packed',
  pagewarp: 'weight_blocks',
} as const;

/** The tensor that holds the codes of the matrix `module`, when it is quantised. */
export function codesOf(module: string, scheme: Int4Scheme): string {
  return `${module}.${codeNames[scheme.method]}`;
}

/** A matrix in LUT4 blocks. */
export interface Lut4Matrix {
  file: SafetensorsFile;
  blocks: string;
  levels: Float32Array;
  rows: number;
  columns: number;
}

/** @throws PagewarpError ERR_INVALID_MODEL for shapes that do not fit */
export function lut4Matrix(
  module: string,
  [rows, columns]: readonly [number, number],
  file: (name: string) => SafetensorsFile,
): Lut4Matrix {
  const [blocks, levels] = [`${module}.weight_blocks`, `${module}.weight_levels`];
  const stored = file(blocks).tensor(blocks);
  const table = file(levels).tensor(levels);
  const rowBytes = (columns / 32) * 18;
  const [tables, width] = table.shape;
  const fits =
    columns % 32 === 0 &&
    stored.dtype === 'U8' &&
    stored.shape.join() === `${rows},${rowBytes}` &&
    table.dtype === 'F32' &&
    table.shape.length === 2 &&
    width === 16 &&
    (tables === 1 || tables === rows);
  const values = fits ? file(levels).values(levels) : undefined;
  if (!values?.every(Number.isFinite)) {
    const shapes = `blocks [${stored.shape.join(', ')}] and levels [${table.shape.join(', ')}]`;
    const message = `${file(blocks).path}: ${module}: ${shapes} do not make [${rows}, ${columns}] weights`;
    throw new PagewarpError('ERR_INVALID_MODEL', message, { module });
  }
  return { file: file(blocks), blocks, levels: values, rows, columns };
}

const scaleTypes = ['F32', 'F16', 'BF16'];

/**
 * Describes a quantised matrix [rows, columns].
 * @param file the shard of a tensor
 * @throws PagewarpError ERR_INVALID_MODEL for shapes that do not fit, ERR_UNSUPPORTED for groups of less than 16 columns
 */
export function int4Matrix(
  scheme: Int4Scheme,
  module: string,
  [rows, columns]: readonly [number, number],
  file: (name: string) => SafetensorsFile,
  has: (name: string) => boolean,
): NativeInt4 {
  const compressed = scheme.method === 'compressed-tensors';
  const names = compressed
    ? { scales: 'weight_scale', zeros: 'weight_zero_point', order: 'weight_g_idx' }
    : { scales: 'scales', zeros: 'qzeros', order: 'g_idx' };
  const [codes, scales, zeros] = [codesOf(module, scheme), `${module}.${names.scales}`, `${module}.${names.zeros}`];
  const fail = (what: string): never => {
    throw new PagewarpError('ERR_INVALID_MODEL', `${file(codes).path}: ${module}: ${what}`, { module });
  };
  const shapeOf = (name: string): readonly number[] => file(name).tensor(name).shape;
  const scaleShape = compressed ? shapeOf(scales) : shapeOf(scales).toReversed();
  const groups = scaleShape[1] ?? 1;
  if (scaleShape[0] !== rows || groups < 1 || columns % groups !== 0 || scaleShape.length > 2) {
    fail(`scales of shape [${shapeOf(scales).join(', ')}] for [${rows}, ${columns}] weights`);
  }
  const groupSize = columns / groups;
  if (groupSize % 16 !== 0) throw unsupported(`${module}: groups of ${groupSize} columns`, 'multiples of 16 columns');
  if (columns % 8 !== 0 || (!compressed && rows % 8 !== 0)) fail(`a shape of [${rows}, ${columns}] has no whole words`);
  const wanted = {
    gptq: [columns / 8, rows],
    awq: [columns, rows / 8],
    'compressed-tensors': [rows, columns / 8],
    pagewarp: [],
  }[scheme.method];
  if (shapeOf(codes).join() !== wanted.join()) {
    fail(`codes of shape [${shapeOf(codes).join(', ')}], but the hyperparameters ask for [${wanted.join(', ')}]`);
  }
  const scaleType = scaleTypes.indexOf(file(scales).tensor(scales).dtype);
  if (scaleType < 0)
    throw unsupported(`${module}: scales of type ${file(scales).tensor(scales).dtype}`, scaleTypes.join(', '));
  for (const name of [codes, ...(has(zeros) ? [zeros] : [])]) {
    if (file(name).tensor(name).dtype !== 'I32')
      throw unsupported(`${name} of type ${file(name).tensor(name).dtype}`, 'I32');
  }
  if (!compressed && !has(zeros)) fail('there are no qzeros');
  const groupIndex = `${module}.${names.order}`;
  return {
    packing: ['gptq', 'awq', 'compressed-tensors'].indexOf(scheme.method),
    ...{ rows, columns, groupSize, scaleType, zeroShift: scheme.zeroShift },
    codes: file(codes).part(codes),
    scales: file(scales).part(scales),
    zeros: has(zeros) ? file(zeros).part(zeros) : null,
    order: has(groupIndex) ? orderOf(file(groupIndex).integers(groupIndex), columns, groupSize, fail) : null,
  };
}

/** The columns sorted by group; null where they lie so already. */
function orderOf(
  groupOf: Int32Array,
  columns: number,
  groupSize: number,
  fail: (what: string) => never,
): Int32Array | null {
  const groups = columns / groupSize;
  if (groupOf.length !== columns) fail(`group indices of ${groupOf.length} columns, not ${columns}`);
  const next = Int32Array.from({ length: groups }, (_, group) => group * groupSize);
  const order = new Int32Array(columns);
  for (const [column, group] of groupOf.entries()) {
    if (group < 0 || group >= groups) fail(`column ${column} is in group ${group} of ${groups}`);
    const at = next[group] as number;
    if (at === (group + 1) * groupSize) fail(`group ${group} has more than ${groupSize} columns`);
    order[at] = column;
    next[group] = at + 1;
  }
  return order.every((column, i) => column === i) ? null : order;
}
