// SPDX-License-Identifier: Apache-2.0
/** Tests of the test: the statistics that judge the kernels on trees reject verifiers with planted mistakes. */
import { describe, expect, it } from 'vitest';
import {
  blockChance,
  type Drawing,
  firstLevelChance,
  simulateTree,
  type TreeMistake,
  type TreeScenario,
  transportRatio,
} from '../oracle/treeverification.js';
import { chancesOfFixed, drawFrom, isLossless, judge, quickRandom, Tally } from '../oracle/verification.js';

const trials = 60_000;
// Residuals keep several tokens in changing proportions, or mistakes would not show.
const rows = [
  [0.35, 0.3, 0.2, 0.1, 0.05],
  [0.1, 0.2, 0.25, 0.4, 0.05],
  [0.05, 0.45, 0.2, 0.2, 0.1],
  [0.25, 0.05, 0.45, 0.1, 0.15],
  [0.45, 0.3, 0.1, 0.1, 0.05],
];
const draftRows = [
  [0.1, 0.2, 0.15, 0.25, 0.3],
  [0.3, 0.25, 0.2, 0.1, 0.15],
  [0.3, 0.15, 0.1, 0.15, 0.3],
  [0.1, 0.4, 0.1, 0.2, 0.2],
  [0.1, 0.1, 0.3, 0.3, 0.2],
];
/** Rows that differ from node to node. */
const pick = (table: number[][], prefix: readonly number[]): number[] =>
  table[prefix.length === 0 ? 0 : 1 + (((prefix.at(-1) as number) + prefix.length - 1) % 4)] as number[];

/** Three children of the root, two of the first of these, one of the second. */
const tree = [-1, -1, -1, 0, 0, 1];

const scenario = (drawing: Drawing, rule: TreeScenario['rule'] = 'rejection', parents = tree): TreeScenario => ({
  parents,
  drawing,
  rule,
  target: (prefix) => pick(rows, prefix),
  draft: (prefix) => pick(draftRows, prefix),
});

function passes(subject: TreeScenario, mistake: TreeMistake): boolean {
  const random = quickRandom(7);
  const tally = new Tally(5);
  for (let i = 0; i < trials; i++) {
    const { tokens, accepted } = simulateTree(subject, mistake, random);
    const first = tokens[0] as number;
    tally.add(first, tokens[1] ?? drawFrom(subject.target([first]), random()), Math.min(accepted, 1));
  }
  const { parents, target, draft } = subject;
  return isLossless(judge(tally, { length: parents.length, target, draft }, [firstLevelChance(subject)]));
}

describe('the statistics of losslessness on trees', () => {
  it.each(['independent', 'distinct', 'deterministic'] as const)('accept recursive rejection, %s', (drawing) => {
    expect(passes(scenario(drawing), 'none')).toBe(true);
  });

  it('accept optimal transport and block verification', () => {
    expect(passes(scenario('independent', 'k-seq'), 'none')).toBe(true);
    expect(passes(scenario('independent', 'block', [-1, 0, 1]), 'none')).toBe(true);
  });

  it.each([
    ['independent', 'reused coin'],
    ['independent', 'residual not updated'],
    ['independent', 'unnormalised residual'],
    ['independent', 'duplicates merged'],
    ['independent', 'pruned by token'],
    ['independent', 'top-p on the draft only'],
    ['distinct', 'reused coin'],
    ['distinct', 'residual not updated'],
    ['distinct', 'replacement ignored'],
    ['distinct', 'sibling order'],
    ['deterministic', 'unnormalised residual'],
    ['deterministic', 'reused coin'],
  ] as [Drawing, TreeMistake][])('reject recursive rejection, %s, with a planted mistake: %s', (drawing, mistake) => {
    expect(passes(scenario(drawing), mistake)).toBe(false);
  });

  it('reject the others with planted mistakes', () => {
    expect(passes(scenario('independent', 'k-seq'), 'ratio of one')).toBe(false);
    expect(passes(scenario('independent', 'block', [-1, 0, 1]), 'token-wise residual')).toBe(false);
    // One level, so that the second emitted token is the bonus.
    expect(passes(scenario('distinct', 'rejection', [-1, -1]), 'none')).toBe(true);
    expect(passes(scenario('distinct', 'rejection', [-1, -1]), 'off-by-one bonus')).toBe(false);
  });

  it('know that the rules are worth their names', () => {
    const one = firstLevelChance(scenario('independent', 'rejection', [-1]));
    expect(one).toBeCloseTo(0.6, 12); // .1 + .2 + .15 + .1 + .05
    const several = firstLevelChance(scenario('independent'));
    const distinct = firstLevelChance(scenario('distinct'));
    const transport = firstLevelChance(scenario('independent', 'k-seq'));
    expect(several).toBeGreaterThan(one);
    expect(distinct).toBeGreaterThan(several);
    expect(transport).toBeGreaterThan(several * (1 - 1 / Math.E));
    const { ratio, one: b } = transportRatio(rows[0] as number[], draftRows[0] as number[], 3);
    expect(1 - (1 - b) ** 3).toBeCloseTo(ratio * b, 9);
    // A block is kept with at least the chance of its first token.
    const chain = scenario('independent', 'block', [-1, 0, 1]);
    const tokenWise = chancesOfFixed({ length: 1, target: chain.target, draft: chain.draft });
    expect(blockChance(chain)).toBeGreaterThanOrEqual(tokenWise[0] as number);
  });
});
