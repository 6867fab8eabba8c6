// SPDX-License-Identifier: Apache-2.0
/** Page tables of sequences that share a prefix. */
import type { PageTable } from '../../lib/index.js';
import { generator } from './grid.js';

export interface PrefixShape {
  /** Sequences that share it. */
  readers: number;
  /** Keys of the prefix, and of each sequence besides. A prefix may end within a page. */
  shared: number;
  unique: number;
  pageSize: number;
  kvHeads: number;
  headDim: number;
}

/** Prefix pages first, the same for all; then pages of each sequence's own. Their order is that of a seed. */
export function prefixPageTable(shape: PrefixShape, seed: number): PageTable {
  const { readers, shared, unique, pageSize, kvHeads, headDim } = shape;
  const random = generator(seed);
  const prefixPages = Math.ceil(shared / pageSize);
  const ownPages = Math.ceil(unique / pageSize);
  const pages = prefixPages + readers * ownPages;
  const order = Int32Array.from({ length: pages }, (_, i) => i);
  for (let i = pages - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  const indices: number[] = [];
  const indptr = [0];
  for (let s = 0; s < readers; s++) {
    const begin = prefixPages + s * ownPages;
    indices.push(...order.slice(0, prefixPages), ...order.slice(begin, begin + ownPages));
    indptr.push(indices.length);
  }
  return {
    lengths: new Int32Array(readers).fill(prefixPages * pageSize + unique),
    indptr: Int32Array.from(indptr),
    indices: Int32Array.from(indices),
    ...{ pageSize, pages, kvHeads, headDim },
  };
}
