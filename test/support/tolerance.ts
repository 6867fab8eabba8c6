// SPDX-License-Identifier: Apache-2.0
/** Measures of error, and the tolerance rules that all backends are judged by. */
import { expect } from 'vitest';

export type Values = ArrayLike<number>;

/** |a - b|; 0 for equal infinities and for NaN against NaN, infinite where only one of the two is not finite. */
function distance(a: number, b: number): number {
  if (a === b) return 0;
  const difference = Math.abs(a - b);
  if (!Number.isNaN(difference)) return difference;
  return Number.isNaN(a) && Number.isNaN(b) ? 0 : Number.POSITIVE_INFINITY;
}

function checkLengths(actual: Values, expected: Values): void {
  if (actual.length !== expected.length) {
    throw new RangeError(`${actual.length} values were given, but ${expected.length} are expected`);
  }
}

/** Largest |actual - expected|. */
export function maxAbsError(actual: Values, expected: Values): number {
  checkLengths(actual, expected);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    worst = Math.max(worst, distance(actual[i] as number, expected[i] as number));
  }
  return worst;
}

/** Sum of squared errors over the sum of squared expected values; 0 when both are 0. */
export function nmse(actual: Values, expected: Values): number {
  checkLengths(actual, expected);
  let error = 0;
  let signal = 0;
  for (let i = 0; i < expected.length; i++) {
    const e = expected[i] as number;
    const difference = distance(actual[i] as number, e);
    error += difference * difference;
    signal += e * e;
  }
  return error === 0 ? 0 : error / signal;
}

/** Sum of |actual - expected| over the sum of |expected|; 0 when both are 0. */
export function meanRelativeError(actual: Values, expected: Values): number {
  checkLengths(actual, expected);
  let error = 0;
  let signal = 0;
  for (let i = 0; i < expected.length; i++) {
    error += distance(actual[i] as number, expected[i] as number);
    signal += Math.abs(expected[i] as number);
  }
  return error === 0 ? 0 : error / signal;
}

export interface Tolerance {
  absolute?: number;
  relative?: number;
}

/** Fails at the first element with |actual - expected| > absolute + relative |expected|, saying which one it is. */
export function expectClose(actual: Values, expected: Values, tolerance: Tolerance, what = 'value'): void {
  checkLengths(actual, expected);
  const { absolute = 0, relative = 0 } = tolerance;
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i] as number;
    const e = expected[i] as number;
    if (a === e) continue; // most of the millions that the tests compare
    const bound = absolute + (Number.isFinite(e) ? relative * Math.abs(e) : 0);
    const error = distance(a, e);
    if (error > bound) expect.fail(`${what}[${i}] is ${a}, but ${e} ± ${bound} is expected (off by ${error})`);
  }
  expect(actual.length).toBe(expected.length);
}

/**
 * The rule for floating-point kernels: error(kernel, f64) <= factor * error(naive, f64) + floor, where `naive` computes the
 * same in the kernel's own dtypes. Factor 2 in general, 3 for grouped-query split-KV, 5 for ALiBi.
 */
export function allowedError(
  values: { naive: Values; exact: Values },
  options: { factor?: number; floor?: number } = {},
): number {
  const { factor = 2, floor = 1e-5 } = options;
  return factor * maxAbsError(values.naive, values.exact) + floor;
}

/** Fails where the kernel's error is more than allowedError(). */
export function expectNearlyAsGoodAs(
  values: { kernel: Values; naive: Values; exact: Values },
  options: { factor?: number; floor?: number; what?: string } = {},
): void {
  const error = maxAbsError(values.kernel, values.exact);
  expect(error, `largest error of ${options.what ?? 'kernel'}`).toBeLessThanOrEqual(allowedError(values, options));
}

/**
 * Backends agree with each other, too: each result of a case with the one before it. With the tolerance that each has against
 * the exact one, this asks for more than that does.
 */
export function expectAgreement(results: readonly Values[], tolerance: Tolerance, what = 'results'): void {
  for (let i = 1; i < results.length; i++) {
    expectClose(results[i] as Values, results[i - 1] as Values, tolerance, `${what} of the backends`);
  }
}
