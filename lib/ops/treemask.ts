// SPDX-License-Identifier: Apache-2.0
import { checkList, invalidArgument, unsupported } from '../errors.js';
import { wordsPerNode } from './visiblerows.js';

/** Which nodes of each sequence's draft tree see which: made by {@link treeMask}. */
export interface TreeMask {
  readonly kind: 'tree';
  /**
   * Per sequence, per node: bit t is set when node t is an ancestor, or the node itself. A node of a tree of more than 64 has as many
   * words as that takes, the lowest bits first.
   */
  readonly trees: readonly BigUint64Array[];
}

/** Arbitrary visibility; replaces the causal rule. */
export interface CustomMask {
  readonly kind: 'custom';
  /** Low bit first; sequence after sequence, queryLength x kvLength bits each, row by row. */
  readonly bits: Uint8Array;
}

const mostNodes = 4096;

/**
 * The mask of draft trees whose tokens are the last rows of their sequences: every node sees the tokens before the tree, its
 * ancestors and itself (SpecInfer; Miao et al., 2024). With a window or ALiBi, a node's position is its depth.
 *
 * Kernels have one word per row for trees of up to 64 nodes. Larger ones become arbitrary bits, a bit for each row and key, and
 * exclude ALiBi, segments and shared prefixes.
 * @param parents for each node the index of its parent, which comes before it, or -1 for a child of the last token before the
 *   tree; a list per sequence for a batch, empty for a sequence without a tree, whose rows are then causal
 * @throws PagewarpError ERR_INVALID_ARGUMENT; ERR_UNSUPPORTED for more than 4096 nodes
 */
export function treeMask(parents: readonly number[] | readonly (readonly number[])[]): TreeMask {
  checkList('parents', parents);
  const isBatch = parents.length > 0 && parents.every((entry) => Array.isArray(entry));
  const batch = (isBatch ? parents : [parents]) as readonly (readonly number[])[];
  return { kind: 'tree', trees: batch.map(ancestors) };
}

/**
 * The depth of each node of a tree of parents: 1 for a child of the root, which is -1.
 * @throws PagewarpError ERR_INVALID_ARGUMENT naming the list and the node when a parent does not come before its child
 */
export function depthsOf(parents: readonly number[], name = 'parents'): Int32Array {
  checkList(name, parents);
  const depths = new Int32Array(parents.length);
  for (const [node, parent] of parents.entries()) {
    if (!Number.isInteger(parent) || parent < -1 || parent >= node) {
      throw invalidArgument(`${name}[${node}]`, parent, `-1 or an earlier node, 0 to ${node - 1}`);
    }
    depths[node] = 1 + (parent < 0 ? 0 : (depths[parent] as number));
  }
  return depths;
}

function ancestors(parents: readonly number[]): BigUint64Array {
  if (parents.length > mostNodes) throw unsupported(`a tree of ${parents.length} nodes`, `up to ${mostNodes} nodes`);
  depthsOf(parents);
  const words = wordsPerNode(parents.length);
  const masks = new BigUint64Array(parents.length * words);
  for (const [node, parent] of parents.entries()) {
    const first = node * words;
    if (parent >= 0) masks.copyWithin(first, parent * words, (parent + 1) * words);
    const own = first + Math.floor(node / 64);
    masks[own] = (masks[own] as bigint) | (1n << BigInt(node % 64));
  }
  return masks;
}
