// SPDX-License-Identifier: Apache-2.0
import type { Drafter, DraftOutcome } from '../../lib/index.js';
import { generator } from './grid.js';

/** A drafter of large trees. */
export interface PlantedTrees extends Drafter {
  /** Nodes of each tree that was verified, and their places in it of those that were accepted. */
  readonly sizes: number[];
  readonly accepted: number[];
}

/**
 * Drafts trees of so many nodes of arbitrary tokens, in which a path of known ones is hidden, its nodes spread over the tree.
 * @param text the prompt and what plain decoding gives after it
 * @param depth of the path
 */
export function plantedTrees(text: readonly number[], nodes: number, depth: number, vocabulary: number): PlantedTrees {
  const random = generator(nodes);
  const sizes: number[] = [];
  const accepted: number[] = [];
  const every = Math.floor(nodes / depth);
  return {
    sizes,
    accepted,
    draft(context, maxTokens) {
      const [tokens, parents]: [number[], number[]] = [[], []];
      let above = -1;
      for (let node = 0, planted = 0; node < Math.min(nodes, maxTokens); node++) {
        const known = node % every === every - 1 ? text[context.length + planted] : undefined;
        if (known === undefined) {
          tokens.push(Math.floor(random() * vocabulary));
          parents.push(Math.floor(random() * (node + 1)) - 1);
        } else {
          tokens.push(known);
          parents.push(above);
          above = node;
          planted++;
        }
      }
      return { tokens, parents };
    },
    observe({ draft, path }: DraftOutcome) {
      sizes.push(draft.tokens.length);
      accepted.push(...path);
    },
    reset() {},
    dispose() {},
    [Symbol.dispose]() {},
  };
}
