// SPDX-License-Identifier: Apache-2.0
/** Shapes and growth of token trees. */
import { checkList, checkObject, invalidArgument } from '../errors.js';
import { checkInteger } from '../ops/check.js';
import { depthsOf } from '../ops/treemask.js';
import type { Draft } from './drafter.js';

/** The shape of a draft tree: of each node its parent, an earlier node or -1. Siblings stand in order of their rank. */
export type TreeShape = readonly number[];

/**
 * The tree of Medusa's and EAGLE's configurations: every path as the ranks of its tokens, [0], [1], [0, 0] ... Prefixes that
 * are missing are added.
 * @throws PagewarpError ERR_INVALID_ARGUMENT for ranks that are no whole numbers
 */
export function treeOfPaths(paths: readonly (readonly number[])[]): TreeShape {
  if (!Array.isArray(paths) || !paths.every(Array.isArray)) {
    throw invalidArgument('paths', paths, 'an array of paths, such as [[0], [1], [0, 0]]');
  }
  const known = new Map<string, readonly number[]>();
  for (const path of paths) {
    for (let length = 1; length <= path.length; length++) {
      const prefix = path.slice(0, length);
      const rank = prefix.at(-1) as number;
      if (!Number.isInteger(rank) || rank < 0) throw invalidArgument('paths', rank, 'ranks from 0');
      for (let sibling = 0; sibling <= rank; sibling++) {
        const node = [...prefix.slice(0, -1), sibling];
        known.set(node.join(), node);
      }
    }
  }
  const ordered = [...known.values()].sort((a, b) => a.length - b.length || compare(a, b));
  const index = new Map(ordered.map((path, i) => [path.join(), i]));
  return ordered.map((path) => (path.length === 1 ? -1 : (index.get(path.slice(0, -1).join()) as number)));
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((rank, i) => rank !== b[i]);
  return at < 0 ? 0 : (a[at] as number) - (b[at] as number);
}

export interface OptimalTreeOptions {
  /** Most nodes. */
  nodes: number;
  /** Longest path. Default: no limit. */
  depth?: number;
  /**
   * Time of a pass over so many rows (a node each, and one for the last token), and per level of the tree for drafting it, in
   * any unit: the tree with the most tokens per time is returned. Default: passes cost the same whatever their rows.
   */
  cost?: { verify: (rows: number) => number; draftLevel: number };
}

/**
 * The tree with the largest expected number of accepted tokens (Sequoia; Chen et al., NeurIPS 2024), with `cost` the most per
 * time (hardware-aware, like Sequoia's and PPD's). Sequoia finds it by dynamic programming over sizes; since a node's chance
 * is the product of its path's and falls with depth and rank, the best tree of n nodes is that of the n largest products, which
 * a heap yields one after the other, smaller trees being prefixes of larger ones.
 * @param acceptance chance that the child of rank 0, 1, ... is the accepted one, when its parent was; falling
 * @throws PagewarpError ERR_INVALID_ARGUMENT
 */
export function optimalTree(acceptance: readonly number[], options: OptimalTreeOptions): TreeShape {
  checkObject('options', options);
  const { nodes, depth = Number.POSITIVE_INFINITY, cost } = options;
  checkInteger('nodes', nodes, 1, 1024);
  checkList('acceptance', acceptance);
  if (cost !== undefined && typeof cost?.verify !== 'function') {
    throw invalidArgument('cost', cost, '{ verify: (rows) => time, draftLevel: time }');
  }
  for (const [rank, chance] of acceptance.entries()) {
    const most = acceptance[rank - 1] ?? 1;
    if (!(chance >= 0 && chance <= most))
      throw invalidArgument(`acceptance[${rank}]`, chance, `from 0 to ${most}, falling`);
  }
  interface Slot {
    parent: number;
    rank: number;
    depth: number;
    /** Of the parent, and of the node itself. */
    above: number;
    chance: number;
  }
  const open: Slot[] = [];
  const offer = (parent: number, rank: number, level: number, above: number): void => {
    const chance = above * (acceptance[rank] ?? 0);
    if (chance > 0 && level <= depth) open.push({ parent, rank, depth: level, above, chance });
  };
  offer(-1, 0, 1, 1);
  const parents: number[] = [];
  let expected = 1;
  let levels = 0;
  let best = { rate: cost ? 1 / cost.verify(1) : 0, nodes: 0 };
  while (parents.length < nodes && open.length > 0) {
    let at = 0;
    for (const [i, slot] of open.entries()) if (slot.chance > (open[at] as Slot).chance) at = i;
    const [slot] = open.splice(at, 1) as [Slot];
    const node = parents.push(slot.parent) - 1;
    expected += slot.chance;
    levels = Math.max(levels, slot.depth);
    offer(slot.parent, slot.rank + 1, slot.depth, slot.above);
    offer(node, 0, slot.depth + 1, slot.chance);
    const rate = cost ? expected / (cost.verify(parents.length + 1) + levels * cost.draftLevel) : expected;
    if (rate > best.rate) best = { rate, nodes: parents.length };
  }
  return parents.slice(0, best.nodes);
}

/** A candidate for a place in a tree. */
export interface Growth {
  token: number;
  /** Index of the parent among the candidates offered before; -1: the root. */
  parent: number;
  /** Chance that this place is reached and judged: what it is chosen by. Never above the parent's `chance`. */
  priority: number;
  /** Chance that the token is accepted. */
  chance: number;
}

/**
 * Collects candidates, level by level, and keeps the best of them: for deterministic drafts the tree of the largest
 * probabilities (SpecExec; Svirschevski et al., 2024; EAGLE-2's reranking), for sampled ones greedy expansion by expected
 * acceptance (DySpec; Xiong et al., 2024).
 *
 * A sampled token must not be dropped because of what it is. So a place is chosen by the chance that it is *judged*, which
 * depends on what was drawn above and before it only.
 */
export class TreeGrowth {
  readonly nodes: Growth[] = [];

  /** @returns the candidate's index, for its children */
  offer(candidate: Growth): number {
    return this.nodes.push(candidate) - 1;
  }

  /**
   * The `count` best candidates worth it, parents first, siblings in the order in which they were offered.
   * @returns the chosen ones as a tree, and their indices among the candidates
   */
  best(count: number, worth: number): { draft: Draft; chosen: number[] } {
    const order = Array.from(this.nodes.keys()).filter((i) => (this.nodes[i] as Growth).priority > worth);
    order.sort((a, b) => (this.nodes[b] as Growth).priority - (this.nodes[a] as Growth).priority || a - b);
    const chosen = order.slice(0, count).sort((a, b) => a - b);
    const places = new Map(chosen.map((candidate, place) => [candidate, place]));
    const tokens = chosen.map((i) => (this.nodes[i] as Growth).token);
    const parents = chosen.map((i) => {
      const { parent } = this.nodes[i] as Growth;
      return parent < 0 ? -1 : (places.get(parent) as number);
    });
    return { draft: { tokens, parents }, chosen };
  }
}

/** Depth of the deepest node. */
export function depthOf(parents: readonly number[]): number {
  return depthsOf(parents).reduce((deepest, depth) => Math.max(deepest, depth), 0);
}
