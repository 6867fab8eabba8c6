// SPDX-License-Identifier: Apache-2.0
import { native } from '../native.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { type MatrixFormat, sourceBytes } from './format.js';

/**
 * What weights are quantised to: GGUF's block formats, or 16 levels (`nf4`: QLoRA's NormalFloat, Dettmers et al., 2023; `any4`:
 * learned for each row, Elhoushi & Johnson, 2025).
 */
export type QuantizedType = 'q8_0' | 'q4_0' | 'q4_1' | 'nf4' | 'any4';

/** pw_grid. */
const grids: readonly QuantizedType[] = ['q8_0', 'q4_0', 'q4_1', 'nf4', 'any4'];

/** All types of {@link quantizeWeights}. */
export const quantizedTypes: readonly QuantizedType[] = grids;

export interface QuantizedWeights {
  /** Rows of blocks of {@link blockFormat}. */
  blocks: Uint8Array;
  /** Of nf4 [16], of any4 [rows x 16]. */
  levels: Float32Array | undefined;
  /** Squared error in squared norms of the weights, each column weighted by the calibration where there is one. */
  error: number;
}

export interface WeightsOptions {
  type: QuantizedType;
  /** Sums of outer products of the inputs; see {@link Calibration}. */
  gram?: Tensor<'f32'> | undefined;
  /** Make up for each column's error in the later ones (GPTQ). Needs `gram`. */
  compensate?: boolean;
  /** Added to the diagonal of `gram`, in means of it. Default 0.01. */
  damping?: number;
}

/** The block format of quantised weights. */
export function blockFormat(type: QuantizedType): MatrixFormat {
  return type === 'nf4' || type === 'any4' ? 'lut4' : type;
}

/**
 * Quantises a matrix: scales per 32 columns are searched for the least squared error.
 * @param weight [rows, columns], contiguous, columns a multiple of 32
 * @internal For {@link quantize}, which checks shapes
 */
export async function quantizeWeights(
  stream: Stream,
  weight: Tensor<'f32'>,
  options: WeightsOptions,
): Promise<QuantizedWeights> {
  const { device } = stream;
  const { type, gram, compensate = false, damping = 0.01 } = options;
  const [rows, columns] = weight.shape as [number, number];
  using blocks = Tensor.empty(device, [sourceBytes(blockFormat(type), rows, columns)], 'u8');
  using error = Tensor.empty(device, [rows, 2], 'f32');
  const tables = { nf4: 1, any4: rows }[type as string] ?? 0;
  using levels = tables > 0 ? Tensor.empty(device, [tables, 16], 'f32') : undefined;
  native().quantizeWeights(
    stream.native,
    weight.native,
    gram?.native ?? null,
    grids.indexOf(type),
    compensate,
    damping,
    blocks.native,
    levels?.native ?? null,
    error.native,
  );
  const errors = await error.read(stream);
  let [lost, norm] = [0, 0];
  for (let row = 0; row < rows; row++) {
    lost += errors[2 * row] as number;
    norm += errors[2 * row + 1] as number;
  }
  return {
    blocks: await blocks.read(stream),
    levels: await levels?.read(stream),
    error: norm > 0 ? lost / norm : 0,
  };
}
