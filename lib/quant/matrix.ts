// SPDX-License-Identifier: Apache-2.0
import { checkInstance, checkList, checkObject, invalidArgument, shapeMismatch, unsupported } from '../errors.js';
import { GgufFile } from '../model/gguf.js';
import { type NativeFile, type NativeInt4, type NativeMatrix, type NativeMatrixSource, native } from '../native.js';
import { checkFloat, checkTensor } from '../ops/check.js';
import { embedding } from '../ops/embedding.js';
import { requireSupport } from '../ops/supports.js';
import { Device } from '../tensor/device.js';
import type { FloatDType } from '../tensor/dtype.js';
import { Resource } from '../tensor/resource.js';
import { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import {
  checkRounding,
  formatInfo,
  formatOfGgufType,
  type MatrixFormat,
  matrixFormats,
  type RoundingFormat,
  sourceBytes,
  tableLength,
} from './format.js';

/** Rows in a format's own block layout, in memory. */
export interface MatrixBlocks {
  /** [bytes], contiguous. */
  data: Tensor<'u8'>;
  format: MatrixFormat;
  columns: number;
  /** For lut4: 16 levels, or 16 for each row. */
  levels?: Float32Array;
  /** For nvfp4: what all scales are multiplied by, the tensor's own scale. Default 1. */
  factor?: number;
}

/** Rows of a mapped file, row-major. @internal */
export interface FileRows {
  file: NativeFile;
  offset: number;
  rows: number;
  columns: number;
  format: MatrixFormat;
  /** Of lut4: 16, or 16 for each row; of nvfp4: its factor. */
  levels?: Float32Array;
}

export interface PackOptions {
  /**
   * Let go of the pages of a GGUF file as soon as they have been packed, so that file and matrix are never both resident.
   * The file stays readable. Default true.
   */
  dropPages?: boolean;
}

export interface BlockOptions {
  /**
   * For weights whose columns were sorted (act-order): column i of the blocks multiplies element order[i] of x. A permutation.
   */
  order?: Int32Array;
}

interface ResolvedSource {
  format: MatrixFormat;
  rows: number;
  columns: number;
  native: NativeMatrixSource;
  levels?: Float32Array;
}

/**
 * A weight matrix [rows, columns] (output features, input features) on a device, in the layout that its kernels read: made
 * once, shared by {@link linear} and {@link embedding}.
 */
export class PackedMatrix extends Resource<NativeMatrix> {
  readonly device: Device;
  readonly format: MatrixFormat;
  /** [output features, input features] */
  readonly shape: readonly [n: number, k: number];
  /** Device memory that it occupies; 0 for a view of a file. */
  readonly bytes: number;
  /** Do its columns multiply the elements of x in another order (act-order)? */
  readonly isOrdered: boolean;

  private constructor(device: Device, format: MatrixFormat, n: number, k: number, handle: NativeMatrix) {
    super(handle);
    this.device = device;
    this.format = format;
    this.shape = [n, k];
    const { bytes, ordered } = native().matrixInfo(handle);
    this.bytes = bytes;
    this.isOrdered = ordered;
  }

  /** Rows: output features. */
  get n(): number {
    return this.shape[0];
  }

  /** Columns: input features. */
  get k(): number {
    return this.shape[1];
  }

  static #pack(stream: Stream, sources: readonly ResolvedSource[], options: PackOptions & BlockOptions): PackedMatrix {
    checkInstance('stream', stream, Stream);
    checkObject('options', options);
    const [first] = sources;
    if (!first) throw invalidArgument('sources', [], 'at least one source');
    for (const { format, columns, rows } of sources) {
      if (format !== first.format) {
        throw unsupported(`fusing ${first.format} and ${format} rows in one matrix`, 'sources of one format');
      }
      if (columns !== first.columns) {
        throw shapeMismatch('sources', [rows, columns], ['rows', first.columns], 'fused sources have as many columns');
      }
    }
    requireSupport(stream, 'packMatrix', { format: first.format });
    const n = sources.reduce((sum, source) => sum + source.rows, 0);
    const handle = native().packMatrix(
      stream.native,
      formatInfo(first.format).code,
      first.columns,
      sources.map((source) => source.native),
      options.dropPages ?? true,
      joinLevels(sources),
      options.order ? checkOrder(options.order, first.columns) : null,
    );
    return new PackedMatrix(stream.device, first.format, n, first.columns, handle);
  }

  /**
   * Packs one tensor of a GGUF file, or several of one type and width below one another (fused QKV, gate and up). Returns at
   * once; the packing is a command on the stream, so later commands may use the matrix, and the file may be disposed.
   * @throws PagewarpError ERR_INVALID_MODEL (no such tensor), ERR_UNSUPPORTED (a type without a matrix format, or different
   *   types), ERR_SHAPE_MISMATCH, ERR_INVALID_ARGUMENT, ERR_OUT_OF_MEMORY
   */
  static fromGguf(stream: Stream, file: GgufFile, names: readonly string[], options: PackOptions = {}): PackedMatrix {
    checkList('names', names);
    return PackedMatrix.#pack(
      stream,
      names.map((name) => fromFile(file, name)),
      options,
    );
  }

  /**
   * Packs rows of mapped files in their block layout, several sources below one another as in {@link fromGguf}.
   * @internal For loaders, which have checked that the rows lie inside their files
   */
  static fromFile(stream: Stream, sources: readonly FileRows[], options: PackOptions = {}): PackedMatrix {
    return PackedMatrix.#pack(
      stream,
      sources.map(({ file, offset, ...source }) => {
        checkMatrixShape('tensor', [source.rows, source.columns], source.format);
        return { ...source, native: [file, offset, source.rows] };
      }),
      options,
    );
  }

  /**
   * Packs 4-bit matrices of a checkpoint (GPTQ, AWQ, compressed-tensors), several below one another: of one width and order
   * of columns, all with zero points, in groups of multiples of 32 columns, or all without, of 16. Their values stay what they
   * are; scales are rounded to f16.
   * @internal For loaders, which have checked shapes and types
   */
  static fromInt4(stream: Stream, sources: readonly NativeInt4[], options: PackOptions = {}): PackedMatrix {
    const [first] = sources;
    if (!first) throw invalidArgument('sources', [], 'at least one source');
    const short = sources.some(({ groupSize }) => groupSize % 32 !== 0);
    const format = first.zeros ? 'int4_zp' : short ? 'int4_g16' : 'q4_0';
    const handle = native().packInt4(stream.native, sources, formatInfo(format).code, options.dropPages ?? true);
    const rows = sources.reduce((sum, source) => sum + source.rows, 0);
    return new PackedMatrix(stream.device, format, rows, first.columns, handle);
  }

  /**
   * Packs rows that are in memory in their block layout, several sources below one another as in {@link fromGguf}.
   * @throws PagewarpError ERR_UNSUPPORTED, ERR_SHAPE_MISMATCH, ERR_INVALID_ARGUMENT, ERR_OUT_OF_MEMORY
   */
  static fromBlocks(stream: Stream, sources: readonly MatrixBlocks[], options: BlockOptions = {}): PackedMatrix {
    checkList('sources', sources);
    return PackedMatrix.#pack(
      stream,
      sources.map((source) => fromMemory(source, stream)),
      options,
    );
  }

  /**
   * An F32, F16 or BF16 tensor of a GGUF file used where it lies, without a copy. The mapping lives as long as the matrix
   * or a command that uses it, also after the file has been disposed.
   * @throws PagewarpError ERR_UNSUPPORTED for quantised types, ERR_INVALID_MODEL, ERR_SHAPE_MISMATCH
   */
  static viewGguf(device: Device, file: GgufFile, name: string): PackedMatrix {
    checkInstance('device', device, Device);
    const { format, rows, columns, native: parts } = fromFile(file, name);
    const info = formatInfo(format);
    if (info.blockColumns !== 1) throw unsupported(`a view of ${format} weights`, 'f32, f16, bf16; others are packed');
    requireSupport(device, 'viewMatrix', { format });
    const handle = native().viewMatrix(file.native, info.code, parts[1], rows, columns);
    return new PackedMatrix(device, format, rows, columns, handle);
  }

  /**
   * Rounds a tensor to nearest, group by group. `q4_0` maps each group's value of largest magnitude to the code -8,
   * `q4_1` its minimum and maximum to 0 and 15, `q8_0` its largest magnitude to 127.
   * @param x [rows, columns]
   * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_OUT_OF_MEMORY
   */
  static fromTensor(stream: Stream, x: Tensor<FloatDType>, format: RoundingFormat): PackedMatrix {
    checkFloat('x', x, stream);
    checkRounding(format);
    const info = formatInfo(format);
    const [rows, columns] = checkMatrixShape('x', x.shape, format);
    const handle = native().quantizeMatrix(stream.native, x.native, info.code);
    return new PackedMatrix(stream.device, format, rows, columns, handle);
  }

  /** Rows that the packing has finished so far, for a progress bar: grows while the stream runs. */
  get rowsDone(): number {
    return native().matrixInfo(this.native).rowsDone;
  }

  /** The weights as numbers: all rows, dequantised. For tests and inspection. */
  unpack(stream: Stream): Tensor<'f32'> {
    const rows = Int32Array.from({ length: this.n }, (_, row) => row);
    using ids = Tensor.from(this.device, rows, undefined, 'i32');
    // The ids were written on the default stream, which need not be this one.
    if (stream !== this.device.defaultStream) ids.write(rows, stream);
    const out = Tensor.empty(this.device, this.shape, 'f32');
    embedding(stream, { ids, weight: this, out });
    return out;
  }
}

