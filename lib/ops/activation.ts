// SPDX-License-Identifier: Apache-2.0
import { checkObject, shapeMismatch } from '../errors.js';
import { native } from '../native.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { checkFloat, checkFloatOutput, checkShape } from './check.js';

/** The two halves of a gated linear unit: as two tensors, or as one whose last dimension holds the gate, then the value. */
export type GatedInput =
  | { gate: Tensor<FloatDType>; up: Tensor<FloatDType>; fused?: undefined }
  | { fused: Tensor<FloatDType>; gate?: undefined; up?: undefined };

export type GatedOptions = GatedInput & {
  /** Shape of the gate; may be `gate` or `up`. Default: a new tensor of the gate's dtype. */
  out?: Tensor<FloatDType>;
};

/** pw_activation */
const activations = { silu: 0, geluTanh: 1 } as const;

/**
 * SwiGLU: `silu(gate) * up`, `silu(x) = x / (1 + e^-x)`, over tensors of 1 to 4 dimensions (Shazeer, "GLU variants improve
 * transformer", 2020).
 * @returns `out`
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function siluMul(stream: Stream, options: GatedOptions): Tensor<FloatDType> {
  return gated(stream, options, activations.silu);
}

/**
 * GeGLU: `gelu(gate) * up` with GELU in its tanh form (Hendrycks and Gimpel, 2016). Shapes and errors as for {@link siluMul}.
 * @returns `out`
 */
export function geluMul(stream: Stream, options: GatedOptions): Tensor<FloatDType> {
  return gated(stream, options, activations.geluTanh);
}

function gated(stream: Stream, options: GatedOptions, activation: number): Tensor<FloatDType> {
  checkObject('options', options);
  if (!options.fused) return gatedPair(stream, options.gate, options.up, options.out, activation);
  const { fused } = options;
  checkFloat('fused', fused, stream);
  const last = fused.rank - 1;
  const length = fused.shape[last] as number;
  if (length % 2 !== 0) {
    throw shapeMismatch('fused', fused.shape, ['...', '2 n'], 'the last dimension holds the gate and the value');
  }
  using gate = fused.slice(last, 0, length / 2);
  using up = fused.slice(last, length / 2, length);
  return gatedPair(stream, gate, up, options.out, activation);
}

function gatedPair(
  stream: Stream,
  gate: Tensor<FloatDType>,
  up: Tensor<FloatDType>,
  given: Tensor<FloatDType> | undefined,
  activation: number,
): Tensor<FloatDType> {
  checkFloat('gate', gate, stream);
  if (gate.rank > 4) throw shapeMismatch('gate', gate.shape, ['...', 'n'], 'gated units take 1 to 4 dimensions');
  checkFloat('up', up, stream);
  checkShape('up', up, gate.shape, 'gate and up go together element by element');
  if (given) {
    checkFloatOutput('out', given, stream);
    checkShape('out', given, gate.shape, 'it must have the shape of the gate');
  }
  const out = given ?? Tensor.empty(stream.device, gate.shape, gate.dtype);
  native().gated(stream.native, gate.native, up.native, out.native, activation);
  return out;
}
