// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { SpeculationControl } from '../../lib/generate/control.js';
import { quickRandom } from '../oracle/verification.js';

interface Machine {
  /** Milliseconds of a plain step, of a further row, of drafting a level. */
  plain: number;
  row: number;
  level: number;
  /** Chance that a drafted token is accepted; may change on the way. */
  acceptance: (token: number) => number;
  /** How irregular times are, as a share. */
  noise: number;
}

/** Time of `count` tokens after the first `skip`, relative to plain decoding. */
function relativeTime(machine: Machine, count: number, skip: number, seed = 1): number {
  const random = quickRandom(seed);
  const noisy = (time: number): number => time * (1 + machine.noise * (random() - 0.5));
  const control = new SpeculationControl();
  let tokens = 0;
  let time = 0;
  let counted = 0;
  const spend = (milliseconds: number, gained: number): void => {
    if (tokens >= skip) {
      time += milliseconds;
      counted += gained;
    }
    tokens += gained;
  };
  while (tokens < count) {
    if (control.rest > 0) {
      const times = Array.from({ length: Math.min(control.rest, count) }, () => noisy(machine.plain));
      for (const each of times) spend(each, 1);
      control.plain(times.length, times.sort((a, b) => a - b)[times.length >> 1] as number);
      continue;
    }
    const drafted = Math.min(8, control.depth);
    let accepted = 0;
    while (accepted < drafted && random() < machine.acceptance(tokens)) accepted++;
    const draftTime = noisy(machine.level * drafted);
    const verifyTime = noisy(machine.plain + machine.row * drafted);
    spend(draftTime + verifyTime, accepted + 1);
    control.pass({ drafted, depth: drafted, accepted, draftTime, verifyTime });
  }
  return time / (counted * machine.plain);
}

const base: Machine = { plain: 30, row: 1.2, level: 0.5, acceptance: () => 0.7, noise: 0.1 };

/** Drafts that are useless, dear or slow to verify, half of the model that drafts, and a close thing. */
const losing: Machine[] = [
  { ...base, acceptance: () => 0 },
  { ...base, level: 30 },
  { ...base, row: 30 },
  { ...base, acceptance: () => 0.3, row: 15, level: 3 },
  { ...base, acceptance: () => 0, noise: 0.6 },
  { ...base, acceptance: () => 0.4, level: 15 },
  { ...base, acceptance: () => 0.2, row: 4, level: 2 },
];

/** Decides how much of a draft is accepted, to the disadvantage of who drafts. */
interface Adversary {
  name: string;
  /** @param pass of the attempt, from 0 on */
  accepted(drafted: number, pass: number, attempt: number, random: () => number): number;
}

const adversaries: Adversary[] = [
  { name: 'never', accepted: () => 0 },
  { name: 'until the trial is over', accepted: (drafted, pass) => (pass < 7 ? drafted : 0) },
  { name: 'until the pauses are short again', accepted: (drafted, pass) => (pass < 14 ? drafted : 0) },
  { name: 'until drafts are deep', accepted: (drafted, pass) => (pass < 40 && drafted < 24 ? drafted : 0) },
  { name: 'every other pass', accepted: (drafted, pass) => (pass % 2 === 0 ? drafted : 0) },
  { name: 'in every other attempt', accepted: (drafted, _, attempt) => (attempt % 2 === 0 ? 0 : Math.min(3, drafted)) },
  { name: 'by chance', accepted: (drafted, _p, _a, random) => (random() < 0.4 ? Math.floor(random() * drafted) : 0) },
  { name: 'in phases', accepted: (drafted, pass) => (pass % 50 < 25 ? Math.ceil(drafted / 2) : 0) },
];

interface Costs {
  /** Of a further row, of a level, of catching up with a token, and of the first pass of a shape, in plain steps. */
  row: number;
  level: number;
  missed: number;
  first: number;
}

