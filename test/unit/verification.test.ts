// SPDX-License-Identifier: Apache-2.0
/** Tests of the test: the statistics that judge the kernels reject verifiers with planted mistakes. */
import { describe, expect, it } from 'vitest';
import {
  acceptance,
  type ChainScenario,
  chancesByPath,
  chancesOfFixed,
  drawFrom,
  fixedRows,
  isLossless,
  judge,
  type Mistake,
  momentsOf,
  quickRandom,
  simulateTrial,
  Tally,
} from '../oracle/verification.js';

const trials = 400_000;

const target = [
  [0.4, 0.3, 0.2, 0.1],
  [0.1, 0.2, 0.3, 0.4],
  [0.05, 0.55, 0.2, 0.2],
];
const draft = [
  [0.2, 0.5, 0.1, 0.2],
  [0.3, 0.3, 0.2, 0.2],
];

function passes(mistake: Mistake, scenario: ChainScenario): boolean {
  const random = quickRandom(42);
  const tally = new Tally(4);
  for (let i = 0; i < trials; i++) {
    const { tokens, accepted } = simulateTrial(scenario, mistake, random);
    const first = tokens[0] as number;
    tally.add(first, tokens[1] ?? drawFrom(scenario.target([first]), random()), accepted);
  }
  return isLossless(judge(tally, scenario, chancesOfFixed(scenario)));
}

describe('the statistics of losslessness', () => {
  it('know the acceptance rate and the moments of the accepted length', () => {
    expect(acceptance([0.5, 0.5], [1, 0])).toBe(0.5);
    const p = [0.5, 0.5];
    const scenario = fixedRows(
      [p, p, p],
      [
        [1, 0],
        [0, 1],
      ],
    );
    // 0, 1, 2 accepted with probabilities 1/2, 1/4, 1/4.
    expect(momentsOf(chancesOfFixed(scenario))).toEqual({ mean: 0.75, variance: 0.6875 });
    expect(chancesByPath(scenario)).toEqual([0.5, 0.25]);
  });

  it('accept speculative sampling by the definition', () => {
    expect(passes('none', fixedRows(target, draft))).toBe(true);
  });

  for (const mistake of [
    'reused coin',
    'no residual',
    'unnormalised residual',
    'top-p on the draft only',
    'first token unverified',
    'draft probabilities ignored',
  ] as const) {
    it(`reject a verifier with a planted mistake: ${mistake}`, () => {
      expect(passes(mistake, fixedRows(target, draft))).toBe(false);
    });
  }

  it('reject a verifier with a planted mistake: off-by-one bonus', () => {
    // With one drafted token the second emitted token is the bonus.
    const short = fixedRows(target.slice(0, 2), draft.slice(0, 1));
    expect(passes('none', short)).toBe(true);
    expect(passes('off-by-one bonus', short)).toBe(false);
  });
});
