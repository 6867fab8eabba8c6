// SPDX-License-Identifier: Apache-2.0
/** Generations that share steps on the GPU: graphs of a few sizes, and the tokens that each gives alone. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type LanguageModel, load } from '../../lib/index.js';
import { batchingTests, verifiedTogether } from '../bodies/batching.js';
import { cudaDevice, describeOnGpu, isSimulated } from '../support/cuda.js';
import { temporaryFolder } from '../support/folder.js';
import { announceSkip } from '../support/skip.js';
import { tinyModel, tinyVocabulary } from '../support/tiny-model.js';

describeOnGpu('batched generations on the GPU', () => {
  const device = cudaDevice();
  const path = join(temporaryFolder(), 'tiny.gguf');
  // A simulated GPU takes its time: prompts of up to 20 tokens there, a few generations.
  const longest = isSimulated ? 20 : 150;
  const size: [number, number] = isSimulated ? [5, 6] : [12, 30];
  if (isSimulated) announceSkip('batched generations on the simulated GPU: 5 of 12, of 6 tokens and more');
  const ids = (length: number, seed: number): number[] =>
    Array.from({ length: Math.min(length, longest) }, (_, i) => 3 + ((i * 7 + seed * 13) % (tinyVocabulary - 3)));
  let model: LanguageModel;

  beforeAll(async () => {
    tinyModel({ seed: 5, context: 256 }).writer.write(path);
    model = await load(path, { device, cacheDType: 'f32', cacheTokens: 2048, prefixCache: false });
  });
  afterAll(() => model.dispose());

  batchingTests('on the GPU', () => model, ids, size);
  verifiedTogether('on the GPU', () => model, ids, isSimulated ? 8 : 24);

  it('begin with what was computed of earlier prompts', async () => {
    await using keeping = await load(path, { device, cacheDType: 'f32', cacheTokens: 512 });
    const options = { ignoreEnd: true, speculate: 'off', maxTokens: 4 } as const;
    const prompts = [20, 18].map((length) => [...ids(17, 1), ...ids(length, 2).slice(17)]);
    for (const [i, prompt] of prompts.entries()) {
      const { tokens, usage } = await keeping.generate(prompt, options).complete();
      expect(usage.cachedTokens).toBe(i === 0 ? 0 : 16);
      expect(tokens).toEqual((await model.generate(prompt, options).complete()).tokens);
    }
  });

  it('take graphs of the sizes that there are', async () => {
    const before = device.cudaStatistics.launches;
    const options = { ignoreEnd: true, speculate: 'off', maxTokens: 6 } as const;
    const all = await Promise.all(Array.from({ length: 5 }, (_, i) => model.generate(ids(4, i), options).complete()));
    expect(all.every(({ tokens }) => tokens.length === 6)).toBe(true);
    const after = device.cudaStatistics.launches;
    // Steps of 20 rows for the prompts and 5 for their tokens, and perhaps a larger graph for more keys.
    expect(after.graphCaptures - before.graphCaptures).toBeLessThanOrEqual(4);
    expect(after.graphLaunches - before.graphLaunches).toBeLessThanOrEqual(12);
  });
});
