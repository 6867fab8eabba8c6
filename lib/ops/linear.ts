// SPDX-License-Identifier: Apache-2.0

import { checkObject, invalidArgument, shapeMismatch, unsupported } from '../errors.js';
import { native } from '../native.js';
import type { PackedMatrix } from '../quant/matrix.js';
import { QuantizedRows } from '../quant/rows.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { siluMul } from './activation.js';
import { checkFloat, checkFloatOutput, checkMatrix, checkRows, checkShape } from './check.js';
import { requireSupport, supports } from './supports.js';

export interface LinearOptions {
  /** [..., k], the last dimension contiguous; or rounded before, as for `precision: 'int8'`, which is then implied. */
  x: Tensor<FloatDType> | QuantizedRows;
  /** [n, k]. */
  weight: PackedMatrix;
  /** [n]. */
  bias?: Tensor<FloatDType>;
  /** [..., n], added to the product; may be `out`. */
  residual?: Tensor<FloatDType>;
  /** [..., n], or [..., n / 2] with `gate`; must not overlap `x`. Default: a new tensor of x's dtype; f32 for rounded rows. */
  out?: Tensor<FloatDType>;
  /**
   * The weight's rows are a gate and below it as many others: `out = silu(first half) * second half`, as {@link siluMul} has
   * it. One kernel on CUDA for packed weights whose halves are multiples of 64 rows. Not together with `residual`.
   */
  gate?: 'silu';
  /**
   * `int8` allows x to be rounded to 8-bit integers. CUDA then does so, with one scale per row, and multiplies on its integer
   * tensor cores: for 4- and 8-bit integer weights (q4_0, q4_1, q4_k, int4_zp, int4_g16, q8_0, q5_0, iq4_nl); not for codes of
   * five or six bits, floats or levels. On the CPU, which always does so over packed weights, it changes nothing.
   */
  precision?: 'int8';
}

/**
 * Linear layer, `out = x · weightᵀ (+ bias) (+ residual)`.
 *
 * With `gate`, `out = silu(gate) * up`, of one matrix that holds both.
 *
 * With f32, f16 or bf16 weights products and sums are f32; bf16 rows by bf16 weights on a CPU with AVX-512 BF16 take subnormal
 * numbers for zero. With quantised weights the CPU rounds x to 8-bit integers, 32
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
  const rounded = x instanceof QuantizedRows ? x : undefined;
  if (rounded) checkRounded(stream, rounded, weight);
  else checkFloat('x', x as Tensor, stream);
  if (x.shape.at(-1) !== k) {
    throw shapeMismatch('x', x.shape, [...x.shape.slice(0, -1), k], `weight has shape [${n}, ${k}]`);
  }
  if (bias) {
    checkFloat('bias', bias, stream);
    checkShape('bias', bias, [n], `weight has ${n} output features`);
  }
  const { gate, precision } = options;
  if (precision !== undefined) checkPrecision(stream, weight, precision);
  if (gate !== undefined) checkGate(gate, n, residual);
  const shape = x.shape.with(-1, gate ? n / 2 : n);
  for (const [name, tensor, check] of [
    ['residual', residual, checkFloat],
    ['out', options.out, checkFloatOutput],
  ] as const) {
    if (!tensor) continue;
    check(name, tensor, stream);
    checkShape(name, tensor, shape, 'it has a row of output features for each row of x');
  }
  const out = options.out ?? Tensor.empty(stream.device, shape, x instanceof QuantizedRows ? 'f32' : x.dtype);
  const { format } = weight;
  if (gate && !supports(stream.device, 'linearGate', { format, rows: n / 2 })) {
    using both = Tensor.empty(stream.device, x.shape.with(-1, n), 'f32');
    linear(stream, { x, weight, ...(bias ? { bias } : {}), ...(precision ? { precision } : {}), out: both });
    return siluMul(stream, { fused: both, out });
  }
  native().linear(
    stream.native,
    (rounded?.codes ?? (x as Tensor)).native,
    weight.native,
    bias?.native ?? null,
    residual?.native ?? null,
    out.native,
    gate !== undefined,
    precision !== undefined && stream.device.kind === 'cuda',
    rounded?.scales.native ?? null,
    rounded?.sums.native ?? null,
  );
  return out;
}

function checkRounded(stream: Stream, x: QuantizedRows, { format, isOrdered }: PackedMatrix): void {
  checkRows('x', x, stream);
  requireSupport(stream, 'linearInt8', { format });
  // The columns that share a scale, or a sum, are others in that order.
  if (isOrdered) throw unsupported('rows rounded before the columns of act-order weights', 'x of f32, f16 or bf16');
}

function checkGate(gate: string, n: number, residual: Tensor | undefined): void {
  if (gate !== 'silu') throw invalidArgument('gate', gate, "'silu'");
  if (n % 2 !== 0) throw invalidArgument('gate', gate, `absent: the weight's ${n} rows are no two halves`);
  if (residual) throw invalidArgument('residual', residual.shape, 'absent where there is a gate');
}

function checkPrecision(stream: Stream, { format }: PackedMatrix, precision: string): void {
  if (precision !== 'int8') throw invalidArgument('precision', precision, "'int8'");
  requireSupport(stream, 'linearInt8', { format });
}
