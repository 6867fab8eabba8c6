// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { philox } from '../../lib/index.js';
import { PairRanks } from '../../lib/tokenizer/pairranks.js';

it('ranks of pairs are those of a Map, whatever the order and the repetitions', () => {
  const most = 2 ** 26 - 1;
  for (const range of [20, 3000, most]) {
    const ranks = new PairRanks();
    const map = new Map<string, number>();
    const pairOf = (i: number): [number, number] => {
      const [a = 0, b = 0] = philox(range, 0, i);
      return [a % range, b % range];
    };
    for (let i = 0; i < 20000; i++) {
      const [left, right] = pairOf(i);
      ranks.set(left, right, i);
      map.set(`${left} ${right}`, i);
    }
    expect(ranks.size).toBe(map.size);
    for (let i = 0; i < 40000; i++) {
      const [left, right] = pairOf(i);
      if (ranks.get(left, right) !== map.get(`${left} ${right}`)) expect.fail(`rank of ${left}, ${right}`);
    }
  }
  const ranks = new PairRanks();
  ranks.set(most, most, 5);
  expect(ranks.get(most, most)).toBe(5);
  expect(ranks.get(most, 0)).toBeUndefined();
  expect(() => ranks.set(most + 1, 0, 1)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_MODEL' }));
});
