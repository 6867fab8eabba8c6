// SPDX-License-Identifier: Apache-2.0
/** Argument checks that ops share. Each throws a PagewarpError that names the argument. */
import { checkInstance, invalidArgument, PagewarpError, shapeMismatch, unsupported } from '../errors.js';
import type { PackedMatrix } from '../quant/matrix.js';
import type { QuantizedRows } from '../quant/rows.js';
import type { DType } from '../tensor/dtype.js';
import { Resource } from '../tensor/resource.js';
import { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { checkWritten } from '../tensor/written.js';

const floatDTypes = ['f32', 'f16', 'bf16'] as const;

/** `resource` lives on the stream's device. */
function checkDevice(name: string, resource: Tensor | PackedMatrix | QuantizedRows, stream: Stream): void {
  checkInstance('stream', stream, Stream);
  if (resource.device === stream.device) return;
  throw new PagewarpError(
    'ERR_INVALID_ARGUMENT',
    `${name} lives on another device (${resource.device.name}) than the stream (${stream.device.name})`,
    { name },
  );
}

/** `tensor` lives on the stream's device and has one of `allowed` dtypes. */
export function checkTensor(name: string, tensor: Tensor, stream: Stream, allowed: readonly DType[]): void {
  checkInstance(name, tensor, Tensor);
  checkDevice(name, tensor, stream);
  if (!allowed.includes(tensor.dtype)) throw unsupported(`${name} of dtype ${tensor.dtype}`, allowed.join(', '));
}

/** `matrix` lives on the stream's device. */
export function checkMatrix(name: string, matrix: PackedMatrix, stream: Stream): void {
  if (!(matrix instanceof Resource)) throw invalidArgument(name, matrix, 'a PackedMatrix');
  checkDevice(name, matrix, stream);
}

/** `rows` live on the stream's device. */
export function checkRows(name: string, rows: QuantizedRows, stream: Stream): void {
  checkDevice(name, rows, stream);
}

/** {@link checkTensor} for activations: f32, f16 or bf16 with a contiguous last dimension. */
export function checkFloat(name: string, tensor: Tensor, stream: Stream): void {
  checkTensor(name, tensor, stream, floatDTypes);
  checkContiguousRows(name, tensor);
}

/** {@link checkTensor} for what an op writes, of `allowed` dtypes and of any strides with which no elements overlap. */
export function checkOutput(name: string, tensor: Tensor, stream: Stream, allowed: readonly DType[]): void {
  checkTensor(name, tensor, stream, allowed);
  checkWritten(name, tensor);
}

/** {@link checkFloat} for what an op writes. */
export function checkFloatOutput(name: string, tensor: Tensor, stream: Stream): void {
  checkFloat(name, tensor, stream);
  checkWritten(name, tensor);
}

/** The elements of each row lie next to one another. */
export function checkContiguousRows(name: string, tensor: Tensor): void {
  const last = tensor.rank - 1;
  if (tensor.strides[last] !== 1 && (tensor.shape[last] as number) > 1) {
    throw invalidArgument(name, `strides [${tensor.strides.join(', ')}]`, 'contiguous in its last dimension');
  }
}

/** `tensor.shape` equals `expected`; strings in `expected` are names of free dimensions. */
export function checkShape(
  name: string,
  { shape }: { shape: readonly number[] },
  expected: readonly (number | string)[],
  why: string,
): void {
  const fits = shape.length === expected.length && expected.every((n, d) => typeof n === 'string' || n === shape[d]);
  if (!fits) throw shapeMismatch(name, shape, expected, why);
}

/** A finite number for which `test` holds. */
export function checkNumber(name: string, value: number, allowed: string, test: (value: number) => boolean): void {
  if (typeof value !== 'number' || !Number.isFinite(value) || !test(value)) throw invalidArgument(name, value, allowed);
}

/** `value` is an integer of at least `least`, and of at most `most` where that is said; `why` follows it in the message. */
export function checkInteger(name: string, value: number, least: number, most?: number, why = ''): void {
  const allowed = most === undefined ? `an integer of at least ${least}` : `an integer from ${least} to ${most}${why}`;
  checkNumber(name, value, allowed, (n) => Number.isInteger(n) && n >= least && n <= (most ?? n));
}
