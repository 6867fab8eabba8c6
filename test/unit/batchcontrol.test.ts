// SPDX-License-Identifier: Apache-2.0
/** What generations that share steps draft, and what that costs, by a simulated clock. */
import { describe, expect, it } from 'vitest';
import { AcceptanceRate } from '../../lib/generate/acceptancerate.js';
import { BatchControl } from '../../lib/generate/batchcontrol.js';
import { gainsOf } from '../../lib/generate/goodput.js';
import { quickRandom } from '../oracle/verification.js';

interface Machine {
  /** Milliseconds of a step of so many rows, and of drafting a node. */
  time: (rows: number) => number;
  draft: number;
  noise?: number;
}

interface Company {
  lanes: number;
  /** How many of `drafted` levels are accepted of a lane's draft. */
  accepted: (drafted: number, lane: number, step: number, random: () => number) => number;
}

/** A step of a simulated batch: what it took, and what it gave. */
interface Simulated {
  time: number;
  tokens: number;
  drafted: number;
}

function simulate(
  { time, draft, noise = 0 }: Machine,
  { lanes, accepted }: Company,
  steps: number,
  seed = 3,
): Simulated[] {
  const random = quickRandom(seed);
  const control = new BatchControl();
  const acceptance = Array.from({ length: lanes }, () => new AcceptanceRate());
  const seen = new Array<number>(lanes).fill(0);
  const all: Simulated[] = [];
  const noisy = (milliseconds: number): number => milliseconds * (1 + noise * (random() - 0.5));
  for (let step = 0; step < steps; step++) {
    const base = { rows: lanes, tokens: lanes };
    const prospects = acceptance.map(({ value }, i) => ({
      acceptance: value,
      since: step - (seen[i] as number),
      most: 16,
    }));
    const { depths, chances } = control.plan(prospects, base, 65 - lanes);
    const wanted = depths.reduce((sum, depth) => sum + depth, 0);
    const offers = depths.map((depth, i) => ({ gains: gainsOf(depth, chances[i] as number) }));
    const counts = wanted > 0 ? control.choose(offers, base, 65 - lanes) : depths;
    const drafted = counts.reduce((sum, count) => sum + count, 0);
    let added = 0;
    for (const [i, count] of counts.entries()) {
      if (count === 0) continue;
      const here = Math.min(count, accepted(count, i, step, random));
      added += here;
      acceptance[i]?.judged(count, here);
      seen[i] = step;
    }
    const took = noisy(time(lanes + drafted));
    const timeWithDrafting = took + draft * wanted;
    const tokens = lanes + added;
    control.took({
      baseRows: lanes,
      rows: lanes + drafted,
      tokens,
      added,
      isAttempt: wanted > 0,
      waitsForDrafts: false,
      isUnusual: false,
      time: took,
      timeWithDrafting,
    });
    all.push({ time: timeWithDrafting, tokens, drafted });
  }
  return all;
}

/** Steps that read weights, with more work for each row from some number on. */
const roofline =
  (bend: number, plain = 20): ((rows: number) => number) =>
  (rows) =>
    plain * Math.max(1, 0.95 + 0.05 * (rows / bend), rows / bend);

const chance =
  (acceptance: number): Company['accepted'] =>
  (drafted, _lane, _step, random) => {
    let count = 0;
    while (count < drafted && random() < acceptance) count++;
    return count;
  };

/** Throughput relative to steps without drafts, from some step on. */
function gain(machine: Machine, company: Company, steps = 1200, skip = 300): number {
  const counted = simulate(machine, company, steps).slice(skip);
  const tokens = counted.reduce((sum, step) => sum + step.tokens, 0);
  const time = counted.reduce((sum, step) => sum + step.time, 0);
  return tokens / time / (company.lanes / machine.time(company.lanes));
}

