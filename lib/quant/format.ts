// SPDX-License-Identifier: Apache-2.0
import { unsupported } from '../errors.js';

/**
 * What a weight matrix holds. f32, f16 and bf16 are kept row by row; the others are GGUF's block formats, repacked for the
 * kernels without changing a value:
 * - `q4_0`: 4 bits and one f16 scale per 32 columns; `q4_1`: also an f16 minimum
 * - `q4_k`: 4 bits, 6-bit scale and minimum per 32 columns, f16 scales of those per 256
 * - `q8_0`: 8 bits and one f16 scale per 32 columns
 * - `q6_k`: 6 bits, 8-bit scale per 16 columns, f16 scale of those per 256
 */
export type MatrixFormat = 'f32' | 'f16' | 'bf16' | 'q4_0' | 'q4_1' | 'q4_k' | 'q8_0' | 'q6_k';

/** Formats that {@link PackedMatrix.fromTensor} rounds to. */
export type RoundingFormat = Exclude<MatrixFormat, 'q4_k' | 'q6_k'>;

interface FormatInfo {
  /** GGUF's number of the type. */
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
  q8_0: { code: 8, blockColumns: 32, blockBytes: 34 },
  q6_k: { code: 14, blockColumns: 256, blockBytes: 210 },
};

/** All matrix formats. */
export const matrixFormats = Object.keys(table) as readonly MatrixFormat[];

/** @throws PagewarpError ERR_UNSUPPORTED */
export function formatInfo(format: MatrixFormat): FormatInfo {
  const info = Object.hasOwn(table, format) ? table[format] : undefined;
  if (!info) throw unsupported(`matrix format ${String(format)}`, matrixFormats.join(', '));
  return info;
}

/** The format of a GGUF tensor type such as "Q4_0", or undefined when pagewarp has no kernel for it. */
export function formatOfGgufType(type: string): MatrixFormat | undefined {
  const format = type.toLowerCase();
  return Object.hasOwn(table, format) ? (format as MatrixFormat) : undefined;
}

/** Bytes of `rows` x `columns` in the source's own layout. */
export function sourceBytes(format: MatrixFormat, rows: number, columns: number): number {
  const { blockColumns, blockBytes } = formatInfo(format);
  return rows * (columns / blockColumns) * blockBytes;
}
