// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { type Draft, promptLookup } from '../../lib/index.js';
import { quickRandom } from '../oracle/verification.js';

/** The definition, by scanning: the longest suffix that occurs earlier, at its most recent occurrence. */
function scan(context: readonly number[], minNgram: number, maxNgram: number, length: number): number[] {
  for (let n = Math.min(maxNgram, context.length); n >= minNgram; n--) {
    const suffix = context.slice(-n);
    for (let end = context.length - 1; end >= n; end--) {
      if (!suffix.every((token, i) => token === context[end - n + i])) continue;
      const copied = context.slice(end);
      return Array.from({ length }, (_, i) => copied[i % copied.length] as number);
    }
  }
  return [];
}

describe('promptLookup', () => {
  it('drafts what a scan of the context finds, step by step', () => {
    for (const [vocabulary, minNgram, maxNgram] of [
      [3, 1, 3],
      [6, 2, 4],
      [40, 1, 2],
      [2, 3, 8],
    ] as const) {
      const random = quickRandom(vocabulary);
      const drafter = promptLookup({ minNgram, maxNgram, maxDraft: 6 });
      const context: number[] = [];
      let hits = 0;
      for (let step = 0; step < 300; step++) {
        const added = 1 + Math.floor(random() * 5);
        for (let i = 0; i < added; i++) context.push(Math.floor(random() * vocabulary));
        const { tokens, source } = drafter.draft(context, 5) as Draft;
        expect(tokens).toEqual(scan(context, minNgram, maxNgram, 5));
        expect(source).toBeUndefined();
        if (tokens.length > 0) hits++;
        drafter.observe({ draft: { tokens }, path: [], tokens: [0] });
      }
      expect(hits).toBeGreaterThan(50);
    }
  });

  it('prefers the longest match, then the most recent one, and continues a period', () => {
    const draft = (context: number[], maxTokens = 3): readonly number[] =>
      (promptLookup({ minNgram: 1, maxNgram: 3 }).draft(context, maxTokens) as Draft).tokens;
    expect(draft([1, 2, 3, 9, 9, 3, 8, 8, 1, 2, 3])).toEqual([9, 9, 3]);
    expect(draft([5, 1, 6, 5, 2, 6, 5])).toEqual([2, 6, 5]);
    expect(draft([7, 8, 7, 8], 5)).toEqual([7, 8, 7, 8, 7]);
    expect(draft([1, 2, 3, 4])).toEqual([]);
    expect(draft([])).toEqual([]);
    expect(draft([4, 4], 0)).toEqual([]);
  });

  it('limits drafts, starts anew after reset or when the context was replaced', () => {
    using drafter = promptLookup({ minNgram: 2, maxNgram: 2, maxDraft: 2 });
    const tokens = (context: number[]): readonly number[] => (drafter.draft(context, 10) as Draft).tokens;
    expect(tokens([1, 2, 3, 4, 1, 2])).toEqual([3, 4]);
    drafter.reset();
    expect(tokens([1, 2])).toEqual([]);
    expect(tokens([1, 2, 5, 6, 1, 2])).toEqual([5, 6]);
    expect(tokens([8, 1, 2])).toEqual([]); // shorter than what was indexed: another sequence
    expect(tokens([8, 1, 2, 9, 1, 2])).toEqual([9, 1]);
  });

  it('checks its options', () => {
    for (const options of [{ minNgram: 0 }, { minNgram: 3, maxNgram: 2 }, { maxDraft: 0 }, { maxNgram: 1.5 }]) {
      expect(() => promptLookup(options)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
    }
  });
});
