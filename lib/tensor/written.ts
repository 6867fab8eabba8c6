// SPDX-License-Identifier: Apache-2.0
import { invalidArgument } from '../errors.js';

/** What is looked at of a tensor. */
interface View {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/**
 * Each element of a view that is to be written has memory of its own; otherwise what is left there would depend on who comes last.
 * @throws PagewarpError ERR_INVALID_ARGUMENT
 */
export function checkWritten(name: string, { shape, strides }: View): void {
  if (!mayRepeat(shape, strides)) return;
  const given = `strides [${strides.join(', ')}] of shape [${shape.join(', ')}]`;
  throw invalidArgument(name, given, 'of elements that do not overlap: it is written');
}

/**
 * False when each dimension, from the smallest stride on, steps over all that those before it reach: so it is for whatever `slice`,
 * `select` and `transpose` make of memory that is contiguous. Views that are made otherwise and happen not to meet count as if they did.
 */
function mayRepeat(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return false;
  const steps = shape.flatMap((length, d) => (length > 1 ? [{ length, stride: Math.abs(strides[d] as number) }] : []));
  steps.sort((a, b) => a.stride - b.stride);
  let reach = 0;
  for (const { length, stride } of steps) {
    if (stride <= reach) return true;
    reach += (length - 1) * stride;
  }
  return false;
}