/** What is lost against plain decoding after each token, in plain steps; and the dearest single pass. */
function lossesOf(adversary: Adversary, costs: Costs, count: number) {
  const random = quickRandom(5);
  const control = new SpeculationControl();
  const plain = 20;
  const losses: number[] = [0];
  const shapes = new Set<number>();
  let [loss, dearest, followed, pass, attempt] = [0, 0, 0, 0, 0];
  const emit = (tokens: number, lost: number): void => {
    loss += lost;
    for (let i = 0; i < tokens; i++) losses.push(loss);
  };
  while (losses.length <= count) {
    const rest = Math.min(control.rest, count);
    if (rest > 0) {
      emit(rest, 0);
      control.plain(rest, plain);
      if (rest > 4) [pass, attempt] = [0, attempt + 1];
      continue;
    }
    const drafted = Math.max(1, Math.min(control.depth, control.nodes, 63));
    const missed = losses.length - followed;
    const isFirst = !shapes.has(drafted);
    shapes.add(drafted);
    const draftTime = plain * (drafted * costs.level + missed * costs.missed);
    const verifyTime = plain * (1 + drafted * costs.row + (isFirst ? costs.first : 0));
    const accepted = adversary.accepted(drafted, pass++, attempt, random);
    const lost = (draftTime + verifyTime) / plain - accepted - 1;
    dearest = Math.max(dearest, lost);
    followed = losses.length + accepted + 1;
    emit(accepted + 1, lost);
    control.pass({ drafted, depth: drafted, accepted, draftTime, verifyTime, isFirst, missed });
  }
  return { losses, dearest };
}

const someCosts: Costs[] = [
  { row: 0.04, level: 0.02, missed: 0, first: 0 },
  { row: 0.3, level: 0.1, missed: 0.005, first: 1 },
  { row: 0.5, level: 0.5, missed: 0.05, first: 0 },
  { row: 1, level: 0, missed: 0, first: 0 },
  { row: 0.1, level: 2, missed: 0.3, first: 2 },
];

describe('the debt of attempts, whatever is accepted', () => {
  const count = 6000;
  it.each(adversaries.flatMap((adversary) => someCosts.map((costs) => ({ adversary, costs }))))(
    'any stretch of text costs at most a fiftieth, and one attempt: $adversary.name, $costs',
    ({ adversary, costs }) => {
      const { losses, dearest } = lossesOf(adversary, costs, count);
      // An attempt may lose what it is lent, what it has earned, a first pass that says nothing of others, and the last.
      const attempt = 8 + 2 * dearest;
      let lowest = 0; // of loss less a fiftieth of the tokens, so far
      let worst = 0;
      for (const [tokens, loss] of losses.entries()) {
        const beyond = loss - tokens / 50;
        worst = Math.max(worst, beyond - lowest);
        lowest = Math.min(lowest, beyond);
      }
      expect(worst).toBeLessThanOrEqual(attempt);
      // Never slower than 0.95 times plain decoding once a text is long.
      expect((losses.at(-1) as number) / count).toBeLessThan(1 / 0.95 - 1);
    },
  );

  it('does not come back to a drafter that would take too long to catch up', () => {
    const control = new SpeculationControl();
    control.plain(4, 20);
    const useless = { drafted: 2, depth: 2, accepted: 0, draftTime: 1, verifyTime: 26 };
    for (let i = 0; control.rest === 0; i++) control.pass({ ...useless, missed: i === 0 ? 5 : 1 });
    const first = control.rest;
    expect(first).toBeLessThan(1000);
    control.plain(first, 20);
    control.pass({ ...useless, draftTime: 1 + 0.1 * 20 * first, missed: first });
    while (control.rest === 0) control.pass({ ...useless, missed: 1 });
    expect(control.rest).toBe(Number.POSITIVE_INFINITY);
  });

  it('rests longer after an attempt that has cost more', () => {
    const restAfter = (first: number): number => {
      const control = new SpeculationControl();
      control.plain(4, 20);
      const useless = { drafted: 2, depth: 2, accepted: 0, draftTime: 1, verifyTime: 24 };
      control.pass({ ...useless, verifyTime: first, isFirst: true });
      while (control.rest === 0) control.pass(useless);
      return control.rest;
    };
    expect(restAfter(24 + 40 * 20) - restAfter(24 + 20 * 20)).toBeCloseTo(20 * 50, -1);
  });
});

