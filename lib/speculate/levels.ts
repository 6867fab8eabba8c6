// SPDX-License-Identifier: Apache-2.0
/** The levels of a draft tree as a model computes them. */
import type { TreeShape } from './tree.js';

/** A node whose children are drawn in this level. */
export interface Expansion {
  /** Index among the candidates; -1: the root. */
  node: number;
  /** Node of the shape, if the tree has one. */
  place: number;
  token: number;
  depth: number;
  chance: number;
  /** The expanded nodes from the root down to itself, as indices of the rows computed for this draft. */
  path: number[];
}

/** Where every draft begins: the last token of the context. */
export const rootExpansion: Expansion = { node: -1, place: -1, token: -1, depth: 0, chance: 1, path: [] };

/** The nodes of a shape below `place`; -1: below the root. */
export function childrenOf(tree: TreeShape, place: number): number[] {
  return tree.flatMap((parent, node) => (parent === place ? [node] : []));
}

/** What is drawn below the nodes of one level. */
export interface ShapeLevel {
  /** The nodes that have children; of the first level, the root. */
  nodes: Expansion[];
  /** Most children of one of them: so many candidates are drawn of each. */
  count: number;
  /** Where this level's candidates, [nodes, count], begin among those of all levels. */
  first: number;
}

/**
 * How a tree of a fixed shape is drafted when nothing is known of its tokens.
 * @returns also of each node its place among the candidates, and how many of these there are
 */
export function shapeLevels(tree: TreeShape): { levels: ShapeLevel[]; picks: number[]; candidates: number } {
  const levels: ShapeLevel[] = [];
  const picks = new Array<number>(tree.length);
  let candidates = 0;
  let rows = 0; // computed so far, the root's included
  let nodes: Expansion[] = [rootExpansion];
  while (nodes.length > 0) {
    const children = nodes.map(({ place }) => childrenOf(tree, place));
    const count = Math.max(...children.map((list) => list.length));
    levels.push({ nodes, count, first: candidates });
    const next: Expansion[] = [];
    for (const [row, { depth, path }] of nodes.entries()) {
      for (const [rank, place] of (children[row] as number[]).entries()) {
        picks[place] = candidates + row * count + rank;
        if (childrenOf(tree, place).length === 0) continue;
        next.push({ node: place, place, token: -1, depth: depth + 1, chance: 1, path: [...path, rows + row] });
      }
    }
    candidates += nodes.length * count;
    rows += nodes.length;
    nodes = next;
  }
  return { levels, picks, candidates };
}
