// SPDX-License-Identifier: Apache-2.0
import { invalidArgument, unsupported } from '../errors.js';

/**
 * What a weight matrix holds. f32, f16 and bf16 are kept row by row. Then GGUF's block formats, repacked for the kernels
 * without changing a value:
 * - `q4_0`, `q5_0`, `q8_0`: 4, 5 or 8 bits and one f16 scale per 32 columns; `q4_1`, `q5_1`: also an f16 minimum
 * - `q4_k`, `q5_k`: 4 or 5 bits, 6-bit scale and minimum per 32 columns, f16 scales of those per 256
 * - `q6_k`: 6 bits, 8-bit scale per 16 columns, f16 scale of those per 256
 * - `iq4_nl`: an index into 16 fixed levels and one f16 scale per 32 columns
 * - `mxfp4`: 4-bit floats (e2m1) and one power of two per 32 columns
 *
 * And what GPTQ, AWQ, bitsandbytes and the like keep in several tensors, as blocks of 32 columns of ours:
 * - `int4_zp`: scale x (code - zero): f16 scale, u8 zero point, 16 bytes of codes (byte i: columns i and 16 + i)
 * - `int4_g16`: scale x (code - 8): two f16 scales, of columns 0 to 15 and 16 to 31, 16 bytes of codes
 * - `lut4`: scale x levels[code], with 16 levels of the matrix or of each row (nf4, fp4, any4): f16 scale, 16 bytes
 * - `nvfp4`: factor x scale x 4-bit float (e2m1): two 8-bit scales (e4m3), of columns 0 to 15 and 16 to 31, 16 bytes of codes
 */
export type MatrixFormat =
  | 'f32'
  | 'f16'
  | 'bf16'
  | 'q4_0'
  | 'q4_1'
  | 'q4_k'
  | 'q5_0'
  | 'q5_1'
  | 'q5_k'
  | 'q6_k'
  | 'q8_0'
  | 'iq4_nl'
  | 'mxfp4'
  | 'int4_zp'
  | 'int4_g16'
  | 'lut4'
  | 'nvfp4';

/** Formats that {@link PackedMatrix.fromTensor} rounds to. */
export type RoundingFormat = 'f32' | 'f16' | 'bf16' | 'q4_0' | 'q4_1' | 'q8_0';

const roundingFormats: readonly RoundingFormat[] = ['f32', 'f16', 'bf16', 'q4_0', 'q4_1', 'q8_0'];

interface FormatInfo {
  /** The number of the block type: GGUF's, or ours from 0x10000 on. */
  readonly code: number;
  /** Columns of a source block: the number of columns must be a multiple of it. */
  readonly blockColumns: number;
  readonly blockBytes: number;
}

const table: Record<MatrixFormat, FormatInfo> = {
  f32: { code: 0, blockColumns: 1, blockBytes: 4 },
  f16: { code: 1, blockColumns: 1, blockBytes: 2 },
  bf16: { code: 30, blockColumns: 1, blockBytes: 2 },
  q4_0: { code: 2, blockColumns: 32, blockBytes: 18 },
  q4_1: { code: 3, blockColumns: 32, blockBytes: 20 },
  q4_k: { code: 12, blockColumns: 256, blockBytes: 144 },
  q5_0: { code: 6, blockColumns: 32, blockBytes: 22 },
  q5_1: { code: 7, blockColumns: 32, blockBytes: 24 },
  q5_k: { code: 13, blockColumns: 256, blockBytes: 176 },
  q8_0: { code: 8, blockColumns: 32, blockBytes: 34 },
  q6_k: { code: 14, blockColumns: 256, blockBytes: 210 },
  iq4_nl: { code: 20, blockColumns: 32, blockBytes: 18 },
  mxfp4: { code: 39, blockColumns: 32, blockBytes: 17 },
  int4_zp: { code: 0x10000, blockColumns: 32, blockBytes: 19 },
  int4_g16: { code: 0x10003, blockColumns: 32, blockBytes: 20 },
  lut4: { code: 0x10001, blockColumns: 32, blockBytes: 18 },
  nvfp4: { code: 0x10002, blockColumns: 32, blockBytes: 18 },
};

/** All matrix formats. */
export const matrixFormats = Object.keys(table) as readonly MatrixFormat[];

/** @throws PagewarpError ERR_UNSUPPORTED */
export function formatInfo(format: MatrixFormat): FormatInfo {
  const info = Object.hasOwn(table, format) ? table[format] : undefined;
  if (!info) throw unsupported(`matrix format ${String(format)}`, matrixFormats.join(', '));
  return info;
}

/** Floats of a format's tables, for the whole matrix or for each of its rows: levels, or a factor. */
export function tableLength(format: MatrixFormat): number {
  return format === 'lut4' ? 16 : format === 'nvfp4' ? 1 : 0;
}

/** @throws PagewarpError ERR_UNSUPPORTED */
export function checkRounding(format: string): void {
  if ((roundingFormats as readonly string[]).includes(format)) return;
  throw unsupported(`rounding to ${format}`, roundingFormats.join(', '));
}

/** The format of a GGUF tensor type such as "Q4_0", or undefined when pagewarp has no kernel for it. */
export function formatOfGgufType(type: string): MatrixFormat | undefined {
  if (typeof type !== 'string') throw invalidArgument('type', type, 'a string');
  const format = type.toLowerCase();
  return Object.hasOwn(table, format) && table[format as MatrixFormat].code < 0x10000
    ? (format as MatrixFormat)
    : undefined;
}

/** Bytes of `rows` x `columns` in the source's own layout. */
export function sourceBytes(format: MatrixFormat, rows: number, columns: number): number {
  const { blockColumns, blockBytes } = formatInfo(format);
  return rows * (columns / blockColumns) * blockBytes;
}
