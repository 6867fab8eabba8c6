// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { Device, type VerifyOptions } from '../../lib/index.js';
import { call, drawCandidatesTests, guide, inputs, readAll, verifyTreesTests } from '../bodies/verify-trees.js';
import { isLossless } from '../oracle/verification.js';
import { cudaInTurn, describeOnGpu, isSimulated } from '../support/cuda.js';
import { sampleSize } from '../support/grid.js';
import { announceSkip } from '../support/skip.js';
import { judgeTrees, treeCases } from '../support/treetrials.js';

describeOnGpu('on the GPU', () => {
  const open = cudaInTurn();
  verifyTreesTests('cuda', open);
  drawCandidatesTests('cuda', open, 50, 4);

  it('verifies trees as the CPU does, by every rule', async () => {
    using gpu = open();
    using cpu = Device.cpu({ isa: 'reference', threads: 1 });
    const data = inputs(9);
    guide(data);
    const rules: Partial<VerifyOptions & { sampled: 'independent' | 'distinct' }>[] = [
      { sampled: 'independent' },
      { sampled: 'distinct' },
      {},
      { rule: 'match' },
      { sampled: 'independent', rule: 'k-seq' },
      { rule: { kind: 'typical' } },
    ];
    for (const options of rules) {
      for (let seed = 0; seed < 4; seed++) {
        const all = { temperature: 1.2, topP: 0.97, seed, ...options };
        expect(await readAll(call(gpu, data, all))).toEqual(await readAll(call(cpu, data, all)));
      }
    }
  });

  // The same coins give the same tokens as on the CPU, which had the millions of trials.
  const trials = isSimulated ? 400 * sampleSize : treeCases.trials;
  const cases = treeCases.cases.filter(({ everywhere, vocabulary }) => everywhere && vocabulary === 4);
  announceSkip(
    `losslessness on the GPU runs ${trials} of ${treeCases.trials} trials, and ${cases.length} of ${treeCases.cases.length} cases`,
  );
  for (const test of cases) {
    const { drawing, parents, vocabulary, rule = 'rejection' } = test;
    it(`${drawing} [${parents}], vocabulary ${vocabulary}, ${rule}: lossless`, async () => {
      using device = open();
      const verdict = await judgeTrees(device, test, trials, { drawsOnDevice: true, batch: 200 });
      expect(isLossless(verdict), JSON.stringify(verdict)).toBe(true);
    });
  }
});