function fromFile(file: GgufFile, name: string): ResolvedSource {
  checkInstance('file', file, GgufFile);
  const tensor = file.tensor(name);
  const format = formatOfGgufType(tensor.type);
  if (!format) throw unsupported(`tensor "${name}" of type ${tensor.type}`, matrixFormats.join(', '));
  const [rows, columns] = checkMatrixShape(`tensor "${name}"`, tensor.shape, format);
  return { format, rows, columns, native: [file.native, tensor.offset, rows] };
}

function fromMemory(blocks: MatrixBlocks, stream: Stream): ResolvedSource {
  checkObject('sources', blocks);
  const { data, format, columns, levels, factor } = blocks;
  checkTensor('data', data, stream, ['u8']);
  if (data.rank !== 1 || !data.isContiguous) {
    throw shapeMismatch('data', data.shape, ['bytes'], 'rows in their block layout are one run of bytes');
  }
  if (!Number.isSafeInteger(columns) || columns < 1) throw invalidArgument('columns', columns, 'a positive integer');
  checkMatrixShape('data', [1, columns], format);
  const rowBytes = sourceBytes(format, 1, columns);
  const rows = data.size / rowBytes;
  if (!Number.isInteger(rows) || rows < 1) {
    throw shapeMismatch(
      'data',
      data.shape,
      [`a multiple of ${rowBytes}`],
      `a row of ${columns} ${format} columns has ${rowBytes} bytes`,
    );
  }
  const source = { format, rows, columns, native: [data.native, 0, rows] as NativeMatrixSource };
  if (factor !== undefined && format !== 'nvfp4') {
    throw invalidArgument('factor', factor, `absent: ${format} has none`);
  }
  if (format !== 'lut4') {
    if (levels) throw invalidArgument('levels', levels, `absent: ${format} has none of its own`);
    if (format !== 'nvfp4') return source;
    if (factor !== undefined && !Number.isFinite(factor)) throw invalidArgument('factor', factor, 'a finite number');
    return { ...source, levels: Float32Array.of(factor ?? 1) };
  }
  if (!(levels instanceof Float32Array) || (levels.length !== 16 && levels.length !== 16 * rows)) {
    const given = levels ? `${levels.length} levels` : undefined;
    throw invalidArgument('levels', given, `a Float32Array of 16 levels, or of 16 for each of ${rows} rows`);
  }
  if (!levels.every(Number.isFinite)) throw invalidArgument('levels', 'not finite', 'finite numbers');
  return { ...source, levels };
}