describe('SpeculationControl', () => {
  it('uses drafts that are mostly right', () => {
    for (let seed = 1; seed <= 5; seed++) expect(relativeTime(base, 2000, 100, seed)).toBeLessThan(0.55);
  });

  it('gives hopeless drafts up after a pass or two, but not for what the first step of a shape takes', () => {
    const slow = { drafted: 4, depth: 4, accepted: 0, draftTime: 20, verifyTime: 60 };
    const control = new SpeculationControl();
    control.plain(4, 30);
    for (let i = 0; i < 4; i++) control.pass({ ...slow, isFirst: true });
    expect(control.rest).toBe(0);
    control.pass(slow);
    expect(control.rest).toBe(0);
    control.pass(slow);
    expect(control.rest).toBeGreaterThan(100);
    const dear = new SpeculationControl();
    dear.plain(4, 30);
    dear.pass({ ...slow, isFirst: true });
    dear.pass({ ...slow, verifyTime: 200 });
    expect(dear.rest).toBeGreaterThan(100);
  });

  it('tries with short drafts until it knows what they cost', () => {
    const control = new SpeculationControl();
    control.plain(4, 30);
    expect(control.depth).toBe(2);
    expect(control.nodes).toBe(4);
    const good = { drafted: 2, depth: 2, accepted: 2, draftTime: 1, verifyTime: 32 };
    control.pass({ ...good, draftTime: 90 }); // it reads the prompt
    expect(control.depth).toBe(2);
    expect(control.rest).toBe(0);
    control.pass(good);
    expect(control.depth).toBeGreaterThan(3);
    expect(control.nodes).toBeGreaterThan(32);
  });

  it('lets drafters that need more nodes draft after a first step without a draft', () => {
    const control = new SpeculationControl();
    control.plain(4, 30);
    control.pass({ drafted: 0, depth: 0, accepted: 0, draftTime: 0, verifyTime: 30 });
    expect(control.nodes).toBeGreaterThan(32);
  });

  it('does not judge a drafter by what it catches up with after a long rest', () => {
    const control = new SpeculationControl();
    control.plain(4, 30);
    const good = { drafted: 2, depth: 2, accepted: 2, draftTime: 1, verifyTime: 32 };
    for (let i = 0; i < 3; i++) control.pass(good);
    control.plain(100, 30);
    expect(control.depth).toBe(2);
    control.pass({ ...good, draftTime: 300 });
    expect(control.rest).toBe(0);
  });

  it('costs less than a twentieth when drafts are useless, dear or slow to verify', () => {
    for (const machine of losing) {
      for (let seed = 1; seed <= 5; seed++) {
        expect(relativeTime(machine, 4000, 200, seed), JSON.stringify(machine)).toBeLessThan(1.05);
      }
    }
  });

  it('costs little from the beginning on when drafts do not pay', () => {
    for (const machine of losing) {
      const times = Array.from({ length: 20 }, (_, seed) => relativeTime(machine, 400, 0, seed));
      const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
      expect(mean, JSON.stringify(machine)).toBeLessThan(1.05);
    }
  });

  it('comes back when drafts become good', () => {
    const time = relativeTime({ ...base, acceptance: (token) => (token < 1000 ? 0 : 0.8) }, 6000, 3000);
    expect(time).toBeLessThan(0.6);
  });

  it('drafts deeper where acceptance is higher and rows are cheaper', () => {
    const depthOf = (machine: Machine): number => {
      const control = new SpeculationControl();
      control.plain(4, machine.plain);
      const random = quickRandom(3);
      for (let i = 0; i < 60; i++) {
        const drafted = 6;
        let accepted = 0;
        while (accepted < drafted && random() < machine.acceptance(0)) accepted++;
        control.pass({
          drafted,
          depth: drafted,
          accepted,
          draftTime: machine.level * drafted,
          verifyTime: machine.plain + machine.row * drafted,
        });
      }
      return control.depth;
    };
    expect(depthOf({ ...base, acceptance: () => 0.9 })).toBeGreaterThan(depthOf({ ...base, acceptance: () => 0.5 }));
    expect(depthOf({ ...base, row: 0.3 })).toBeGreaterThan(depthOf({ ...base, row: 6 }));
  });

  it('estimates the time that it has saved', () => {
    const control = new SpeculationControl();
    control.plain(4, 10);
    control.pass({ drafted: 3, depth: 3, accepted: 3, draftTime: 2, verifyTime: 12 });
    expect(control.saved).toBeCloseTo(26, 6);
    control.pass({ drafted: 3, depth: 3, accepted: 0, draftTime: 2, verifyTime: 12 });
    expect(control.saved).toBeCloseTo(22, 6);
  });
});
