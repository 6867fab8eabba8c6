// SPDX-License-Identifier: Apache-2.0
/** Steps of a model on a GPU: filled up to a few numbers of rows, each captured once, with the results of the rows alone. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Device, type LanguageModel, load } from '../../lib/index.js';
import { cudaDevice, describeOnGpu } from '../support/cuda.js';
import { temporaryFolder } from '../support/folder.js';
import { tinyModel, tinyVocabulary } from '../support/tiny-model.js';
import { nmse } from '../support/tolerance.js';

const folder = temporaryFolder();

describeOnGpu('captured steps of a model', () => {
  const device = cudaDevice();
  const path = join(folder, 'tiny.gguf');
  tinyModel({ seed: 5, context: 256 }).writer.write(path);
  const ids = Array.from({ length: 40 }, (_, i) => 3 + ((i * 11) % (tinyVocabulary - 3)));
  const open = (where: Device | { threads: number }): Promise<LanguageModel> =>
    load(path, { device: where, cacheDType: 'f32', contextLength: 128 });

  it('have few sizes, and give each row what the CPU gives it in a step of its own', async () => {
    await using onGpu = await open(device);
    await using onCpu = await open({ threads: 1 });
    const expected = await onCpu.logits(ids);
    const before = device.cudaStatistics.launches;
    const lengths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 15, 16, 17, 23, 31, 33, 40];
    for (const length of lengths) {
      const logits = await onGpu.logits(ids.slice(0, length));
      expect(logits).toHaveLength(length);
      for (const [row, values] of logits.entries()) {
        expect(nmse(values, expected[row] as Float32Array), `row ${row} of ${length}`).toBeLessThan(1e-9);
      }
    }
    const after = device.cudaStatistics.launches;
    expect(after.graphLaunches - before.graphLaunches).toBe(lengths.length);
    // 1, 2, 4, 8, 16, 24, 32 and 48 rows; a step whose keys are a few more than another's may need a larger graph.
    expect(after.graphCaptures - before.graphCaptures).toBeLessThanOrEqual(10);
  });

  it('write nothing for empty rows, and take the last of any number of rows', async () => {
    await using onGpu = await open(device);
    await using onCpu = await open({ threads: 1 });
    const common = { ignoreEnd: true, speculate: 'off', maxTokens: 3 } as const;
    const tokens = async (model: LanguageModel): Promise<number[][]> => {
      const all: number[][] = [];
      // Sequences that lie side by side in the cache, each continued by steps of other sizes.
      const sequences = Array.from({ length: 4 }, () => model.createSequence());
      for (const lengths of [
        [3, 5, 6, 7],
        [2, 9, 3, 1],
      ]) {
        for (const [i, sequence] of sequences.entries()) {
          const prompt = ids.slice(i, i + (lengths[i] as number));
          all.push((await model.generate(prompt, { ...common, sequence }).complete()).tokens);
        }
      }
      for (const sequence of sequences) sequence.dispose();
      return all;
    };
    expect(await tokens(onGpu)).toEqual(await tokens(onCpu));
  });
});
