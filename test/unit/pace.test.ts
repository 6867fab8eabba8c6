// SPDX-License-Identifier: Apache-2.0
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Pace } from '../../lib/generate/pace.js';

afterEach(() => {
  vi.restoreAllMocks();
});

/** A pace with arrivals after these intervals, in milliseconds. */
function paceOf(intervals: readonly number[]): Pace {
  let now = 100;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  const pace = new Pace();
  for (const interval of intervals) {
    now += interval;
    pace.tick();
  }
  return pace;
}

describe('Pace', () => {
  it('keeps about two milliseconds of steps in flight, at least one and at most eight', () => {
    expect(paceOf([]).ahead).toBe(1);
    expect(paceOf([30, 30, 30]).ahead).toBe(1);
    expect(paceOf([9, 0.5, 0.5, 0.5]).ahead).toBe(4);
    expect(paceOf([9, 0, 0, 0.2, 0, 0.2]).ahead).toBe(8);
  });

  it('follows steps that become slower', () => {
    expect(paceOf([1, ...new Array<number>(20).fill(0.1), ...new Array<number>(40).fill(5)]).ahead).toBe(1);
  });

  it('says what a step takes, whatever the first took, and a pause', () => {
    expect(paceOf([50, 30, 31, 400, 29]).perStep).toBe(31);
    expect(paceOf([50]).perStep).toBe(50);
    expect(paceOf([50, 0, 0, 0.9, 0.1]).perStep).toBeCloseTo(0.25, 9);
    expect(paceOf([50, 0.2, 20, 0.2, 0.2]).perStep).toBeCloseTo(0.2, 9);
    expect(paceOf([1, 2]).steps).toBe(2);
  });
});
