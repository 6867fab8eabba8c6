// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { shapeLevels } from '../../lib/speculate/levels.js';

describe('levels of a draft tree', () => {
  it('are known beforehand for a fixed shape', () => {
    // Three children of the root; two of node 0, one of node 2, and one of that one. Not in order of levels.
    const { levels, picks, candidates } = shapeLevels([-1, 0, -1, -1, 2, 4, 0]);
    expect(levels.map(({ nodes }) => nodes.map(({ place }) => place))).toEqual([[-1], [0, 2], [4]]);
    expect(levels.map(({ count }) => count)).toEqual([3, 2, 1]);
    expect(levels.map(({ first }) => first)).toEqual([0, 3, 7]);
    expect(candidates).toBe(8);
    // Of each node: its level's first candidate, its parent's row there, its rank.
    expect(picks).toEqual([0, 3, 1, 2, 5, 7, 4]);
    // Rows that have been computed: 0 the root, 1 and 2 nodes 0 and 2, 3 node 4.
    expect(levels[2]?.nodes[0]?.path).toEqual([0, 2]);
    expect(levels[2]?.nodes[0]?.depth).toBe(2);
  });
});
