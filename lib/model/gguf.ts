// SPDX-License-Identifier: Apache-2.0
import { invalidArgument, PagewarpError, unsupported } from '../errors.js';
import { type NativeGguf, type NativeGgufEntry, type NativeGgufTensor, native } from '../native.js';
import { atOnce, inPieces, type Piecewise } from '../piecewise.js';
import { bf16ToNumber, f16ToNumber } from '../tensor/float16.js';
import { Resource } from '../tensor/resource.js';

/** A tensor of a GGUF file: `shape` is row-major, `offset` counts bytes from the start of the file. */
export type GgufTensor = Readonly<NativeGgufTensor>;

/** Description of a metadata array that has not been read. */
export interface GgufArrayInfo {
  readonly element: string;
  readonly length: number;
}

type Numbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

const decoders: Readonly<Record<string, (bytes: ArrayBuffer) => Float32Array>> = {
  F32: (bytes) => new Float32Array(bytes),
  F16: (bytes) => Float32Array.from(new Uint16Array(bytes), f16ToNumber),
  BF16: (bytes) => Float32Array.from(new Uint16Array(bytes), bf16ToNumber),
};

/**
 * A GGUF file (version 2 or 3), memory-mapped: header and tables are read and checked, tensor data is not touched.
 * Metadata getters check types and throw ERR_INVALID_MODEL, naming the key, when the file says something else.
 */
export class GgufFile extends Resource<NativeGguf> {
  readonly path: string;
  readonly version: number;
  /** Of the tensor data, in bytes. */
  readonly alignment: number;
  /** Size of the file. */
  readonly bytes: number;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  readonly #entries: ReadonlyMap<string, { index: number; entry: NativeGgufEntry }>;

  /** @throws PagewarpError ERR_IO when the file cannot be opened, ERR_INVALID_MODEL when it is not a valid GGUF file */
  static open(path: string): GgufFile {
    if (typeof path !== 'string' || path === '' || path.includes('\0')) {
      throw invalidArgument('path', path, 'the path of a GGUF file');
    }
    return new GgufFile(path);
  }

  private constructor(path: string) {
    const tables = native().openGguf(path);
    super(tables.handle);
    this.path = path;
    this.version = tables.version;
    this.alignment = tables.alignment;
    this.bytes = tables.bytes;
    this.tensors = new Map(tables.tensors.map((tensor) => [tensor.name, tensor]));
    this.#entries = new Map(tables.metadata.map((entry, index) => [entry.key, { index, entry }]));
  }

  /** All metadata in the file's order; arrays are described, not read. */
  *metadata(): Generator<[key: string, value: string | number | bigint | boolean | GgufArrayInfo]> {
    for (const [key, { entry }] of this.#entries) {
      yield [key, entry.value ?? { element: entry.element as string, length: entry.length as number }];
    }
  }

