// SPDX-License-Identifier: Apache-2.0
import { checkInstance, invalidArgument, PagewarpError, shapeMismatch } from '../errors.js';
import { type NativeTensor, native } from '../native.js';
import { Device } from './device.js';
import { type AnyTypedArray, type DType, dtypeCode, dtypes, holds, type TypedArrayOf, typedArray } from './dtype.js';
import { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16 } from './float16.js';
import { Resource } from './resource.js';
import { Stream } from './stream.js';
import { checkWritten } from './written.js';

const maxRank = 6;

/**
 * A strided view of device memory with a dtype. Views made by `reshape`, `slice`, `select` and `transpose` share the memory;
 * it is freed when the last view has been disposed and the last command that uses it has run.
 */
export class Tensor<D extends DType = DType> extends Resource<NativeTensor> {
  readonly device: Device;
  readonly dtype: D;
  readonly shape: readonly number[];
  /** In elements. */
  readonly strides: readonly number[];
  /** Elements before this view's first, from the beginning of its memory. */
  readonly #offset: number;

  private constructor(
    device: Device,
    dtype: D,
    shape: readonly number[],
    strides: readonly number[],
    offset: number,
    handle: NativeTensor,
  ) {
    super(handle);
    this.device = device;
    this.dtype = dtype;
    this.shape = shape;
    this.strides = strides;
    this.#offset = offset;
  }

  /**
   * Uninitialised, contiguous.
   * @param shape 1 to 6 dimensions
   * @throws PagewarpError ERR_INVALID_ARGUMENT, ERR_OUT_OF_MEMORY
   */
  static empty<D extends DType>(device: Device, shape: readonly number[], dtype: D): Tensor<D> {
    checkInstance('device', device, Device);
    checkShape(shape);
    const handle = native().createTensor(device.native, dtypeCode(dtype), shape);
    return new Tensor(device, dtype, [...shape], contiguousStrides(shape), 0, handle);
  }

  /** Filled with `value`. */
  static full<D extends DType>(device: Device, shape: readonly number[], dtype: D, value: number): Tensor<D> {
    const tensor = Tensor.empty(device, shape, dtype);
    tensor.fill(value);
    return tensor;
  }

  static zeros<D extends DType>(device: Device, shape: readonly number[], dtype: D): Tensor<D> {
    return Tensor.full(device, shape, dtype, 0);
  }

  /**
   * A tensor with the elements of `data` in row-major order. A typed array must be of the dtype (`Uint16Array` bit patterns
   * for f16 and bf16); plain numbers are converted as typed arrays convert them.
   * @param shape default: one dimension
   */
  static from<D extends DType>(
    device: Device,
    data: TypedArrayOf<D> | readonly number[],
    shape: readonly number[] | undefined,
    dtype: D,
  ): Tensor<D> {
    checkData(data);
    const tensor = Tensor.empty(device, shape ?? [data.length], dtype);
    tensor.write(data);
    return tensor;
  }

