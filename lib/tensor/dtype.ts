// SPDX-License-Identifier: Apache-2.0
import { invalidArgument } from '../errors.js';

/** Element types. `f16` is IEEE binary16; `f16` and `bf16` travel as `Uint16Array` bit patterns. */
export type DType = 'f32' | 'f16' | 'bf16' | 'i8' | 'u8' | 'i32' | 'i64';

/** The floating types that every op takes as activations. */
export type FloatDType = 'f32' | 'f16' | 'bf16';

export interface TypedArrays {
  f32: Float32Array;
  f16: Uint16Array;
  bf16: Uint16Array;
  i8: Int8Array;
  u8: Uint8Array;
  i32: Int32Array;
  i64: BigInt64Array;
}
export type TypedArrayOf<D extends DType> = TypedArrays[D];
export type AnyTypedArray = TypedArrays[DType];

interface DTypeInfo {
  /** pw_dtype */
  readonly code: number;
  readonly array: new (buffer: ArrayBuffer) => AnyTypedArray;
}

const table: Record<DType, DTypeInfo> = {
  f32: { code: 0, array: Float32Array },
  f16: { code: 1, array: Uint16Array },
  bf16: { code: 2, array: Uint16Array },
  i8: { code: 3, array: Int8Array },
  u8: { code: 4, array: Uint8Array },
  i32: { code: 5, array: Int32Array },
  i64: { code: 6, array: BigInt64Array },
};

/** All dtypes, in the order of their native codes. */
export const dtypes: readonly DType[] = Object.keys(table) as DType[];

/** The native code of a dtype. @throws PagewarpError ERR_INVALID_ARGUMENT */
export function dtypeCode(dtype: DType): number {
  return info(dtype).code;
}

/** A typed array of the dtype over a buffer. */
export function typedArray<D extends DType>(dtype: D, buffer: ArrayBuffer): TypedArrayOf<D> {
  return new (info(dtype).array)(buffer) as TypedArrayOf<D>;
}

/** Is this typed array one that holds `dtype`? */
export function holds(dtype: DType, data: ArrayBufferView): boolean {
  return data instanceof info(dtype).array;
}

export function isFloat(dtype: DType): dtype is FloatDType {
  return dtype === 'f32' || dtype === 'f16' || dtype === 'bf16';
}

function info(dtype: DType): DTypeInfo {
  const found = Object.hasOwn(table, dtype) ? table[dtype] : undefined;
  if (!found) throw invalidArgument('dtype', dtype, `one of ${dtypes.join(', ')}`);
  return found;
}
