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
      const times = Array.from({ length: control.rest }, () => noisy(machine.plain));
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
