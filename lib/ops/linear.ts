// SPDX-License-Identifier: Apache-2.0

import { checkObject, shapeMismatch } from '../errors.js';
import { native } from '../native.js';
import type { PackedMatrix } from '../quant/matrix.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { checkFloat, checkMatrix, checkShape } from './check.js';

export interface LinearOptions {
  /** [..., k], the last dimension contiguous. */
  x: Tensor<FloatDType>;
  /** [n, k]. */
  weight: PackedMatrix;
  /** [n]. */
  bias?: Tensor<FloatDType>;
  /** [..., n], added to the product; may be `out`. */
  residual?: Tensor<FloatDType>;
  /** [..., n]; must not overlap `x`. Default: a new tensor of x's dtype. */
  out?: Tensor<FloatDType>;
}

/**
 * Linear layer, `out = x · weightᵀ (+ bias) (+ residual)`.
 *
 * With f32, f16 or bf16 weights products and sums are f32. With quantised weights the CPU rounds x to 8-bit integers, 32
 * columns at a time, with the scale that maps their largest magnitude to 127 (as llama.cpp and onnxruntime's accuracy
 * level 4 do); products are then exact integers and sums over groups f32. A row of the result does not depend on the other
 * rows of the call, nor on the number of threads.
 *
 * CUDA rounds neither x nor the weights: tensor cores multiply f16 or bf16 activations (f32 ones as the exact sum of three
 * bf16) by integer codes, group scales meet f32 sums, and blocks' shares are added in f32 in a fixed order. How the work
 * is shared depends on the number of rows, so a row's last bits may differ between batches of different size.
 *
 * A NaN in a row of x makes that row NaN, an infinity makes it infinite or NaN.
 * @returns `out`
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function linear(stream: Stream, options: LinearOptions): Tensor<FloatDType> {
  checkObject('options', options);
  const { x, weight, bias, residual } = options;
  checkMatrix('weight', weight, stream);
  const [n, k] = weight.shape;
  checkFloat('x', x, stream);
  if (x.shape.at(-1) !== k) {
    throw shapeMismatch('x', x.shape, [...x.shape.slice(0, -1), k], `weight has shape [${n}, ${k}]`);
  }
  if (bias) {
    checkFloat('bias', bias, stream);
    checkShape('bias', bias, [n], `weight has ${n} output features`);
  }
  const shape = x.shape.with(-1, n);
  for (const [name, tensor] of [
    ['residual', residual],
    ['out', options.out],
  ] as const) {
    if (!tensor) continue;
    checkFloat(name, tensor, stream);
    checkShape(name, tensor, shape, 'it has a row of output features for each row of x');
  }
  const out = options.out ?? Tensor.empty(stream.device, shape, x.dtype);
  native().linear(stream.native, x.native, weight.native, bias?.native ?? null, residual?.native ?? null, out.native);
  return out;
}
