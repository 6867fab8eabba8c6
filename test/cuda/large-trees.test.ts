// SPDX-License-Identifier: Apache-2.0
/** Draft trees of more nodes than a word of a mask on the GPU: the output is that of plain decoding on the CPU. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { load } from '../../lib/index.js';
import { cudaDevice, describeOnGpu, isSimulated } from '../support/cuda.js';
import { temporaryFolder } from '../support/folder.js';
import { plantedTrees } from '../support/planted-trees.js';
import { tinyModel, tinyText, tinyVocabulary } from '../support/tiny-model.js';

describeOnGpu('large trees on the GPU', () => {
  const device = cudaDevice();
  const path = join(temporaryFolder(), 'target.gguf');
  const shape = { cacheDType: 'f32', contextLength: 320, maxDraft: 256 } as const;
  const prompt = [1, ...tinyText(6)];
  const options = { maxTokens: 260, ignoreEnd: true, adaptive: false } as const;

  it.each([100, 200])('of %i nodes do not change greedy output', async (nodes) => {
    tinyModel({ seed: 3, layers: 2, dim: 128, context: 512 }).writer.write(path);
    await using onCpu = await load(path, { device: { threads: 2 }, ...shape });
    const expected = (await onCpu.generate(prompt, { ...options, speculate: 'off' }).complete()).tokens;
    await using model = await load(path, { device, ...shape });
    const speculate = plantedTrees([...prompt, ...expected], nodes, 10, tinyVocabulary);
    const tokens: number[] = [];
    for await (const chunk of model.generate(prompt, { ...options, speculate })) {
      tokens.push(...chunk.tokens);
      if (isSimulated && tokens.length > 22) break; // two passes
    }
    expect(tokens).toEqual(expected.slice(0, tokens.length));
    expect(speculate.sizes[0]).toBe(nodes);
    expect(Math.max(...speculate.accepted)).toBeGreaterThan(0.9 * nodes);
  });
});
