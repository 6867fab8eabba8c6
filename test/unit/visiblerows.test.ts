// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { visibleBits } from '../../lib/ops/visiblerows.js';

describe('rows of a mask', () => {
  it('see the context and what is above them', () => {
    const rows = [
      { prefix: 2, others: [3] },
      { prefix: 2, others: [2, 4] },
    ];
    expect(Array.from(visibleBits([{ keys: 5, rows }]).bits)).toEqual([0b11101011, 0b10]);
  });

  it('see nothing of the sequences beside theirs, whatever the lengths', () => {
    const sequences = [3, 19, 1, 40, 8].map((keys, i) => ({
      keys,
      rows: Array.from({ length: 1 + (i % 3) }, (_, row) => ({
        prefix: Math.max(0, keys - 1 - 3 * row),
        others: row === 0 ? [keys - 1] : [],
      })),
    }));
    const expected = sequences.flatMap(({ keys, rows }) =>
      rows.flatMap(({ prefix, others }) =>
        Array.from({ length: keys }, (_, key) => Number(key < prefix || others.includes(key))),
      ),
    );
    const { bits } = visibleBits(sequences);
    expect(bits.length).toBe(Math.ceil(expected.length / 8));
    const found = expected.map((_, bit) => ((bits[bit >> 3] as number) >> (bit & 7)) & 1);
    expect(found).toEqual(expected);
  });
});
