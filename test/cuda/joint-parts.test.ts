// SPDX-License-Identifier: Apache-2.0
/** Generations on the GPU that draft with parts of their model, or with heads on it, in the same steps of these. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type DraftHeads, type LanguageModel, load, loadDraftHeads } from '../../lib/index.js';
import { draftedOutcome, draftingWork, partDrafters } from '../bodies/joint-drafting.js';
import { cudaDevice, describeOnGpu } from '../support/cuda.js';
import { eagleHead, hydraHeads, medusaHeads } from '../support/draft-heads.js';
import { temporaryFolder } from '../support/folder.js';
import { runsFull } from '../support/grid.js';
import { announceSkip } from '../support/skip.js';
import { tinyText as ids, tinyModel, tinyVocabulary } from '../support/tiny-model.js';

const folder = temporaryFolder();
const dim = 128;

describeOnGpu('generations on the GPU that draft with parts of their model', () => {
  const device = cudaDevice();
  const maxTokens = runsFull ? 32 : 10;
  if (!runsFull) announceSkip('joint drafting with parts of a model on the simulated GPU: 10 of 32 tokens');
  let model: LanguageModel;
  let heads: Record<'medusa' | 'hydra' | 'eagle', DraftHeads>;

  beforeAll(async () => {
    const path = join(folder, 'model.gguf');
    tinyModel({ seed: 3, layers: 2, dim, context: 512 }).writer.write(path);
    model = await load(path, { device, cacheDType: 'f32', contextLength: 160, cacheTokens: 512, chunk: 32 });
    const shape = { dim, vocabulary: tinyVocabulary };
    heads = {
      medusa: await loadDraftHeads(medusaHeads(join(folder, 'medusa'), shape, 2, 1), model),
      hydra: await loadDraftHeads(hydraHeads(join(folder, 'hydra'), shape, 2, 1), model),
      eagle: await loadDraftHeads(eagleHead(join(folder, 'eagle'), shape), model),
    };
  });
  afterAll(() => {
    for (const resource of [...Object.values(heads), model]) resource.dispose();
  });

  const kinds = Object.entries(partDrafters(() => heads));
  it.each(kinds)(
    'share the steps of these, and give what plain decoding gives: %s',
    async (_name, { make, options }) => {
      const seeds = [1, 2, 3]; // whose prompts, but for the first one's, are computed together
      const { result, steps } = await draftingWork(() =>
        Promise.all(seeds.map((seed) => draftedOutcome(model, ids(5, seed), make, { maxTokens, seed, ...options }))),
      );
      expect(Math.max(...steps)).toBeGreaterThan(1);
      for (const [i, seed] of seeds.entries()) {
        const all = { maxTokens, seed, ignoreEnd: true, ...options, speculate: 'off' } as const;
        expect(result[i]?.tokens).toEqual((await model.generate(ids(5, seed), all).complete()).tokens);
        expect(result[i]?.drafts.some(({ tokens }) => tokens.length > 0)).toBe(true);
      }
      expect(model.cacheStatistics.used).toBe(0);
    },
  );
});
