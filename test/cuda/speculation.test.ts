// SPDX-License-Identifier: Apache-2.0
/** Generation with every drafter on the GPU: the output is that of plain decoding there, and on the CPU. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Device,
  type Drafter,
  draftModel,
  type GenerateOptions,
  type LanguageModel,
  load,
  loadDraftHeads,
} from '../../lib/index.js';
import { type DraftedModels, everyDrafter } from '../bodies/speculation.js';
import { cudaDevice, describeOnGpu } from '../support/cuda.js';
import { eagleHead, hydraHeads, medusaHeads } from '../support/draft-heads.js';
import { temporaryFolder } from '../support/folder.js';
import { runsFull } from '../support/grid.js';
import { modelPath } from '../support/models.js';
import { announceSkip } from '../support/skip.js';
import { tinyModel, tinyVocabulary } from '../support/tiny-model.js';

const folder = temporaryFolder();
const dim = 128;

function file(name: string, seed: number, layers: number): string {
  const path = join(folder, name);
  tinyModel({ seed, layers, dim, context: 512 }).writer.write(path);
  return path;
}

async function tokensOf(model: LanguageModel, options: GenerateOptions, prompt = 'abc abc abd abc'): Promise<number[]> {
  return (await model.generate(prompt, { ignoreEnd: true, adaptive: false, ...options }).complete()).tokens;
}

describeOnGpu('speculation on the GPU', () => {
  const device = cudaDevice();
  const common = { cacheDType: 'f32', contextLength: 160, chunk: 32 } as const;
  const maxTokens = runsFull ? 48 : 10;
  // Sampling differs in nothing but the draw.
  const sampledOnes = ['lookahead', 'a draft model, chain', 'a draft model, optimal tree'];
  if (!runsFull) {
    announceSkip(`speculation on the simulated GPU: 10 of 48 tokens; sampled ones with ${sampledOnes.join(', ')} only`);
  }
  let models: DraftedModels;

  beforeAll(async () => {
    const target = file('target.gguf', 3, 3);
    models = {
      model: await load(target, { device, ...common }),
      other: await load(file('other.gguf', 4, 1), { device, ...common }),
      twin: await load(target, { device, ...common }),
    };
  });
  afterAll(() => {
    for (const model of Object.values(models)) model.dispose();
  });

  const samplings = { greedy: {}, sampled: { temperature: 0.9, topP: 0.95, seed: 11 } };
  describe.each(Object.entries(samplings))('%s', (kind, sampling) => {
    let plain: number[];

    beforeAll(async () => {
      plain = await tokensOf(models.model, { ...sampling, maxTokens, speculate: 'off' });
      await using onCpu = await load(join(folder, 'target.gguf'), { device: { threads: 1 }, ...common });
      expect(await tokensOf(onCpu, { ...sampling, maxTokens, speculate: 'off' })).toEqual(plain);
    });

    const drafters = Object.entries(everyDrafter(() => models));
    const chosen = drafters.filter(([name]) => runsFull || kind === 'greedy' || sampledOnes.includes(name));
    it.each(chosen)('%s does not change the output', async (_name, make) => {
      using speculate = make();
      const result = await models.model
        .generate('abc abc abd abc', { ...sampling, maxTokens, ignoreEnd: true, speculate, adaptive: false })
        .complete();
      expect(result.tokens).toEqual(plain);
      if (kind === 'greedy') expect(result.speculation?.drafted).toBeGreaterThan(0);
    });

    it.runIf(runsFull || kind === 'greedy')('draft heads do not change the output', async () => {
      const shape = { dim, vocabulary: tinyVocabulary };
      for (const path of [
        medusaHeads(join(folder, 'medusa'), shape, 2, 1),
        hydraHeads(join(folder, 'hydra'), shape, 1, 1),
        eagleHead(join(folder, 'eagle'), shape),
      ]) {
        using heads = await loadDraftHeads(path, models.model);
        using speculate = heads.drafter({ width: 2, maxDraft: 6, depth: 3 });
        const few = Math.min(maxTokens, 6);
        expect(await tokensOf(models.model, { ...sampling, maxTokens: few, speculate })).toEqual(plain.slice(0, few));
      }
    });
  });

  // The CPU's output has been tested to have the distribution of plain sampling; here the same coins give the same tokens.
  it.each(['chain', 'dynamic'] as const)(
    'sampled drafts give the tokens that they give on the CPU: %s',
    async (tree) => {
      using cpuDevice = Device.cpu({ threads: 1 });
      const cpu = { device: cpuDevice, ...common };
      await using target = await load(join(folder, 'target.gguf'), cpu);
      await using small = await load(join(folder, 'other.gguf'), cpu);
      const seeds = runsFull ? 200 : 6;
      const tokens: number[][][] = [];
      for (const [model, other] of [
        [models.model, models.other],
        [target, small],
      ] as const) {
        using speculate: Drafter = draftModel(other, { tree, sampled: true, depth: 2, maxDraft: 4, width: 2 });
        const runs: number[][] = [];
        for (let seed = 0; seed < seeds; seed++) {
          runs.push(await tokensOf(model, { temperature: 1.3, topK: 3, seed, maxTokens: 3, speculate }));
        }
        tokens.push(runs);
      }
      expect(tokens[0]).toEqual(tokens[1]);
      expect(new Set(tokens[0]?.map(String)).size).toBeGreaterThan(3);
    },
  );

  it('the demo pair: greedy tokens with its draft model, chain and tree', async () => {
    const [target, draft] = [modelPath('demo', 'target-Q4_0.gguf'), modelPath('demo', 'draft-Q4_0.gguf')];
    if (!target || !draft) return;
    await using model = await load(target, { device, ...common });
    await using small = await load(draft, { device, ...common });
    const options = { maxTokens: runsFull ? 32 : 5 };
    const prompt = 'The President of';
    const plain = await tokensOf(model, { ...options, speculate: 'off' }, prompt);
    for (const tree of ['chain', 'dynamic'] as const) {
      using speculate = draftModel(small, { tree, maxDraft: 8, depth: 4 });
      expect(await tokensOf(model, { ...options, speculate }, prompt)).toEqual(plain);
    }
  });
});