  /** Every metadata entry as its bytes in the file: key, type and value. @internal For copies */
  rawEntries(): [key: string, bytes: Uint8Array][] {
    return Array.from(this.#entries, ([key, { entry }]) => [
      key,
      new Uint8Array(native().fileBytes(this.native, entry.offset, entry.bytes)),
    ]);
  }

  /** A tensor's bytes as they are in the file. @internal For copies */
  rawBytes(name: string): Uint8Array {
    const { offset, bytes } = this.tensor(name);
    return new Uint8Array(native().fileBytes(this.native, offset, bytes));
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** A string, or undefined when the file has no such key. */
  string(key: string): string | undefined {
    return this.#scalar(key, 'string', 'a string');
  }

  boolean(key: string): boolean | undefined {
    return this.#scalar(key, 'boolean', 'a boolean');
  }

  /** Any number; 64-bit integers beyond 2^53 are refused. */
  number(key: string): number | undefined {
    return this.#scalar(key, 'number', 'a number');
  }

  /** An array of strings. */
  strings(key: string): string[] | undefined {
    return atOnce(this.stringsInPieces(key));
  }

  /** {@link strings}, stopping now and then. @internal */
  *stringsInPieces(key: string): Piecewise<string[] | undefined> {
    // As long as it will be: growing ones leave their earlier halves behind.
    const strings = new Array<string>(this.#entries.get(key)?.entry.length ?? 0);
    const isThere = yield* this.eachString(key, (text, index) => {
      strings[index] = text;
    });
    return isThere ? strings : undefined;
  }

  /**
   * Visits the strings of an array, stopping now and then: vocabularies have some hundred thousand.
   * @returns false when the file has no such key
   * @internal
   */
  *eachString(key: string, visit: (text: string, index: number) => void): Piecewise<boolean> {
    const entry = this.#arrayEntry(key, (element) => element === 'string', 'an array of strings')?.entry;
    if (!entry) return false;
    // The key with its length, the types of array and element, the array's length; then strings, each behind its length.
    const bytes = Buffer.from(native().fileBytes(this.native, entry.offset, entry.bytes));
    const lengthAt = (position: number): number => bytes.readUIntLE(position, 6);
    let at = 8 + lengthAt(0) + 4 + 4 + 8;
    yield* inPieces({ length: entry.length as number }, (_, index) => {
      const begin = at + 8;
      at = begin + lengthAt(at);
      visit(bytes.toString('utf8', begin, at), index);
    });
    return true;
  }

  /** An array of numbers (of any type but 64-bit integers). */
  numbers(key: string): Exclude<Numbers, BigUint64Array | BigInt64Array> | undefined {
    const numeric = (element: string) => /^([ui](8|16|32)|f32|f64|bool)$/.test(element);
    return this.#array(key, numeric, 'an array of numbers') as
      | Exclude<Numbers, BigUint64Array | BigInt64Array>
      | undefined;
  }

  /**
   * The elements of a small unquantised tensor (F32, F16, BF16), such as a norm's weights.
   * @throws PagewarpError ERR_INVALID_MODEL when there is none, ERR_UNSUPPORTED for other types
   */
  values(name: string): Float32Array {
    const tensor = this.tensor(name);
    const decode = decoders[tensor.type];
    if (!decode)
      throw unsupported(`${this.path}: tensor "${name}" of type ${tensor.type}`, Object.keys(decoders).join(', '));
    return decode(native().fileBytes(this.native, tensor.offset, tensor.bytes));
  }

  /** @throws PagewarpError ERR_INVALID_MODEL when there is no such tensor */
  tensor(name: string): GgufTensor {
    const tensor = this.tensors.get(name);
    if (tensor) return tensor;
    throw new PagewarpError('ERR_INVALID_MODEL', `${this.path}: there is no tensor "${name}"`, {
      name,
      path: this.path,
    });
  }

  #scalar<T>(key: string, type: 'string' | 'boolean' | 'number', wanted: string): T | undefined {
    const found = this.#entries.get(key);
    if (!found) return undefined;
    if (typeof found.entry.value !== type) throw this.#wrongType(found.entry, wanted);
    return found.entry.value as T;
  }

  #array(key: string, accepts: (element: string) => boolean, wanted: string): unknown {
    const found = this.#arrayEntry(key, accepts, wanted);
    return found && native().ggufArray(this.native, found.index);
  }

  #arrayEntry(
    key: string,
    accepts: (element: string) => boolean,
    wanted: string,
  ): { index: number; entry: NativeGgufEntry } | undefined {
    const found = this.#entries.get(key);
    if (!found) return undefined;
    if (found.entry.element === undefined || !accepts(found.entry.element)) throw this.#wrongType(found.entry, wanted);
    return found;
  }

  #wrongType(entry: NativeGgufEntry, wanted: string): PagewarpError {
    const given = entry.element === undefined ? `${entry.type} ${String(entry.value)}` : `an array of ${entry.element}`;
    return new PagewarpError('ERR_INVALID_MODEL', `${this.path}: "${entry.key}" is ${given}, but must be ${wanted}`, {
      key: entry.key,
      path: this.path,
    });
  }
}
