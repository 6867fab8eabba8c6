// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { PagePool } from '../../lib/kv/pool.js';

const pageSize = 4;

it('pages are taken as they were never used, and the longest unused of those with known content last', () => {
  const pool = new PagePool(4, pageSize);
  const [a, b, c] = [pool.take(), pool.take(), pool.take()] as [number, number, number];
  pool.publish('', [1, 2, 3, 4, 5, 6, 7, 8], [a, b]);
  for (const page of [c, b, a]) pool.release(page);
  expect([pool.free, pool.used, pool.kept]).toEqual([4, 0, 2]);
  expect([pool.take(), pool.take()]).toEqual([c, 3]);
  expect(pool.find('', [1, 2, 3, 4, 5, 6, 7, 8])).toEqual([a, b]);
  expect(pool.take()).toBe(b);
  expect(pool.find('', [1, 2, 3, 4, 5, 6, 7, 8])).toEqual([a]);
  expect(pool.take()).toBe(a);
  expect(pool.find('', [1, 2, 3, 4])).toEqual([]);
  expect(() => pool.require(1)).toThrow(expect.objectContaining({ code: 'ERR_CACHE_EXHAUSTED' }));
});

it('a page that was had back is not free, and the newest of two with the same content is known', () => {
  const pool = new PagePool(4, pageSize);
  const [a, b] = [pool.take(), pool.take()] as [number, number];
  pool.publish('', [1, 2, 3, 4], [a]);
  pool.release(a);
  pool.retain(a);
  expect([pool.free, pool.kept, pool.references(a)]).toEqual([2, 0, 1]);
  pool.publish('', [1, 2, 3, 4], [b]);
  pool.release(a);
  expect([pool.find('', [1, 2, 3, 4]), pool.kept, pool.free]).toEqual([[b], 0, 3]);
});

/** A text with its pages, as a sequence has it: the first ones adopted, the others its own. */
interface Text {
  tokens: number[];
  pages: number[];
}

it.each([1, 2, 3, 4, 5, 6])('what is found is what was written there: random histories (seed %d)', (seed) => {
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const pool = new PagePool(24, pageSize);
  /** What a page was last written with, the text before it included. */
  const written = new Map<number, string>();
  const texts: Text[] = [];
  let found = 0;
  for (let step = 0; step < 3000; step++) {
    const tokens = Array.from({ length: pageSize * (1 + random(6)) }, () => random(2));
    const pages = pool.find('', tokens);
    for (const [i, page] of pages.entries()) expect(written.get(page)).toBe(tokens.slice(0, (i + 1) * pageSize).join());
    const needed = tokens.length / pageSize - pages.length;
    for (const page of pages) pool.retain(page);
    found += pages.length;
    if (pool.free >= needed) {
      while (pages.length * pageSize < tokens.length) {
        const page = pool.take();
        pages.push(page);
        written.set(page, tokens.slice(0, pages.length * pageSize).join());
      }
      if (random(4) > 0) pool.publish('', tokens, pages);
    }
    texts.push({ tokens, pages });
    while (texts.length > 0 && (pool.free === 0 || random(2) === 0)) {
      const [{ pages: dropped }] = texts.splice(random(texts.length), 1) as [Text];
      for (const page of dropped.toReversed()) pool.release(page);
    }
    expect(pool.free + pool.used).toBe(pool.pages);
    expect(pool.used).toBe(new Set(texts.flatMap((text) => text.pages)).size);
    expect(pool.kept).toBeLessThanOrEqual(pool.free);
  }
  expect(found).toBeGreaterThan(1000);
  for (const { pages } of texts) for (const page of pages) pool.release(page);
  expect([pool.free, pool.used, pool.shared]).toEqual([24, 0, 0]);
});
