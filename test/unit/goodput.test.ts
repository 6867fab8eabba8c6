// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { gainsOf, type Offer, shareRows } from '../../lib/generate/goodput.js';
import { StepCosts } from '../../lib/generate/stepcosts.js';
import { quickRandom } from '../oracle/verification.js';

/** Every way to take the beginnings of all offers. */
function bestOf(
  offers: readonly Offer[],
  base: { rows: number; tokens: number },
  most: number,
  time: (n: number) => number,
) {
  let best = 0;
  const visit = (at: number, rows: number, tokens: number): void => {
    const offer = offers[at];
    if (!offer) {
      if (rows <= most) best = Math.max(best, tokens / time(base.rows + rows));
      return;
    }
    let gain = 0;
    for (let count = 0; count <= offer.gains.length; count++) {
      if (count > 0) gain += offer.gains[count - 1] as number;
      if (!offer.isWhole || count === 0 || count === offer.gains.length) visit(at + 1, rows + count, tokens + gain);
    }
  };
  visit(0, 0, base.tokens);
  return best;
}

const goodputOf = (
  offers: readonly Offer[],
  counts: readonly number[],
  base: { rows: number; tokens: number },
  time: (rows: number) => number,
): number => {
  let { rows, tokens } = base;
  for (const [i, count] of counts.entries()) {
    rows += count;
    tokens += (offers[i] as Offer).gains.slice(0, count).reduce((sum, gain) => sum + gain, 0);
  }
  return tokens / time(rows);
};

describe('the rows of a step', () => {
  const base = { rows: 3, tokens: 3 };
  const times: Record<string, (rows: number) => number> = {
    'free rows': () => 10,
    'dear rows': (rows) => rows,
    'a bend': (rows) => Math.max(10, 2 * rows),
    'a line': (rows) => 10 + 0.7 * rows,
    'levels of eight': (rows) => 5 + 4 * Math.ceil(rows / 8),
  };

  it.each(Object.entries(times))('are shared out for the highest goodput: %s', (_name, time) => {
    const random = quickRandom(7);
    for (let i = 0; i < 60; i++) {
      const offers = Array.from({ length: 3 }, () => ({
        gains: gainsOf(Math.floor(random() * 6), 0.1 + 0.85 * random()),
      }));
      const most = 2 + Math.floor(random() * 16);
      const { counts } = shareRows(offers, base, most, time);
      expect(counts.reduce((sum, count) => sum + count)).toBeLessThanOrEqual(most);
      expect(goodputOf(offers, counts, base, time)).toBeCloseTo(bestOf(offers, base, most, time), 9);
    }
  });

  it('go to the drafts that are most likely right', () => {
    const offers = [{ gains: gainsOf(8, 0.3) }, { gains: gainsOf(8, 0.9) }];
    const { counts, worth } = shareRows(offers, base, 20, (rows) => 10 + rows);
    expect(counts[1]).toBeGreaterThan(counts[0] as number);
    expect(0.9 ** (counts[1] as number)).toBeGreaterThan(worth);
    expect(0.9 ** ((counts[1] as number) + 1)).toBeLessThan(worth * 1.1);
  });

  it('are none where there are so many that each costs what it gives', () => {
    const offers = Array.from({ length: 32 }, () => ({ gains: gainsOf(4, 0.7) }));
    const bend = (rows: number): number => Math.max(20, rows);
    expect(shareRows(offers, { rows: 32, tokens: 32 }, 33, bend).counts.every((count) => count === 0)).toBe(true);
    const few = shareRows(offers.slice(0, 4), { rows: 4, tokens: 4 }, 60, bend).counts;
    expect(few.every((count) => count > 0)).toBe(true);
  });

  it('take what cannot be cut whole or not at all, and trees by their levels', () => {
    const gains = gainsOf(4, 0.6);
    const whole = [{ gains, isWhole: true }];
    expect(shareRows(whole, base, 3, () => 1).counts).toEqual([0]);
    expect(shareRows(whole, base, 4, () => 1).counts).toEqual([4]);
    expect(shareRows(whole, base, 4, (rows) => rows).counts).toEqual([0]);
    expect(gainsOf(4, 0.5, [-1, -1, 0, 1])).toEqual([0.25, 0.25, 0.125, 0.125]);
    // A node that is hardly worth its row stands before one that is.
    const uneven = [{ gains: [0.05, 0.9] }];
    expect(shareRows(uneven, { rows: 1, tokens: 1 }, 8, (rows) => 1 + 0.2 * rows).counts).toEqual([2]);
  });
});

describe('the cost of a step', () => {
  it('lies between those that were measured, and never falls with the rows', () => {
    const costs = new StepCosts();
    expect(costs.time(4)).toBeUndefined();
    for (let i = 0; i < 4; i++) {
      costs.add(4, 10);
      costs.add(8, 9);
      costs.add(16, 26);
    }
    expect(costs.isKnown(4)).toBe(true);
    expect(costs.isKnown(5)).toBe(false);
    expect(costs.mostRows).toBe(16);
    expect([2, 4, 6, 8, 12, 16, 22].map((rows) => costs.time(rows))).toEqual([10, 10, 10, 10, 18, 26, 34]);
  });

  it('follows what changes, and forgets what was long ago', () => {
    const costs = new StepCosts();
    for (let i = 0; i < 10; i++) costs.add(4, 10);
    for (let i = 0; i < 3000; i++) costs.add(2, 5);
    expect(costs.isKnown(4)).toBe(false);
    for (let i = 0; i < 60; i++) costs.add(2, 7);
    expect(costs.time(2)).toBeCloseTo(7, 1);
  });
});
