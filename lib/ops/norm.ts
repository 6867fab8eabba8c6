// SPDX-License-Identifier: Apache-2.0
import { checkObject, shapeMismatch } from '../errors.js';
import { native } from '../native.js';
import { QuantizedRows } from '../quant/rows.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { checkFloat, checkFloatOutput, checkNumber, checkRows, checkShape } from './check.js';

export interface RmsNormOptions {
  /** [..., dim], 1 to 4 dimensions, the last one contiguous. */
  x: Tensor<FloatDType>;
  /** [dim]. */
  weight: Tensor<FloatDType>;
  /** Added to the mean of squares, above 0. */
  eps: number;
  /** [..., dim]: `residual += x` first, in place and rounded to its dtype; the norm is taken of the sum. */
  residual?: Tensor<FloatDType>;
  /** [..., dim]; may be `x`, or rows that take the result rounded to 8 bits. Default: a new tensor of x's dtype. */
  out?: Tensor<FloatDType> | QuantizedRows;
}

/**
 * Root-mean-square normalisation, `x / sqrt(mean(x²) + eps) * weight` over the last dimension (Zhang and Sennrich, "Root mean
 * square layer normalization", 2019), optionally fused with the residual addition before it and with the rounding to 8 bits after
 * it: what {@link linear} then computes is, bit for bit, what it computes of the f32 result, which it would round itself (on
 * CUDA with `precision: 'int8'`).
 * @returns `out`
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function rmsNorm(stream: Stream, options: RmsNormOptions & { out?: Tensor<FloatDType> }): Tensor<FloatDType>;
export function rmsNorm(stream: Stream, options: RmsNormOptions & { out: QuantizedRows }): QuantizedRows;
export function rmsNorm(stream: Stream, options: RmsNormOptions): Tensor<FloatDType> | QuantizedRows;
export function rmsNorm(stream: Stream, options: RmsNormOptions): Tensor<FloatDType> | QuantizedRows {
  checkObject('options', options);
  const { x, weight, eps, residual } = options;
  checkFloat('x', x, stream);
  if (x.rank > 4) throw shapeMismatch('x', x.shape, ['...', 'dim'], 'rmsNorm takes 1 to 4 dimensions');
  checkFloat('weight', weight, stream);
  checkShape('weight', weight, [x.shape.at(-1) as number], 'one weight per element of the last dimension of x');
  checkNumber('eps', eps, 'a number above 0', (value) => value > 0);
  const out = options.out ?? Tensor.empty(stream.device, x.shape, x.dtype);
  const rounded = out instanceof QuantizedRows ? out : undefined;
  if (residual) checkFloatOutput('residual', residual, stream);
  if (rounded) checkRows('out', rounded, stream);
  else checkFloatOutput('out', out as Tensor, stream);
  for (const [name, given] of [
    ['residual', residual],
    ['out', out],
  ] as const) {
    if (given) checkShape(name, given, x.shape, 'it must have the shape of x');
  }
  native().rmsNorm(
    stream.native,
    x.native,
    weight.native,
    residual?.native ?? null,
    (rounded?.codes ?? (out as Tensor)).native,
    eps,
    rounded?.scales.native ?? null,
    rounded?.sums.native ?? null,
  );
  return out;
}
