// SPDX-License-Identifier: Apache-2.0
/**
 * Group Q on draft trees: what `verify` emits is distributed as plain sampling. About half a second a case; PAGEWARP_FULL=1 runs
 * two million trials of each on every instruction set, some seconds a case.
 */
import { describe, expect, it } from 'vitest';
import { Device } from '../../lib/index.js';
import { isLossless } from '../oracle/verification.js';
import { availableIsas } from '../support/isa.js';
import { announceSkip } from '../support/skip.js';
import { judgeTrees, treeCases } from '../support/treetrials.js';

const full = process.env['PAGEWARP_FULL'] === '1';

describe('verification of trees is lossless', () => {
  const best = availableIsas().at(-1);
  const { trials, fullTrials, cases } = treeCases;
  if (!full) announceSkip(`losslessness on trees runs ${trials} of ${fullTrials} trials a case: time`);
  for (const test of cases) {
    const { vocabulary, parents, drawing, everywhere, ...rest } = test;
    const isas = full ? availableIsas() : [best, ...(everywhere ? (['portable'] as const) : [])];
    for (const isa of new Set(isas)) {
      it(`${drawing} [${parents}], vocabulary ${vocabulary} ${JSON.stringify(rest)} on ${isa}`, async () => {
        using device = Device.cpu({ ...(isa ? { isa } : {}), threads: 2 });
        const verdict = await judgeTrees(device, test, full ? fullTrials : trials);
        expect(isLossless(verdict), JSON.stringify(verdict)).toBe(true);
      });
    }
  }
});
