// SPDX-License-Identifier: Apache-2.0
import { PagewarpError } from '../errors.js';
import type { DType, TypedArrayOf } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import type { Tensor } from '../tensor/tensor.js';

/** Values, and what was wrong with some of the data that they were computed from. */
export interface ReadDespite<D extends DType> {
  values: TypedArrayOf<D>;
  error?: PagewarpError;
}

/**
 * Reads what a step has come to for several generations: wrong data of one leaves the others as they are, so that it does not keep
 * them from being read.
 * @param tensor which lives until it has been read
 */
export async function readDespite<D extends DType>(tensor: Tensor<D>, stream: Stream): Promise<ReadDespite<D>> {
  try {
    return { values: await tensor.read(stream) };
  } catch (error) {
    if (!isDataError(error)) throw error;
    return { values: await tensor.read(stream), error };
  }
}

function isDataError(error: unknown): error is PagewarpError {
  return error instanceof PagewarpError && (error.code === 'ERR_INVALID_LOGITS' || error.code === 'ERR_INVALID_TOKEN');
}
