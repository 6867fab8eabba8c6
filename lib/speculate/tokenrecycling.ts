// SPDX-License-Identifier: Apache-2.0
import { checkObject } from '../errors.js';
import { checkInteger } from '../ops/check.js';
import { type Draft, type Drafter, type DraftOutcome, type DraftTarget, noDraft } from './drafter.js';
import { optimalTree, type TreeShape } from './tree.js';

export interface TokenRecyclingOptions {
  /** Successors remembered per token, 1 to 64. Default 8. */
  successors?: number;
  /** Shape of the tree; siblings of rank r are the r-th most probable successors. Default: 24 nodes, bushy at the top. */
  tree?: TreeShape;
}

/** Chances that the successor of rank 0, 1, ... is the right one, measured on ordinary text by the authors, roughly. */
const usual = [0.45, 0.15, 0.08, 0.05, 0.035, 0.025, 0.02, 0.015];

/**
 * Token Recycling (Luo et al., ACL 2025): the most probable tokens after each token, as the target last computed them for
 * accepted and rejected drafts alike, are an adjacency matrix, from which the next tree is read. It costs no model and starts
 * empty; what it has learnt is kept over generations.
 * @throws PagewarpError ERR_INVALID_ARGUMENT
 */
export function tokenRecycling(options: TokenRecyclingOptions = {}): Drafter {
  checkObject('options', options);
  const { successors = 8, tree = optimalTree(usual, { nodes: 24, depth: 6 }) } = options;
  checkInteger('successors', successors, 1, 64);
  return new TokenRecycling(successors, tree);
}

class TokenRecycling implements Drafter {
  readonly topTokens: number;
  readonly #parents: readonly number[];
  /** Of each node the rank among its siblings. */
  readonly #ranks: number[];
  readonly #successors = new Map<number, Int32Array>();
  #last = -1;

  constructor(successors: number, parents: readonly number[]) {
    this.topTokens = successors;
    this.#parents = parents;
    const children = new Map<number, number>();
    this.#ranks = parents.map((parent) => {
      const rank = children.get(parent) ?? 0;
      children.set(parent, rank + 1);
      return rank;
    });
  }

  draft(context: ArrayLike<number>, maxTokens: number): Draft {
    this.#last = context[context.length - 1] as number;
    const tokens: number[] = [];
    const parents: number[] = [];
    const places: number[] = [];
    for (const [node, parent] of this.#parents.entries()) {
      const above = parent < 0 ? -1 : (places[parent] as number);
      const known =
        parent >= 0 && above < 0 ? undefined : this.#successors.get(above < 0 ? this.#last : (tokens[above] as number));
      const token = known?.[this.#ranks[node] as number];
      const fits = token !== undefined && token >= 0 && tokens.length < maxTokens;
      places.push(fits ? tokens.push(token) - 1 : -2);
      if (fits) parents.push(above);
    }
    return tokens.length > 0 ? { tokens, parents } : noDraft;
  }

  observe({ draft, top }: DraftOutcome): void {
    if (!top || this.#last < 0) return;
    const rows = [this.#last, ...draft.tokens];
    for (const [row, token] of rows.entries()) {
      this.#successors.set(token, top.slice(row * this.topTokens, (row + 1) * this.topTokens));
    }
  }

  reset(_target?: DraftTarget): void {
    this.#last = -1;
  }

  dispose(): void {
    this.#successors.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