describe('speculation of several generations', () => {
  it('pays where rows are nearly free, and is off where they are not', () => {
    const good = chance(0.8);
    expect(gain({ time: roofline(64), draft: 0 }, { lanes: 4, accepted: good })).toBeGreaterThan(2);
    expect(gain({ time: roofline(32), draft: 0 }, { lanes: 8, accepted: good })).toBeGreaterThan(1.8);
    const busy = simulate({ time: roofline(8), draft: 0 }, { lanes: 32, accepted: good }, 600);
    const drafted = busy.slice(300).reduce((sum, step) => sum + step.drafted, 0);
    expect(drafted).toBeLessThan(0.01 * 32 * busy.length);
  });

  it('comes close to the best depth there is, the beginning of short texts included', () => {
    // Milliseconds of a step of so many rows as measured: a model of 1.1 billion 4-bit weights on one core.
    const measured: [number, number][] = [
      [1, 52.6],
      [2, 56],
      [4, 65],
      [8, 90.7],
      [16, 146],
      [40, 330],
    ];
    const time = (rows: number): number => {
      const above = Math.max(
        1,
        measured.findIndex(([most]) => rows <= most),
      );
      const [[from, low], [to, high]] = [measured[above - 1], measured[above]] as [[number, number], [number, number]];
      return low + ((high - low) * (rows - from)) / (to - from);
    };
    const machine = { time, draft: 0.6, noise: 0.15 };
    for (const [lanes, acceptance] of [
      [2, 0.66],
      [2, 0.8],
      [4, 0.8],
    ] as const) {
      const fixed = [1, 2, 3, 4].map((depth) => {
        const tokens = Array.from({ length: depth + 1 }, (_, level) => acceptance ** level).reduce((a, b) => a + b);
        return (lanes * tokens) / (time(lanes * (depth + 1)) + 0.6 * lanes * depth);
      });
      const gains = Array.from({ length: 30 }, (_, seed) => {
        let [tokens, total] = [0, 0];
        for (const step of simulate(machine, { lanes, accepted: chance(acceptance) }, 96, seed)) {
          if (tokens >= 96 * lanes) break;
          tokens += step.tokens;
          total += step.time;
        }
        return tokens / total;
      });
      const mean = gains.reduce((a, b) => a + b) / gains.length;
      expect(mean / Math.max(...fixed), `${lanes} generations`).toBeGreaterThan(0.91);
    }
  });

  it('drafts less the more generations there are', () => {
    const perLane = (lanes: number): number => {
      const steps = simulate({ time: roofline(24), draft: 0 }, { lanes, accepted: chance(0.8) }, 1500).slice(300);
      return steps.reduce((sum, step) => sum + step.drafted, 0) / steps.length / lanes;
    };
    const [two, eight, thirty] = [2, 8, 30].map(perLane) as [number, number, number];
    expect(two).toBeGreaterThan(eight);
    expect(eight).toBeGreaterThan(thirty);
  });

  it('gives the rows to those whose drafts are right', () => {
    const accepted: Company['accepted'] = (count, lane) => (lane < 2 ? count : 0);
    const machine = { time: roofline(16), draft: 0 };
    expect(gain(machine, { lanes: 6, accepted })).toBeGreaterThan(1.5);
  });

  it('comes back when drafts become good', () => {
    const accepted: Company['accepted'] = (drafted, _lane, step) => (step < 1500 ? 0 : drafted);
    expect(gain({ time: roofline(32), draft: 0 }, { lanes: 4, accepted }, 6000, 4000)).toBeGreaterThan(2);
  });
});

const adversaries: Record<string, Company['accepted']> = {
  never: () => 0,
  'for a while': (drafted, _lane, step) => (step % 200 < 40 ? drafted : 0),
  'every other step': (drafted, _lane, step) => (step % 2 === 0 ? drafted : 0),
  'while drafts are short': (drafted) => (drafted < 3 ? drafted : 0),
  'one lane in turn': (drafted, lane, step) => (Math.floor(step / 30) % 5 === lane ? drafted : 0),
  'by chance': chance(0.4),
};
const machines: Record<string, Machine> = {
  'free rows': { time: roofline(64), draft: 0 },
  'rows that cost': { time: (rows) => 10 + 2 * rows, draft: 0.2 },
  'only rows': { time: (rows) => 3 * rows, draft: 0 },
  'dear drafting': { time: roofline(32), draft: 8 },
  'a noisy clock': { time: roofline(16), draft: 0.1, noise: 0.3 },
};

describe('whatever is accepted', () => {
  it.each(
    Object.keys(adversaries).flatMap((adversary) => Object.keys(machines).map((machine) => ({ adversary, machine }))),
  )('steps together are never slower than 0.95 times plain ones: $adversary, $machine', ({ adversary, machine }) => {
    const lanes = 5;
    const accepted = adversaries[adversary] as Company['accepted'];
    const { time, draft, noise = 0 } = machines[machine] as Machine;
    const steps = simulate({ time, draft, noise }, { lanes, accepted }, 1500);
    const plain = time(lanes);
    let loss = 0; // in plain steps
    let lowest = 0;
    let worst = 0;
    let dearest = 0;
    let before = 0;
    for (const step of steps) {
      loss += step.time / plain - step.tokens / lanes;
      before += 1;
      dearest = Math.max(dearest, step.time / plain - step.tokens / lanes);
      const beyond = loss - before / 50;
      worst = Math.max(worst, beyond - lowest);
      lowest = Math.min(lowest, beyond);
    }
    const tokens = steps.reduce((sum, step) => sum + step.tokens, 0);
    const total = steps.reduce((sum, step) => sum + step.time, 0);
    expect(total / (tokens / lanes) / plain).toBeLessThan(1 / 0.95);
    // In any stretch: a fiftieth, and what attempts may lose.
    if (noise === 0) expect(worst).toBeLessThanOrEqual(8 + 2 * dearest);
  });
});
