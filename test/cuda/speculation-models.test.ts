// SPDX-License-Identifier: Apache-2.0
/** Greedy generation of real models with drafters on the GPU: the tokens of plain decoding, which are the golden ones. */
import { describe, expect, it } from 'vitest';
import { type Drafter, type LanguageModel, load } from '../../lib/index.js';
import { draftersFor } from '../bodies/speculation.js';
import { cudaDevice, describeOnGpu, isSimulated } from '../support/cuda.js';
import { runsFull } from '../support/grid.js';
import { type GoldenModel, goldenModels } from '../support/models.js';
import { announceSkip } from '../support/skip.js';

const models = goldenModels();
/** Models that draft for another of the same vocabulary. */
const draftOf: Record<string, string> = { stories260K: 'stories260K-draft', demo: 'demo-draft' };

async function tokensOf(model: LanguageModel, ids: number[], maxTokens: number, speculate: Drafter | 'off') {
  const options = { maxTokens, ignoreEnd: true, adaptive: false, speculate };
  return (await model.generate(ids, options).complete()).tokens;
}

describeOnGpu('speculation with real models on the GPU', () => {
  const device = cudaDevice();
  const options = { device, cacheDType: 'f32', contextLength: 128, chunk: 32 } as const;
  const isWhole = runsFull || !isSimulated;
  const most = isWhole ? 24 : 4;
  if (!isWhole) {
    announceSkip(
      `real models with drafters on the simulated GPU: 4 of 24 tokens, each with some of the drafters: time`,
    );
  }
  const file = (model: GoldenModel | undefined): string | undefined => model?.file('F32');

  describe.each(models.map((model, i) => ({ name: model.name, model, i })))('$name', ({ name, model, i }) => {
    const draft = models.find((other) => other.name === draftOf[name]);
    const names = Object.keys(draftersFor(1, draft && ({} as LanguageModel)));
    const some = names.filter((_, n) => isWhole || n % models.length === i);
    it.each(some)('%s: the golden tokens', async (drafter) => {
      const [path, draftPath] = [file(model), file(draft)];
      const golden = model.cases[0];
      if (!path || !golden || (draft && !draftPath)) return;
      await using target = await load(path, options);
      await using small = draftPath ? await load(draftPath, options) : undefined;
      const make = draftersFor(target.config.layers, small)[drafter] as () => Drafter;
      using speculate = make();
      const wanted = golden.greedy.slice(0, most);
      expect(await tokensOf(target, golden.ids, wanted.length, speculate)).toEqual(wanted);
    });
  });
});
