// SPDX-License-Identifier: Apache-2.0

import { checkObject } from '../errors.js';
import { native } from '../native.js';
import type { PackedMatrix } from '../quant/matrix.js';
import { type DType, dtypes, type FloatDType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { checkContiguousRows, checkFloatOutput, checkMatrix, checkOutput, checkShape, checkTensor } from './check.js';

export interface EmbeddingOptions {
  /** [rows]: token ids. */
  ids: Tensor<'i32'>;
  /** [vocabulary, k], of any format; a tied output projection is the same matrix. */
  weight: PackedMatrix;
  /** [rows, k]. Default: a new f32 tensor. */
  out?: Tensor<FloatDType>;
}

/**
 * Rows of a matrix by token id, dequantised.
 *
 * An id outside [0, vocabulary) gives a row of zeros and ERR_INVALID_TOKEN at the stream's next synchronisation.
 * @returns `out`
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function embedding(stream: Stream, options: EmbeddingOptions): Tensor<FloatDType> {
  checkObject('options', options);
  const { ids, weight } = options;
  checkMatrix('weight', weight, stream);
  checkTensor('ids', ids, stream, ['i32']);
  checkShape('ids', ids, ['rows'], 'one id per row');
  const shape = [ids.shape[0] as number, weight.shape[1]];
  if (options.out) {
    checkFloatOutput('out', options.out, stream);
    checkShape('out', options.out, shape, 'one row of the matrix per id');
  }
  const out = options.out ?? Tensor.empty(stream.device, shape, 'f32');
  native().embedding(stream.native, ids.native, weight.native, out.native);
  return out;
}

export interface GatherRowsOptions<D extends DType> {
  /** [n, width], the last dimension contiguous. */
  x: Tensor<D>;
  /** [rows]. */
  indices: Tensor<'i32'>;
  /** [rows, width], of x's dtype; must not overlap `x`. Default: a new tensor. */
  out?: Tensor<D>;
}

/**
 * Selected rows of a tensor: `out[i] = x[indices[i]]`, such as the last row of each sequence of a ragged batch.
 *
 * An index outside x gives a row of zeros and ERR_INVALID_ARGUMENT at the stream's next synchronisation.
 * @returns `out`
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function gatherRows<D extends DType>(stream: Stream, options: GatherRowsOptions<D>): Tensor<D> {
  checkObject('options', options);
  const { x, indices } = options;
  checkTensor('x', x, stream, dtypes);
  checkContiguousRows('x', x);
  checkShape('x', x, ['n', 'width'], 'rows are selected from a matrix');
  checkTensor('indices', indices, stream, ['i32']);
  checkShape('indices', indices, ['rows'], 'one index per row');
  const shape = [indices.shape[0] as number, x.shape[1] as number];
  if (options.out) {
    checkOutput('out', options.out, stream, [x.dtype]);
    checkContiguousRows('out', options.out);
    checkShape('out', options.out, shape, 'one row of x per index');
  }
  const out = options.out ?? Tensor.empty(stream.device, shape, x.dtype);
  native().gatherRows(stream.native, x.native, indices.native, out.native);
  return out;
}
