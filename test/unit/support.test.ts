// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { randomNumbers } from '../support/random.js';
import { expectClose, expectNearlyAsGoodAs, maxAbsError, meanRelativeError, nmse } from '../support/tolerance.js';

describe('random inputs', () => {
  it('have the stated mean and deviation', () => {
    const values = randomNumbers(40_000, { seed: 3, scale: 2 });
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
    expect(Math.abs(mean)).toBeLessThan(0.05);
    expect(deviation).toBeGreaterThan(1.95);
    expect(deviation).toBeLessThan(2.05);
  });

  it('depend on seed and stream, and a prefix does not depend on the count', () => {
    const values = randomNumbers(9, { seed: 1 });
    expect(randomNumbers(5, { seed: 1 })).toEqual(values.slice(0, 5));
    expect(randomNumbers(9, { seed: 2 })).not.toEqual(values);
    expect(randomNumbers(9, { seed: 1, stream: 1 })).not.toEqual(values);
  });

  it('keep to the range of uniform and integer values', () => {
    const uniform = randomNumbers(5000, { seed: 5, distribution: 'uniform', scale: 3 });
    expect(Math.max(...uniform)).toBeLessThan(3);
    expect(Math.min(...uniform)).toBeLessThan(-2.9);
    const integers = randomNumbers(5000, { seed: 5, distribution: 'integer', low: -2, high: 3 });
    expect([...new Set(integers)].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
  });
});

describe('tolerances', () => {
  it('measure errors', () => {
    expect(maxAbsError([1, 2, -4], [1, 2.5, -3])).toBe(1);
    expect(nmse([2, 0], [1, 0])).toBe(1);
    expect(nmse([0, 0], [0, 0])).toBe(0);
    expect(meanRelativeError([1.5, -2], [1, -2])).toBeCloseTo(1 / 6, 12);
  });

  it('take equal infinities as equal, and a lone NaN or infinity as an infinite error', () => {
    const inf = Number.POSITIVE_INFINITY;
    expect(maxAbsError([-inf, Number.NaN], [-inf, Number.NaN])).toBe(0);
    expect(maxAbsError([Number.NaN], [0])).toBe(inf);
    expect(maxAbsError([inf], [0])).toBe(inf);
    expect(maxAbsError([0], [Number.NaN])).toBe(inf);
  });

  it('fail beyond the bound and on different lengths', () => {
    expectClose([1.05], [1], { absolute: 0.01, relative: 0.05 });
    expect(() => expectClose([1.07], [1], { absolute: 0.01, relative: 0.05 }, 'out')).toThrow('out[0] is 1.07');
    expect(() => expectClose([1], [1, 2], { absolute: 1 })).toThrow('1 values were given, but 2 are expected');
    expectNearlyAsGoodAs({ kernel: [1.2], naive: [1.1], exact: [1] });
    expect(() => expectNearlyAsGoodAs({ kernel: [1.3], naive: [1.1], exact: [1] })).toThrow('largest error');
  });
});
