// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { optimalTree, treeOfPaths } from '../../lib/index.js';
import { TreeGrowth } from '../../lib/speculate/tree.js';

/** Expected accepted tokens of a shape. */
function expected(parents: readonly number[], acceptance: readonly number[]): number {
  const chances: number[] = [];
  for (const [node, parent] of parents.entries()) {
    const rank = parents.slice(0, node).filter((other) => other === parent).length;
    chances.push((parent < 0 ? 1 : (chances[parent] as number)) * (acceptance[rank] ?? 0));
  }
  return chances.reduce((a, b) => a + b, 0);
}

/** Sequoia's dynamic programme: the best value of a tree of n nodes below a node, split among children by rank. */
function byDynamicProgramming(acceptance: readonly number[], nodes: number, depth: number): number {
  const memo = new Map<string, number>();
  const forest = (n: number, rank: number, levels: number): number => {
    if (n === 0 || rank >= acceptance.length || levels === 0) return 0;
    const key = `${n}/${rank}/${levels}`;
    const known = memo.get(key);
    if (known !== undefined) return known;
    let best = 0;
    for (let here = 1; here <= n; here++) {
      const below = (acceptance[rank] as number) * (1 + forest(here - 1, 0, levels - 1));
      best = Math.max(best, below + forest(n - here, rank + 1, levels));
    }
    memo.set(key, best);
    return best;
  };
  return forest(nodes, 0, depth);
}

describe('optimalTree', () => {
  it('is as good as what dynamic programming finds', () => {
    for (const acceptance of [
      [0.6, 0.2, 0.1, 0.05],
      [0.9, 0.05],
      [0.3, 0.3, 0.3],
      [1, 0.5],
    ]) {
      for (const nodes of [1, 2, 5, 12, 30]) {
        for (const depth of [2, 4, 30]) {
          const tree = optimalTree(acceptance, { nodes, depth });
          expect(tree.length).toBeLessThanOrEqual(nodes);
          expect(expected(tree, acceptance)).toBeCloseTo(byDynamicProgramming(acceptance, nodes, depth), 9);
        }
      }
    }
  });

  it('weighs what rows and levels cost', () => {
    const acceptance = [0.6, 0.2, 0.1];
    const cheap = optimalTree(acceptance, {
      nodes: 32,
      cost: { verify: (rows) => 1 + 0.01 * rows, draftLevel: 0.001 },
    });
    const dear = optimalTree(acceptance, { nodes: 32, cost: { verify: (rows) => 1 + 0.3 * rows, draftLevel: 0.1 } });
    const hopeless = optimalTree([0.01], { nodes: 32, cost: { verify: (rows) => rows, draftLevel: 1 } });
    expect(cheap.length).toBeGreaterThan(dear.length);
    expect(dear.length).toBeGreaterThan(0);
    expect(hopeless).toEqual([]);
  });

  it('checks its input', () => {
    for (const make of [
      () => optimalTree([0.2, 0.5], { nodes: 4 }),
      () => optimalTree([2], { nodes: 4 }),
      () => optimalTree([0.5], { nodes: 0 }),
      () => treeOfPaths([[-1]]),
    ]) {
      expect(make).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
    }
  });
});

describe('treeOfPaths', () => {
  it('adds missing prefixes and smaller ranks, level by level', () => {
    expect(treeOfPaths([[0, 0, 1], [1]])).toEqual([-1, -1, 0, 2, 2]);
    expect(treeOfPaths([])).toEqual([]);
  });
});

describe('TreeGrowth', () => {
  it('keeps the best candidates as a tree', () => {
    const growth = new TreeGrowth();
    const offer = (token: number, parent: number, priority: number): number =>
      growth.offer({ token, parent, priority, chance: priority });
    const [a, b] = [offer(1, -1, 0.6), offer(2, -1, 0.3)];
    offer(3, a, 0.5);
    offer(4, a, 0.05);
    offer(5, b, 0.2);
    expect(growth.best(3, 0).draft).toEqual({ tokens: [1, 2, 3], parents: [-1, -1, 0] });
    expect(growth.best(10, 0.1).draft).toEqual({ tokens: [1, 2, 3, 5], parents: [-1, -1, 0, 1] });
    expect(growth.best(10, 0.9).draft.tokens).toEqual([]);
  });
});
