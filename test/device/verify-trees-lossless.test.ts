// SPDX-License-Identifier: Apache-2.0
/**
 * Group Q on draft trees: what `verify` emits is distributed as plain sampling, for two million trials a case on the best instruction
 * set, and as many on every one with PAGEWARP_FULL=1. In the cases marked "everywhere" a part of the trials draw their drafts by
 * `drawCandidates`, with the seeds and offsets of verification.
 */
import { describe, expect, it } from 'vitest';
import { Device } from '../../lib/index.js';
import { isLossless } from '../oracle/verification.js';
import { judgeTrees, treeCases } from '../support/treetrials.js';
import { losslessRuns } from '../support/trials.js';

describe('verification of trees is lossless', () => {
  const { trials, trialsElsewhere, cases } = treeCases;
  for (const { test, isa, count, drawsOnDevice } of losslessRuns(cases, trials, trialsElsewhere)) {
    const { vocabulary, parents, drawing, everywhere: _, ...rest } = test;
    const drafts = drawsOnDevice ? ', drafted on the device' : '';
    it(`${drawing} [${parents}], vocabulary ${vocabulary} ${JSON.stringify(rest)} on ${isa}${drafts}`, async () => {
      using device = Device.cpu({ isa, threads: 2 });
      const verdict = await judgeTrees(device, test, count, { drawsOnDevice });
      expect(isLossless(verdict), JSON.stringify(verdict)).toBe(true);
      expect(verdict.trials).toBeGreaterThanOrEqual(count);
    });
  }
});
