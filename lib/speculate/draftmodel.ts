// SPDX-License-Identifier: Apache-2.0
import { checkInstance, checkList, checkObject, invalidArgument } from '../errors.js';
import { LanguageModel } from '../model/model.js';
import { checkInteger, checkNumber } from '../ops/check.js';
import { depthsOf } from '../ops/treemask.js';
import { type Drafter, largestDraft } from './drafter.js';
import { shapeLevels } from './levels.js';
import { ModelDrafter } from './modeldrafter.js';
import type { TreeShape } from './tree.js';

export interface DraftModelOptions {
  /**
   * `chain`: one guess after the other. `dynamic`, the default: the tree of the most probable continuations, as large as they
   * are worth it. A shape, from {@link treeOfPaths} or {@link optimalTree}: always that tree.
   */
  tree?: 'chain' | 'dynamic' | TreeShape;
  /** Most nodes, 1 to 256, as far as the target was loaded for so many (`maxDraft` of {@link load}). Default 24. */
  maxDraft?: number;
  /** Deepest node of `chain` and `dynamic`. Default 8. */
  depth?: number;
  /** Most children of a node, and nodes expanded per level, of `dynamic`. Default 4. */
  width?: number;
  /**
   * Draw the drafts by chance, without replacement, from the draft model's distribution (they are then verified by rejection).
   * Default false: the most probable tokens, so that the output is that of plain sampling. Greedy generations ignore it. The two
   * models must be on one device.
   */
  sampled?: boolean;
  /**
   * A node is drafted when its chance is above this, at least: the fallback of BiLD (Kim et al., 2023). Default 0: what its
   * generation finds worthwhile.
   */
  confidence?: number;
}

/** Nodes that are expanded in one step, and children of a node. */
export const mostPerLevel = 64;

/**
 * Drafts with a smaller model of the same vocabulary (Leviathan et al., 2023), a chain or a tree: growing by what the draft
 * model finds probable (EAGLE-2, SpecExec; sampled: DySpec), or of a fixed shape (SpecInfer, Sequoia). The draft model must
 * outlive the drafter, which has a sequence in its cache; where that is full, nothing is drafted.
 * @throws PagewarpError ERR_INVALID_ARGUMENT; when a generation begins also for another vocabulary or device
 */
export function draftModel(model: LanguageModel, options: DraftModelOptions = {}): Drafter {
  checkInstance('model', model, LanguageModel);
  checkObject('options', options);
  return new ModelDrafter(model, resolveDraftOptions(options));
}

/** @throws PagewarpError ERR_INVALID_ARGUMENT naming the option */
export function resolveDraftOptions(options: DraftModelOptions): Required<DraftModelOptions> {
  const { tree = 'dynamic', maxDraft = 24, depth = 8, width = 4, sampled = false, confidence = 0 } = options;
  checkInteger('maxDraft', maxDraft, 1, largestDraft);
  checkInteger('depth', depth, 1, 63);
  checkInteger('width', width, 1, 16);
  checkNumber('confidence', confidence, 'a number from 0 to 1', (x) => x >= 0 && x <= 1);
  if (typeof tree === 'string' && tree !== 'chain' && tree !== 'dynamic') {
    throw invalidArgument('tree', tree, "'chain', 'dynamic' or a shape");
  }
  if (typeof tree !== 'string') checkShape(tree);
  return { tree, maxDraft, depth, width: tree === 'chain' ? 1 : width, sampled, confidence };
}

/** What one step of a draft model, and one command that draws children, can do. */
function checkShape(tree: TreeShape): void {
  checkList('tree', tree);
  if (tree.length > largestDraft)
    throw invalidArgument('tree', `${tree.length} nodes`, `at most ${largestDraft} nodes`);
  depthsOf(tree, 'tree');
  for (const { nodes, count } of shapeLevels(tree).levels) {
    if (nodes.length > mostPerLevel) {
      throw invalidArgument('tree', `${nodes.length} nodes with children on a level`, `at most ${mostPerLevel}`);
    }
    if (count > mostPerLevel) throw invalidArgument('tree', `${count} children of a node`, `at most ${mostPerLevel}`);
  }
}
