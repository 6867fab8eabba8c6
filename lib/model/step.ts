// SPDX-License-Identifier: Apache-2.0
/** What a model's steps are asked for, and made of. */
import type { CustomMask, TreeMask } from '../ops/treemask.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';

/** A step that is not simply the next tokens of its sequences through the whole model. */
export interface StepOptions {
  /** Positions of the rows where they are not consecutive, as in a draft tree: the depth counts. */
  positions?: Int32Array;
  /** Who sees whom among the tokens of a draft tree. */
  mask?: TreeMask | CustomMask;
  /** Layers to run, in order. Default: all. */
  layers?: readonly number[];
  /** Attend to the last so many keys only, and to the first `sinkTokens`. */
  window?: number;
  sinkTokens?: number;
  /** What the output layer reads is wanted of all rows, and left where `LlamaRunner.features` is. */
  features?: boolean;
  /** [rows, dim]: for a draft head, the target's features before each token. */
  inputs?: Tensor<'f32'>;
  /** Called for the inputs of all linear layers, in order. */
  observe?: LinearObserver;
  /**
   * Of each sequence of the batch: are its rows a part of a long prompt, whose attention is computed many rows at a time? The
   * others' is computed row by row, as that of decoding is. Default: all of a step of more than 65 rows, else none.
   */
  packed?: readonly boolean[];
}

/** How large steps may be. */
export interface StepLimits {
  rows: number;
  /** Rows whose logits are wanted. */
  outputs: number;
  /** Rows of a step of prefill; at most `rows`. */
  chunk: number;
}

/** What a model computes with. */
export interface Numerics {
  /** Linear layers whose weights have kernels for it may round their inputs to 8 bits on a GPU, too. */
  precision?: 'int8' | undefined;
  /** Of activations between layers; default f32. */
  activationDType?: FloatDType | undefined;
}

/** Which linear layers of a layer share an input: queries, keys, values; the attention's output; gate and up; down. */
export type LinearSite = 'qkv' | 'attentionOutput' | 'gateUp' | 'down';

/** Sees the inputs [rows, features] of linear layers as they are enqueued; it may enqueue what reads them. */
export type LinearObserver = (layer: number, site: LinearSite, x: Tensor<FloatDType>) => void;