/** The tables of all sources: one where all have the same one, else one for each row. */
function joinLevels(sources: readonly ResolvedSource[]): Float32Array | null {
  const [first] = sources;
  if (!first?.levels) return null;
  const length = tableLength(first.format);
  const shared = (levels: Float32Array): boolean =>
    levels.length === length && levels.every((level, i) => level === first.levels?.[i]);
  if (sources.every(({ levels }) => levels && shared(levels))) return first.levels;
  const joined = new Float32Array(length * sources.reduce((sum, { rows }) => sum + rows, 0));
  let at = 0;
  for (const { levels = new Float32Array(length), rows } of sources) {
    if (levels.length === length) for (let row = 0; row < rows; row++) joined.set(levels, at + length * row);
    else joined.set(levels, at);
    at += length * rows;
  }
  return joined;
}

function checkOrder(order: Int32Array, columns: number): Int32Array {
  const seen = new Uint8Array(columns);
  for (const column of order) if (column >= 0 && column < columns) seen[column] = 1;
  if (order.length !== columns || seen.includes(0)) {
    throw invalidArgument('order', `${order.length} columns`, `a permutation of 0 to ${columns - 1}`);
  }
  return order;
}

function checkMatrixShape(
  name: string,
  shape: readonly number[],
  format: MatrixFormat,
): [rows: number, columns: number] {
  const { blockColumns } = formatInfo(format);
  const [rows, columns] = shape;
  if (shape.length !== 2 || rows === undefined || columns === undefined || rows < 1 || columns < 1) {
    throw shapeMismatch(name, shape, ['rows', 'columns'], 'a weight matrix has two dimensions, neither of them 0');
  }
  if (columns % blockColumns !== 0) {
    throw shapeMismatch(
      name,
      shape,
      ['rows', `a multiple of ${blockColumns}`],
      `${format} has blocks of ${blockColumns} columns`,
    );
  }
  return [rows, columns];
}
