// SPDX-License-Identifier: Apache-2.0
import type { LlamaRunner } from '../../model/llama.js';
import type { ProjectionPart } from '../../model/weights.js';
import { siluMul } from '../../ops/activation.js';
import { linear } from '../../ops/linear.js';
import { rmsNorm } from '../../ops/norm.js';
import type { Stream } from '../../tensor/stream.js';
import type { Tensor } from '../../tensor/tensor.js';

/** A linear layer with its bias, if it has one. */
export type Affine = Pick<ProjectionPart, 'weight' | 'bias'>;

/** `skip(x) + silu(linear(x))`: Medusa's residual block; Hydra's first one narrows x by a linear layer in its skip, too. */
export interface ResidualBlock {
  linear: Affine;
  skip: Affine | undefined;
}

/** A head: residual blocks, then an output layer of its own. */
export interface ResidualHead {
  blocks: readonly ResidualBlock[];
  output: Affine;
}

/** The heads of Medusa and Hydra: head i guesses the token i + 2 places after the one that the features belong to. */
export interface ResidualHeads {
  readonly heads: readonly ResidualHead[];
  /** Do heads also see the tokens between (Hydra)? */
  readonly grounded: boolean;
  readonly dim: number;
  /** [64, dim], all 1: for as many rows as a step has. */
  readonly ones: Tensor<'f32'>;
  /** Of the model that they were made for. */
  readonly runner: LlamaRunner;
}

function apply(stream: Stream, x: Tensor<'f32'>, { weight, bias }: Affine, out?: Tensor<'f32'>): Tensor<'f32'> {
  return linear(stream, { x, weight, ...(bias ? { bias } : {}), ...(out ? { out } : {}) }) as Tensor<'f32'>;
}

/**
 * Enqueues a head.
 * @param x [rows, features]
 * @param ones [rows, dim], all 1
 * @param out [rows, vocabulary]
 */
export function runHead(
  stream: Stream,
  head: ResidualHead,
  x: Tensor<'f32'>,
  ones: Tensor<'f32'>,
  out: Tensor<'f32'>,
): void {
  let input = x;
  for (const { linear: inner, skip } of head.blocks) {
    using gate = apply(stream, input, inner);
    using bent = siluMul(stream, { gate, up: ones }) as Tensor<'f32'>;
    const sum = skip ? apply(stream, input, skip) : input.to('f32', stream);
    // For the sum, which `residual` becomes; the norm of it is of no use.
    using weight = ones.select(0, 0);
    rmsNorm(stream, { x: bent, weight, eps: 1, residual: sum, out: bent });
    if (input !== x) input.dispose();
    input = sum;
  }
  apply(stream, input, head.output, out);
  if (input !== x) input.dispose();
}
