// SPDX-License-Identifier: Apache-2.0
/**
 * Group Q: what `verify` emits is distributed as plain sampling, for two million trials a case on the best instruction set. Every
 * trial draws its own drafts from q, verifies them, and continues with a plain draw where only one token was emitted. Drafts are
 * drawn by the test, which takes less time; in the cases marked "everywhere" a part of the trials also draw them on the device, with
 * the seeds and offsets of verification, whose coins must be others. PAGEWARP_FULL=1: two million trials of all of that on every
 * instruction set.
 */
import { describe, expect, it } from 'vitest';
import { Device } from '../../lib/index.js';
import { isLossless } from '../oracle/verification.js';
import { chainCases, judgeChain } from '../support/chaintrials.js';
import { losslessRuns } from '../support/trials.js';

describe('verification is lossless', () => {
  const { trials, trialsElsewhere, cases } = chainCases;
  for (const { test, isa, count, drawsOnDevice } of losslessRuns(cases, trials, trialsElsewhere)) {
    if (drawsOnDevice && test.kind === 'deterministic') continue; // nothing to draw
    const { vocabulary, length, kind, everywhere: _, ...rest } = test;
    const drafts = drawsOnDevice ? ', drafted on the device' : '';
    it(`${kind}, vocabulary ${vocabulary}, ${length} drafted ${JSON.stringify(rest)} on ${isa}${drafts}`, async () => {
      using device = Device.cpu({ isa, threads: 2 });
      const verdict = await judgeChain(device, test, count, { drawsOnDevice });
      expect(isLossless(verdict), JSON.stringify(verdict)).toBe(true);
      expect(verdict.trials).toBeGreaterThanOrEqual(count);
    });
  }

  it('shows when it is told the wrong distribution of the drafts', async () => {
    using device = Device.cpu({ threads: 2 });
    const verdict = await judgeChain(device, { vocabulary: 8, length: 3, kind: 'close' }, 400_000, { claimed: 1.3 });
    expect(verdict.first).toBeLessThan(1e-6);
    expect(isLossless(verdict)).toBe(false);
  });
});
