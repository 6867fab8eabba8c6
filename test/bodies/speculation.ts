// SPDX-License-Identifier: Apache-2.0
/** Every drafter there is, for tests of generation on any device. */
import {
  adaptiveNgrams,
  type Drafter,
  draftModel,
  firstOf,
  type LanguageModel,
  lookahead,
  merged,
  optimalTree,
  promptLookup,
  selfSpeculation,
  suffixLookup,
  tokenRecycling,
  treeOfPaths,
} from '../../lib/index.js';

/** Drafters for a real model of so many layers, and those that draft with `small`, of the same vocabulary. */
export function draftersFor(layers: number, small?: LanguageModel): Record<string, () => Drafter> {
  return {
    'suffix lookup': () => suffixLookup({ minMatch: 1 }),
    'token recycling': () => tokenRecycling(),
    'adaptive n-grams': () => adaptiveNgrams(),
    lookahead: () => lookahead(),
    'prompt lookup': () => promptLookup(),
    'skipped layers': () => selfSpeculation({ skipLayers: [layers >> 1] }),
    'early exit': () => selfSpeculation({ exitLayer: Math.ceil(layers / 2) }),
    'a window': () => selfSpeculation({ window: 16 }),
    'a merged tree': () => merged(suffixLookup({ minMatch: 1 }), tokenRecycling()),
    ...(small && {
      'a draft model, chain': () => draftModel(small, { tree: 'chain' }),
      'a draft model, growing tree': () => draftModel(small),
      'a draft model, large tree': () => draftModel(small, { width: 8, maxDraft: 63 }),
      'a draft model, optimal tree': () => draftModel(small, { tree: optimalTree([0.5, 0.2, 0.1], { nodes: 12 }) }),
      'the first of several': () => firstOf(suffixLookup(), draftModel(small, { tree: 'chain' })),
    }),
  };
}

export interface DraftedModels {
  /** The target, of at least two layers. */
  model: LanguageModel;
  /** Another model of the same vocabulary. */
  other: LanguageModel;
  /** The target once more. */
  twin: LanguageModel;
}

export function everyDrafter(models: () => DraftedModels): Record<string, () => Drafter> {
  return {
    'prompt lookup': () => promptLookup({ minNgram: 1 }),
    'suffix lookup': () => suffixLookup({ minMatch: 1 }),
    'suffix lookup with a corpus': () =>
      suffixLookup({ minMatch: 1, corpus: [models().model.tokenize('abd abc abq abc abc xyz')] }),
    'token recycling': () => tokenRecycling(),
    'adaptive n-grams': () => adaptiveNgrams(),
    lookahead: () => lookahead(),
    'jacobi decoding': () => lookahead({ ngram: 2, window: 8, guesses: 0 }),
    'early exit': () => selfSpeculation({ exitLayer: 2 }),
    'skipped layers': () => selfSpeculation({ skipLayers: [1] }),
    'a window': () => selfSpeculation({ window: 8, sinkTokens: 2 }),
    'a draft model, chain': () => draftModel(models().other, { tree: 'chain' }),
    'a draft model, growing tree': () => draftModel(models().other),
    'a draft model, small growing tree': () => draftModel(models().other, { maxDraft: 5, width: 2 }),
    'a draft model, paths': () => draftModel(models().other, { tree: treeOfPaths([[0, 0, 0], [1, 0], [2]]) }),
    'a draft model, optimal tree': () =>
      draftModel(models().other, { tree: optimalTree([0.5, 0.2, 0.1], { nodes: 20 }) }),
    'the model itself, chain': () => draftModel(models().twin, { tree: 'chain' }),
    'the model itself, growing tree': () => draftModel(models().twin),
    'the first of several': () => firstOf(suffixLookup(), tokenRecycling()),
    'a merged tree': () => merged(suffixLookup({ minMatch: 1 }), draftModel(models().other), tokenRecycling()),
  };
}