  /** Dimensions. */
  get rank(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get size(): number {
    return elementCount(this.shape);
  }

  get isContiguous(): boolean {
    let expected = 1;
    for (let d = this.rank - 1; d >= 0; d--) {
      if (this.shape[d] !== 1 && this.strides[d] !== expected) return false;
      expected *= this.shape[d] as number;
    }
    return true;
  }

  /**
   * Copies `data` here, in stream order. The array may be reused at once.
   * @throws PagewarpError ERR_INVALID_ARGUMENT, also for a view whose elements overlap, ERR_SHAPE_MISMATCH
   */
  write(data: TypedArrayOf<D> | readonly number[], stream: Stream = this.device.defaultStream): void {
    this.#checkStream(stream);
    checkData(data);
    if (data.length !== this.size) {
      throw shapeMismatch('data', [data.length], [this.size], `the tensor's shape is [${this.shape.join(', ')}]`);
    }
    checkWritten('tensor', this);
    let array: AnyTypedArray;
    if (ArrayBuffer.isView(data)) {
      if (!holds(this.dtype, data)) {
        const given = Object.prototype.toString.call(data).slice(8, -1);
        throw invalidArgument('data', given, `the typed array of ${this.dtype}`);
      }
      array = data as AnyTypedArray;
      if (!(array.buffer instanceof ArrayBuffer)) array = array.slice(); // shared memory, which Node-API does not take
    } else {
      array = encode(data, this.dtype);
    }
    native().writeTensor(stream.native, this.native, array);
  }

  /**
   * The elements in row-major order, once the stream has got here. f16 and bf16 come as bit patterns; see
   * {@link Tensor.readNumbers}.
   */
  async read(stream: Stream = this.device.defaultStream): Promise<TypedArrayOf<D>> {
    this.#checkStream(stream);
    return typedArray(this.dtype, await native().readTensor(stream.native, this.native));
  }

  /** The elements as plain numbers, whatever the dtype. */
  async readNumbers(stream: Stream = this.device.defaultStream): Promise<number[]> {
    return decode(await this.read(stream), this.dtype);
  }

  /** Sets every element to `value`: for integers rounded towards zero, into the range of the dtype; NaN becomes 0. */
  fill(value: number, stream: Stream = this.device.defaultStream): void {
    this.#checkStream(stream);
    if (typeof value !== 'number') throw invalidArgument('value', value, 'a number');
    native().fillTensor(stream.native, this.native, value);
  }

  /**
   * Copies `source`, a tensor of the same device, here; converts between dtypes, to integers as {@link Tensor.fill} does.
   * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_INVALID_ARGUMENT, ERR_DISPOSED
   */
  copyFrom(source: Tensor, stream: Stream = this.device.defaultStream): void {
    this.#checkStream(stream);
    checkInstance('source', source, Tensor);
    if (source.device !== this.device) throw otherDevice('source', source.device, this.device);
    if (!sameShape(source.shape, this.shape)) {
      throw shapeMismatch('source', source.shape, this.shape, 'copies keep the shape');
    }
    checkWritten('tensor', this);
    native().copyTensor(stream.native, source.native, this.native);
  }

  /** A contiguous copy in another dtype (or the same). */
  to<E extends DType>(dtype: E, stream: Stream = this.device.defaultStream): Tensor<E> {
    const tensor = Tensor.empty(this.device, this.shape, dtype);
    tensor.copyFrom(this, stream);
    return tensor;
  }

  /**
   * The same elements under another shape; one dimension may be -1.
   * @throws PagewarpError ERR_INVALID_ARGUMENT for a view that is not contiguous, ERR_SHAPE_MISMATCH
   */
  reshape(...shape: number[]): Tensor<D> {
    if (!this.isContiguous) throw invalidArgument('tensor', `strides [${this.strides.join(', ')}]`, 'contiguous');
    const unknown = shape.indexOf(-1);
    const resolved = [...shape];
    if (unknown >= 0) resolved[unknown] = this.size / -elementCount(shape);
    checkShape(resolved);
    if (elementCount(resolved) !== this.size) {
      throw shapeMismatch('reshape', shape, this.shape, 'both must have the same number of elements');
    }
    return this.#view(resolved, contiguousStrides(resolved), this.#offset);
  }

  /** Elements `begin` to `end` (exclusive) of dimension `dim`. */
  slice(dim: number, begin: number, end: number): Tensor<D> {
    const length = this.#dimension(dim);
    if (!(Number.isInteger(begin) && Number.isInteger(end) && 0 <= begin && begin <= end && end <= length)) {
      throw invalidArgument('slice', [begin, end], `a range within [0, ${length}] of dimension ${dim}`);
    }
    const shape = this.shape.with(dim, end - begin);
    return this.#view(shape, this.strides, this.#offset + begin * (this.strides[dim] as number));
  }

  /** Index `index` of dimension `dim`, which disappears. */
  select(dim: number, index: number): Tensor<D> {
    const length = this.#dimension(dim);
    if (!(Number.isInteger(index) && 0 <= index && index < length)) {
      throw invalidArgument('index', index, `from 0 to ${length - 1}`);
    }
    if (this.rank === 1) return this.slice(0, index, index + 1);
    const shape = this.shape.toSpliced(dim, 1);
    return this.#view(shape, this.strides.toSpliced(dim, 1), this.#offset + index * (this.strides[dim] as number));
  }

  /** Exchanges two dimensions. */
  transpose(a: number, b: number): Tensor<D> {
    this.#dimension(a);
    this.#dimension(b);
    const exchange = (list: readonly number[]): number[] => list.with(a, list[b] as number).with(b, list[a] as number);
    return this.#view(exchange(this.shape), exchange(this.strides), this.#offset);
  }

  /**
   * A view with any shape and strides over the same memory. One whose elements overlap can be read, and no op writes to it.
   * @throws PagewarpError ERR_INVALID_ARGUMENT when out of it
   */
  asStrided(shape: readonly number[], strides: readonly number[], offset = 0): Tensor<D> {
    checkShape(shape);
    if (!Array.isArray(strides) || strides.length !== shape.length || !strides.every(Number.isSafeInteger)) {
      throw invalidArgument('strides', strides, `${shape.length} integers`);
    }
    if (!Number.isSafeInteger(offset)) throw invalidArgument('offset', offset, 'an integer');
    return this.#view(shape, strides, this.#offset + offset);
  }

  #dimension(dim: number): number {
    const length = Number.isInteger(dim) ? this.shape[dim] : undefined;
    if (length === undefined) throw invalidArgument('dim', dim, `from 0 to ${this.rank - 1}`);
    return length;
  }

