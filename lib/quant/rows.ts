// SPDX-License-Identifier: Apache-2.0
import { checkInstance, invalidArgument, shapeMismatch } from '../errors.js';
import { Device } from '../tensor/device.js';
import { Tensor } from '../tensor/tensor.js';

/** Columns of a row must be a multiple of this. */
const groupColumns = 32;

/**
 * Rows of activations rounded to 8-bit integers, in the form in which a device's linear layers over low-bit weights round their
 * input. {@link rmsNorm} writes it, {@link linear} reads it, any number of times: the rows are then rounded once and never
 * written as floating numbers.
 *
 * Columns that share a scale (32 on the CPU, the whole row on CUDA) have scale = their largest magnitude / 127 and, for each
 * element, the nearest integer multiple of it, ties to even. A NaN makes the scale NaN, else an infinity makes it infinite.
 */
export class QuantizedRows implements Disposable {
  readonly device: Device;
  /** [..., columns], as of the tensor that the rows stand for. */
  readonly shape: readonly number[];
  /** Contiguous, of `shape`, in the order that the device's kernels read. @internal */
  readonly codes: Tensor<'i8'>;
  /** @internal */
  readonly scales: Tensor<'f32'>;
  /** Of the codes of 16 columns each on the CPU, of 32 on CUDA. @internal */
  readonly sums: Tensor<'i32'>;

  private constructor(codes: Tensor<'i8'>, scales: Tensor<'f32'>, sums: Tensor<'i32'>) {
    this.device = codes.device;
    this.shape = codes.shape;
    this.codes = codes;
    this.scales = scales;
    this.sums = sums;
  }

  /**
   * Uninitialised.
   * @param shape 1 to 6 dimensions, the last one a multiple of 32
   * @throws PagewarpError ERR_INVALID_ARGUMENT, ERR_SHAPE_MISMATCH, ERR_OUT_OF_MEMORY
   */
  static empty(device: Device, shape: readonly number[]): QuantizedRows {
    checkInstance('device', device, Device);
    if (!Array.isArray(shape)) throw invalidArgument('shape', shape, 'an array of integers');
    const columns = shape.at(-1) as number;
    if (!(columns > 0 && columns % groupColumns === 0)) {
      throw shapeMismatch('shape', shape, ['...', `a multiple of ${groupColumns}`], 'columns share scales in groups');
    }
    const codes = Tensor.empty(device, shape, 'i8');
    const [scales, sums] = sizes(device, codes.size / columns, columns);
    return new QuantizedRows(codes, Tensor.empty(device, [scales], 'f32'), Tensor.empty(device, [sums], 'i32'));
  }

  /** The first `rows` rows as a view [rows, columns] of the same memory. @throws PagewarpError ERR_INVALID_ARGUMENT */
  first(rows: number): QuantizedRows {
    const columns = this.shape.at(-1) as number;
    const most = this.codes.size / columns;
    if (!(Number.isInteger(rows) && rows >= 0 && rows <= most)) {
      throw invalidArgument('rows', rows, `from 0 to ${most}`);
    }
    const [scales, sums] = sizes(this.device, rows, columns);
    return new QuantizedRows(
      this.codes.asStrided([rows, columns], [columns, 1]),
      this.scales.slice(0, 0, scales),
      this.sums.slice(0, 0, sums),
    );
  }

  get isDisposed(): boolean {
    return this.codes.isDisposed;
  }

  dispose(): void {
    this.codes.dispose();
    this.scales.dispose();
    this.sums.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Numbers of scales and of sums: see csrc/include/pagewarp/int8_rows.h. */
function sizes({ kind }: Device, rows: number, columns: number): [scales: number, sums: number] {
  const groups = (rows * columns) / groupColumns;
  return kind === 'cuda' ? [rows, groups] : [groups, 2 * groups];
}
