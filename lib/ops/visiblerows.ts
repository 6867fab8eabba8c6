// SPDX-License-Identifier: Apache-2.0
import { PagewarpError, shapeMismatch } from '../errors.js';
import type { CustomMask, TreeMask } from './treemask.js';

/** What the rows of one sequence see of its keys. */
export interface VisibleRows {
  keys: number;
  rows: readonly VisibleRow[];
}

interface VisibleRow {
  /** The first so many keys... */
  prefix: number;
  /** ...but for those from the first number to the second... */
  hidden?: readonly [number, number];
  /** ...and these, which lie behind them. */
  others: readonly number[];
}

/** The mask of a batch of which every row sees what is said of it. */
export function visibleBits(sequences: readonly VisibleRows[]): CustomMask {
  const total = sequences.reduce((sum, { keys, rows }) => sum + rows.length * keys, 0);
  const bits = new Uint8Array(Math.ceil(total / 8));
  const set = (bit: number): void => {
    bits[bit >> 3] = (bits[bit >> 3] as number) | (1 << (bit & 7));
  };
  const setAll = (begin: number, end: number): void => {
    let bit = begin;
    for (; bit < end && bit % 8 !== 0; bit++) set(bit);
    bits.fill(255, bit >> 3, Math.max(bit, end) >> 3);
    for (bit = Math.max(bit, end - (end % 8)); bit < end; bit++) set(bit);
  };
  let first = 0;
  for (const { keys, rows } of sequences) {
    for (const { prefix, hidden: [begin, end] = [prefix, prefix], others } of rows) {
      setAll(first, first + begin);
      setAll(first + end, first + prefix);
      for (const key of others) set(first + key);
      first += keys;
    }
  }
  return { kind: 'custom', bits };
}

/** Nodes of a tree that kernels evaluate by a word per row. */
const wordNodes = 64;

/** Has one of the trees more nodes than that? Its mask is one of arbitrary bits for them. */
export function hasWideTree({ trees }: TreeMask): boolean {
  return trees.some((tree) => tree.length > wordNodes);
}

/** The words of a node of a tree of so many. */
export function wordsPerNode(nodes: number): number {
  return Math.ceil(nodes / wordNodes);
}

/**
 * What the rows of a batch with tree masks see, windows included.
 * @throws PagewarpError ERR_INVALID_ARGUMENT for a tree that its sequence's keys do not hold
 */
export function visibleInTrees(
  { trees }: TreeMask,
  queryLengths: Int32Array,
  kvLengths: Int32Array,
  window: number = Number.POSITIVE_INFINITY,
  sinkTokens = 0,
): VisibleRows[] {
  if (kvLengths.length !== queryLengths.length) {
    throw shapeMismatch('pageTable.lengths', [kvLengths.length], [queryLengths.length], 'one per sequence');
  }
  return trees.map((tree, s) => {
    const [queries, keys] = [queryLengths[s] as number, kvLengths[s] as number];
    const base = keys - queries;
    if (tree.length > 0 && base < 0) {
      throw new PagewarpError(
        'ERR_INVALID_ARGUMENT',
        `the tree of sequence ${s} has ${queries} nodes, but the sequence only ${keys} keys`,
      );
    }
    const row = (i: number): VisibleRow => {
      const path = tree.length > 0 ? pathOf(tree, queries, i) : undefined;
      const position = path ? base + path.length - 1 : base + i;
      const prefix = path ? base : Math.max(0, position + 1);
      const begin = Math.min(sinkTokens, prefix);
      const end = Math.min(Math.max(begin, position - window + 1), prefix);
      const others = path?.slice(-Math.min(window, path.length)).map((node) => base + node) ?? [];
      return { prefix, hidden: [begin, end], others };
    };
    return { keys, rows: Array.from({ length: queries }, (_, i) => row(i)) };
  });
}

/** The nodes from the root of a tree of `nodes` down to one of them. */
function pathOf(tree: BigUint64Array, nodes: number, node: number): number[] {
  const words = wordsPerNode(nodes);
  const halves = new Uint32Array(tree.buffer, tree.byteOffset + node * words * 8, 2 * words);
  const path: number[] = [];
  for (const [at, half] of halves.entries()) {
    for (let rest = half; rest !== 0; rest &= rest - 1) path.push(32 * at + 31 - Math.clz32(rest & -rest));
  }
  return path;
}