  #checkStream(stream: Stream): void {
    checkInstance('stream', stream, Stream);
    if (stream.device !== this.device) throw otherDevice('the stream', stream.device, this.device);
  }

  #view(shape: readonly number[], strides: readonly number[], offset: number): Tensor<D> {
    const handle = native().viewTensor(this.native, shape, strides, offset);
    return new Tensor(this.device, this.dtype, [...shape], [...strides], offset, handle);
  }
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((length, d) => length === b[d]);
}

function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = stride;
    stride *= shape[d] as number;
  }
  return strides;
}

function checkShape(shape: readonly number[]): void {
  const fits = Array.isArray(shape) && shape.length >= 1 && shape.length <= maxRank;
  if (!fits || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw invalidArgument('shape', shape, `1 to ${maxRank} non-negative integers`);
  }
  if (elementCount(shape) > 2 ** 46) throw invalidArgument('shape', [...shape], 'at most 2^46 elements');
}

function checkData(data: unknown): void {
  if (Array.isArray(data) || (ArrayBuffer.isView(data) && 'length' in data)) return;
  throw invalidArgument('data', data, 'a typed array or an array of numbers');
}

function otherDevice(name: string, given: Device, own: Device): PagewarpError {
  return new PagewarpError(
    'ERR_INVALID_ARGUMENT',
    `${name} belongs to another device (${given.name}) than the tensor (${own.name})`,
    { name },
  );
}

function encode(data: readonly number[], dtype: DType): AnyTypedArray {
  const wrong = data.findIndex((x) => typeof x !== 'number' || (dtype === 'i64' && !Number.isSafeInteger(x)));
  if (wrong >= 0) throw invalidArgument(`data[${wrong}]`, data[wrong], dtype === 'i64' ? 'a safe integer' : 'a number');
  switch (dtype) {
    case 'f32':
      return new Float32Array(data);
    case 'f16':
      return halves(data, numberToF16);
    case 'bf16':
      return halves(data, numberToBf16);
    case 'i8':
      return new Int8Array(data);
    case 'u8':
      return new Uint8Array(data);
    case 'i32':
      return new Int32Array(data);
    case 'i64':
      return BigInt64Array.from(data, BigInt);
    default:
      throw invalidArgument('dtype', dtype, `one of ${dtypes.join(', ')}`);
  }
}

function decode(data: AnyTypedArray, dtype: DType): number[] {
  if (dtype === 'f16') return numbers(data, f16ToNumber);
  if (dtype === 'bf16') return numbers(data, bf16ToNumber);
  return numbers(data, Number);
}

// Loops: `from` with a function takes ten times as long, through iterators.

function halves(data: readonly number[], convert: (value: number) => number): Uint16Array {
  const out = new Uint16Array(data.length);
  for (let i = 0; i < out.length; i++) out[i] = convert(data[i] as number);
  return out;
}

function numbers(data: AnyTypedArray, convert: (value: number) => number): number[] {
  const out: number[] = [];
  for (let i = 0; i < data.length; i++) out.push(convert(data[i] as number));
  return out;
}
