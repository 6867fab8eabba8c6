// SPDX-License-Identifier: Apache-2.0
import { PagewarpError, unsupported } from '../errors.js';
import { type NativeFile, type NativeFilePart, native } from '../native.js';
import { bf16ToNumber, f16ToNumber } from '../tensor/float16.js';
import { Resource } from '../tensor/resource.js';

/** Bytes of an element. Types of less than a byte are not defined by the format that we read. */
const elementBytes: Readonly<Record<string, number>> = {
  ...{ BOOL: 1, U8: 1, I8: 1, F8_E4M3: 1, F8_E5M2: 1 },
  ...{ I16: 2, U16: 2, F16: 2, BF16: 2, I32: 4, U32: 4, F32: 4, I64: 8, U64: 8, F64: 8 },
};

const decoders: Readonly<Record<string, (bytes: ArrayBuffer) => Float32Array>> = {
  F32: (bytes) => new Float32Array(bytes),
  F16: (bytes) => Float32Array.from(new Uint16Array(bytes), f16ToNumber),
  BF16: (bytes) => Float32Array.from(new Uint16Array(bytes), bf16ToNumber),
};

/** A tensor of a safetensors file; `offset` counts bytes from the start of the file. */
export interface SafeTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

const mostHeaderBytes = 100e6; // the format's own limit

/**
 * A safetensors file, memory-mapped. The header is read and checked: every tensor lies inside the file, has as many bytes as
 * its shape says, and shares none with another one.
 */
export class SafetensorsFile extends Resource<NativeFile> {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, SafeTensor>;

  /** @throws PagewarpError ERR_IO when the file cannot be opened, ERR_INVALID_MODEL when it is not a valid safetensors file */
  static open(path: string): SafetensorsFile {
    return new SafetensorsFile(path);
  }

  private constructor(path: string) {
    const { handle, bytes } = native().openFile(path);
    super(handle);
    this.path = path;
    try {
      this.tensors = this.#readTensors(bytes);
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** @throws PagewarpError ERR_INVALID_MODEL when there is no such tensor */
  tensor(name: string): SafeTensor {
    const tensor = this.tensors.get(name);
    if (!tensor) throw this.#invalid(`there is no tensor "${name}"`);
    return tensor;
  }

  /** Where a tensor lies, for native code. */
  part(name: string): NativeFilePart {
    const { offset, bytes } = this.tensor(name);
    return [this.native, offset, bytes];
  }

  /** The elements of a small floating tensor. @throws PagewarpError ERR_UNSUPPORTED for other types */
  values(name: string): Float32Array {
    const { dtype } = this.tensor(name);
    const decode = decoders[dtype];
    if (!decode) throw unsupported(`${this.path}: tensor "${name}" of type ${dtype}`, Object.keys(decoders).join(', '));
    return decode(this.bytes(name));
  }

  /** The elements of a small I32 tensor. @throws PagewarpError ERR_UNSUPPORTED for other types */
  integers(name: string): Int32Array {
    const { dtype } = this.tensor(name);
    if (dtype !== 'I32') throw unsupported(`${this.path}: tensor "${name}" of type ${dtype}`, 'I32');
    return new Int32Array(this.bytes(name));
  }

  bytes(name: string): ArrayBuffer {
    const { offset, bytes } = this.tensor(name);
    return native().fileBytes(this.native, offset, bytes);
  }

  #readTensors(fileBytes: number): Map<string, SafeTensor> {
    if (fileBytes < 8) throw this.#invalid(`it has ${fileBytes} bytes, less than a header's length takes`);
    const declared = new BigUint64Array(native().fileBytes(this.native, 0, 8))[0] as bigint;
    const most = Math.min(mostHeaderBytes, fileBytes - 8);
    if (declared > BigInt(most)) throw this.#invalid(`the header's length is ${declared}; at most ${most} fits`);
    const headerBytes = Number(declared);
    const header = this.#parse(native().fileBytes(this.native, 8, headerBytes));
    const dataOffset = 8 + headerBytes;
    const tensors = Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(([name, entry]) => this.#readTensor(name, entry, dataOffset, fileBytes - dataOffset));
    const order = tensors.toSorted((a, b) => a.offset - b.offset || a.bytes - b.bytes);
    for (const [i, tensor] of order.entries()) {
      const before = order[i - 1];
      if (before && before.offset + before.bytes > tensor.offset) {
        throw this.#invalid(`the tensors "${before.name}" and "${tensor.name}" overlap`);
      }
    }
    return new Map(tensors.map((tensor) => [tensor.name, tensor]));
  }

  #parse(bytes: ArrayBuffer): Record<string, unknown> {
    try {
      const header: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
      if (typeof header === 'object' && header !== null && !Array.isArray(header)) return { ...header };
    } catch {}
    throw this.#invalid('the header is not a JSON object');
  }

  #readTensor(name: string, entry: unknown, dataOffset: number, dataBytes: number): SafeTensor {
    const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
    const size = typeof dtype === 'string' && Object.hasOwn(elementBytes, dtype) ? elementBytes[dtype] : undefined;
    if (size === undefined) throw this.#invalid(`tensor "${name}" has the unknown type ${JSON.stringify(dtype)}`);
    const isCount = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0;
    if (!Array.isArray(shape) || shape.length > 8 || !shape.every(isCount)) {
      throw this.#invalid(`tensor "${name}" has the shape ${JSON.stringify(shape)}`);
    }
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
      throw this.#invalid(`tensor "${name}" has the offsets ${JSON.stringify(offsets)}`);
    }
    const [begin, end] = offsets as [number, number];
    const bytes = shape.reduce((product: number, n: number) => product * n, size);
    if (begin > end || end > dataBytes) {
      throw this.#invalid(`tensor "${name}" takes bytes ${begin} to ${end} of the data, which has ${dataBytes}`);
    }
    if (end - begin !== bytes) {
      throw this.#invalid(
        `tensor "${name}" (${dtype} [${shape.join(', ')}]) needs ${bytes} bytes and has ${end - begin}`,
      );
    }
    return { name, dtype: dtype as string, shape: shape as number[], offset: dataOffset + begin, bytes };
  }

  #invalid(what: string): PagewarpError {
    return new PagewarpError('ERR_INVALID_MODEL', `${this.path}: ${what}`, { path: this.path });
  }
}
