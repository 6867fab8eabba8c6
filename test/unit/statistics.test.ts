// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { chiSquaredPValue, logGamma, upperGamma } from '../support/statistics.js';

describe('statistics', () => {
  it('knows tabulated quantiles of the chi-squared distribution', () => {
    for (const [degrees, quantile, tail] of [
      [1, 3.841458820694124, 0.05],
      [1, 23.928126930127, 1e-6],
      [10, 18.307038053275146, 0.05],
      [10, 3.9402991361190605, 0.95],
      [100, 135.80672317102676, 0.01],
    ] as const) {
      expect(upperGamma(degrees / 2, quantile / 2)).toBeCloseTo(tail, 8);
    }
    expect(logGamma(0.5)).toBeCloseTo(Math.log(Math.sqrt(Math.PI)), 12);
    expect(logGamma(11)).toBeCloseTo(Math.log(3628800), 10);
    expect(upperGamma(1, 20)).toBeCloseTo(Math.exp(-20), 15);
  });

  it('accepts what fits, rejects what does not, and refuses draws of probability 0', () => {
    expect(chiSquaredPValue([2500, 2510, 4990], [0.25, 0.25, 0.5])).toBeGreaterThan(0.5);
    expect(chiSquaredPValue([2500, 2900, 4600], [0.25, 0.25, 0.5])).toBeLessThan(1e-6);
    expect(chiSquaredPValue([10, 1, 0], [1, 0, 0])).toBe(0);
    expect(chiSquaredPValue([10, 0, 0], [1, 0, 0])).toBe(1);
  });
});
