// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { atOnce, besides, inPieces, type Piecewise } from '../../lib/piecewise.js';

describe('work in pieces', () => {
  const items = Array.from({ length: 5000 }, (_, i) => i * i);

  function* sum(): Piecewise<number> {
    let total = 0;
    yield* inPieces(items, (item, index) => {
      total += item - index;
    });
    return total;
  }

  it('gives the same at once and besides', async () => {
    const expected = items.reduce((total, item, index) => total + item - index, 0);
    expect(atOnce(sum())).toBe(expected);
    expect(await besides(sum())).toBe(expected);
  });

  it('lets others have the thread between pieces', async () => {
    function* slow(): Piecewise<number> {
      for (let piece = 0; piece < 4; piece++) {
        const end = performance.now() + 6;
        while (performance.now() < end);
        yield;
      }
      return turns;
    }
    let turns = 0;
    let done = false;
    const count = (): void => {
      turns++;
      if (!done) setImmediate(count);
    };
    setImmediate(count);
    expect(await besides(slow())).toBeGreaterThanOrEqual(3);
    done = true;
  });

  it('throws what a piece throws', async () => {
    const fail = (): Piecewise<void> =>
      inPieces(items, (_, index) => {
        if (index === 3000) throw new Error('broken');
      });
    expect(() => atOnce(fail())).toThrow('broken');
    await expect(besides(fail())).rejects.toThrow('broken');
  });
});
