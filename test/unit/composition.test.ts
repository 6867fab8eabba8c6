// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { compose, type Wish } from '../../lib/generate/composition.js';
import { runsOf, type Slot } from '../../lib/generate/slots.js';

const token: Wish = { rows: 1, isPrompt: false, cut: 1 };
const prompt = (rows: number, cut = 1): Wish => ({ rows, isPrompt: true, cut });

describe('a step', () => {
  it('takes every token, and of prompts what there is room for', () => {
    expect(compose([token, token], { rows: 512, outputs: 65, promptRows: 32 })).toEqual([1, 1]);
    expect(compose([token, prompt(100), token], { rows: 512, outputs: 65, promptRows: 32 })).toEqual([1, 32, 1]);
    expect(compose([prompt(10), prompt(5), prompt(100)], { rows: 512, outputs: 65, promptRows: 32 })).toEqual([
      10, 5, 17,
    ]);
    expect(compose([prompt(600)], { rows: 512, outputs: 65, promptRows: 512 })).toEqual([512]);
    expect(compose([], { rows: 512, outputs: 65, promptRows: 32 })).toEqual([]);
  });

  it('cuts prompts where they may be cut, and the first one at least once', () => {
    expect(compose([prompt(100, 24)], { rows: 512, outputs: 65, promptRows: 64 })).toEqual([48]);
    expect(compose([token, prompt(100, 64)], { rows: 512, outputs: 65, promptRows: 32 })).toEqual([1, 64]);
    expect(compose([prompt(70, 64), prompt(100, 64)], { rows: 512, outputs: 65, promptRows: 32 })).toEqual([64, 0]);
    expect(compose([prompt(20), prompt(100, 64)], { rows: 512, outputs: 65, promptRows: 32 })).toEqual([20, 0]);
  });

  it('takes drafts that nobody cuts whole, and first those that have waited longest', () => {
    const draft = (nodes: number): Wish => ({ ...token, rows: 1 + nodes });
    const bounds = { rows: 512, outputs: 65, promptRows: 32 };
    expect(compose([draft(30), token, draft(40), draft(10)], bounds)).toEqual([31, 1, 0, 11]);
    expect(compose([draft(64), token], bounds)).toEqual([65, 0]);
    expect(compose([token, draft(64)], bounds)).toEqual([1, 0]);
    // The last row of a prompt has logits, too.
    expect(compose([token, draft(63), prompt(20)], bounds)).toEqual([1, 0, 20]);
    expect(compose([draft(64), prompt(20)], bounds)).toEqual([65, 0]);
    expect(compose([draft(64), prompt(64, 64)], { ...bounds, rows: 65 })).toEqual([65, 0]);
    expect(compose([prompt(64, 64), draft(64)], { ...bounds, rows: 65 })).toEqual([64, 0]);
  });

  it('never has more rows than there are, and lets the first prompt advance', () => {
    const many = Array.from({ length: 64 }, () => token);
    const taken = compose([...many, prompt(200, 32)], { rows: 66, outputs: 65, promptRows: 66 });
    expect(taken.at(-1)).toBe(32);
    expect(taken.reduce((sum, rows) => sum + rows)).toBe(66);
  });
});

describe('slots', () => {
  const banks = [{}, {}] as Slot['bank'][];
  const at = (bank: number, index: number): { slot: Slot } => ({ slot: { bank: banks[bank] as Slot['bank'], index } });

  it('side by side make runs', () => {
    const items = [at(0, 1), at(0, 2), at(0, 4), at(0, 31), at(1, 32), at(1, 33)];
    expect(runsOf(items).map(({ begin, end }) => [begin, end])).toEqual([
      [0, 2],
      [2, 3],
      [3, 4],
      [4, 6],
    ]);
  });

  it('are not together with those that want something else', () => {
    const items = [at(0, 1), at(0, 2), at(0, 3)].map((item, i) => ({ ...item, kind: i === 1 ? 'a' : 'b' }));
    expect(runsOf(items, (a, b) => a.kind === b.kind).length).toBe(3);
  });
});
