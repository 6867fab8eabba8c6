// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import {
  adaptiveNgrams,
  type Draft,
  type Drafter,
  firstOf,
  lookahead,
  merged,
  promptLookup,
  selfSpeculation,
  suffixLookup,
  tokenRecycling,
} from '../../lib/index.js';
import { noMatch, SuffixAutomaton } from '../../lib/speculate/suffixautomaton.js';
import { quickRandom } from '../oracle/verification.js';

const words = (count: number, vocabulary: number, seed: number): number[] => {
  const random = quickRandom(seed);
  return Array.from({ length: count }, () => Math.floor(random() * vocabulary));
};

/** A drafter that always says the same. */
function fixed(draft: Draft): Drafter & { outcomes: unknown[] } {
  const outcomes: unknown[] = [];
  return {
    outcomes,
    draft: () => draft,
    observe: (outcome) => outcomes.push(outcome),
    reset() {},
    dispose() {},
    [Symbol.dispose]() {},
  };
}

describe('SuffixAutomaton', () => {
  it('finds the longest suffix that occurs, like a scan', () => {
    for (const vocabulary of [2, 3, 7]) {
      const text = words(300, vocabulary, vocabulary);
      const query = words(300, vocabulary, vocabulary + 10);
      const automaton = new SuffixAutomaton();
      for (const token of text) automaton.append(token);
      let match = noMatch;
      for (let i = 0; i < query.length; i++) {
        match = automaton.follow(match, query[i] as number);
        const occurs = (length: number): boolean =>
          text.some((_, at) => query.slice(i + 1 - length, i + 1).every((token, j) => text[at + j] === token));
        let longest = 0;
        while (longest <= i && occurs(longest + 1)) longest++;
        expect(match.length).toBe(longest);
        const found = text.slice(match.end + 1 - match.length, match.end + 1);
        expect(found).toEqual(query.slice(i + 1 - longest, i + 1));
      }
    }
  });
});

describe('suffixLookup', () => {
  it('copies what followed the longest earlier occurrence, as the text grows', () => {
    const random = quickRandom(5);
    for (const vocabulary of [2, 4]) {
      using drafter = suffixLookup({ minMatch: 2, maxDraft: 6 });
      const context: number[] = [];
      for (let step = 0; step < 150; step++) {
        for (let i = 0; i < 1 + Math.floor(random() * 4); i++) context.push(Math.floor(random() * vocabulary));
        const { tokens } = drafter.draft(context, 5) as Draft;
        // Some earlier occurrence of the longest repeated suffix is followed by the draft.
        let longest = 0;
        const earlier = (length: number): number[] =>
          Array.from({ length: context.length - length }, (_, at) => at).filter((at) =>
            context.slice(context.length - length).every((token, j) => context[at + j] === token),
          );
        while (longest + 1 < context.length && earlier(longest + 1).length > 0) longest++;
        if (longest < 2) {
          expect(tokens).toEqual([]);
          continue;
        }
        const continuations = earlier(longest).map((at) => {
          const start = at + longest;
          const period = context.length - start;
          return Array.from({ length: 5 }, (_, i) => context[start + (i % period)]);
        });
        expect(continuations).toContainEqual(tokens);
      }
    }
  });

  it('knows its corpus, over resets, but not across its texts', () => {
    using drafter = suffixLookup({
      corpus: [
        [1, 2, 3, 4, 5],
        [7, 8, 9],
      ],
      minMatch: 2,
    });
    for (let i = 0; i < 2; i++) {
      expect(drafter.draft([50, 2, 3], 8)).toEqual({ tokens: [4, 5] });
      expect(drafter.draft([50, 2, 3, 4, 5], 8)).toEqual({ tokens: [] });
      expect(drafter.draft([50, 2, 3, 4, 5, 7, 8], 8)).toEqual({ tokens: [9] });
      drafter.reset();
    }
    expect(drafter.draft([1, 9, 7, 8], 1)).toEqual({ tokens: [9] });
  });
});

describe('tokenRecycling', () => {
  it('drafts the successors that the target last reported, by rank', () => {
    using drafter = tokenRecycling({ successors: 2, tree: [-1, -1, 0, 0, 1, 2] });
    expect(drafter.topTokens).toBe(2);
    expect(drafter.draft([5], 10)).toEqual({ tokens: [] });
    drafter.observe({ draft: { tokens: [] }, path: [], tokens: [6], top: Int32Array.of(6, 7) });
    drafter.draft([5, 6], 10);
    drafter.observe({ draft: { tokens: [] }, path: [], tokens: [5], top: Int32Array.of(5, 9) });
    expect(drafter.draft([5, 6, 5], 10)).toEqual({ tokens: [6, 7, 5, 9, 6], parents: [-1, -1, 0, 0, 2] });
    expect(drafter.draft([5, 6, 5], 2)).toEqual({ tokens: [6, 7], parents: [-1, -1] });
    // Rejected nodes teach, too.
    drafter.observe({ draft: { tokens: [6, 7] }, path: [], tokens: [1], top: Int32Array.of(1, 2, 3, 4, 8, -1) });
    expect(drafter.draft([5, 6, 5, 7], 10)).toEqual({ tokens: [8], parents: [-1] });
  });
});

describe('adaptiveNgrams', () => {
  it('prefers what followed two tokens, and grows by probability', () => {
    using drafter = adaptiveNgrams({ corpus: [[1, 2, 3, 1, 2, 3, 9, 2, 4]], maxDraft: 4 });
    const { tokens, parents } = drafter.draft([1, 2], 10) as Draft;
    expect([tokens[0], parents?.[0]]).toEqual([3, -1]);
    expect((drafter.draft([9, 2], 10) as Draft).tokens[0]).toBe(4);
    expect(drafter.draft([77], 10)).toEqual({ tokens: [] });
    expect((drafter.draft([1, 2], 10, 0.99) as Draft).tokens).toEqual([]);
  });

  it('learns from the text', () => {
    using drafter = adaptiveNgrams();
    expect((drafter.draft([4, 5, 6], 4) as Draft).tokens).toEqual([]);
    expect((drafter.draft([4, 5, 6, 4, 5], 4) as Draft).tokens[0]).toBe(6);
  });
});

describe('lookahead', () => {
  /** A target that counts in a circle: guesses become right from pass to pass. */
  it('collects n-grams of the guesses and verifies those that fit', () => {
    using drafter = lookahead({ window: 3, ngram: 3, guesses: 2 });
    const context = [1];
    let withGuess = 0;
    for (let pass = 0; pass < 30; pass++) {
      const draft = drafter.draft(context, 63) as Draft;
      const { tokens, parents = [] } = draft;
      const last = context.at(-1) as number;
      expect(parents.every((parent, node) => parent < node)).toBe(true);
      if (parents.some((parent, node) => parent === -1 && node > 0 && tokens[node] === (last + 1) % 8)) withGuess++;
      const top = Int32Array.from([last, ...tokens], (token) => (token + 1) % 8);
      drafter.observe({ draft, path: [], tokens: [(last + 1) % 8], top });
      context.push((last + 1) % 8);
    }
    expect(withGuess).toBeGreaterThan(10);
  });

  it('drafts tokens also after drafts that were cut short, and after those of others', () => {
    using drafter = lookahead({ window: 3, ngram: 3, guesses: 2 });
    const context = [1];
    for (let pass = 0; pass < 12; pass++) {
      const own = drafter.draft(context, 63) as Draft;
      expect(own.tokens.length).toBeGreaterThanOrEqual(3);
      expect(own.tokens.filter((token) => !Number.isInteger(token))).toEqual([]);
      const { tokens, parents = [] } = own;
      const cut = { tokens: tokens.slice(0, 2), parents: parents.slice(0, 2) };
      const draft = [own, cut, { tokens: [6] }, own][pass % 4] as Draft;
      drafter.observe({ draft, path: [0], tokens: [2, 3], top: new Int32Array(draft.tokens.length + 1).fill(4) });
      context.push(2, 3);
    }
    using unused = lookahead();
    unused.observe({ draft: { tokens: [6] }, path: [], tokens: [2], top: Int32Array.of(4, 5) });
    expect((unused.draft([1, 2], 63) as Draft).tokens).toEqual([1, 2, 1, 2, 1]);
  });
});

describe('composition', () => {
  it('takes the first draft there is, and tells everybody', async () => {
    const [none, some] = [fixed({ tokens: [] }), fixed({ tokens: [3] })];
    const drafter = firstOf(none, some, fixed({ tokens: [4] }));
    expect(await drafter.draft([1], 5)).toEqual({ tokens: [3] });
    drafter.observe({ draft: { tokens: [3] }, path: [0], tokens: [3, 4] });
    expect([none.outcomes.length, some.outcomes.length]).toEqual([1, 1]);
    expect(await firstOf(none).draft([1], 5)).toEqual({ tokens: [] });
  });

  it('merges trees at their common beginnings, up to its room', async () => {
    const drafter = merged(
      fixed({ tokens: [1, 2, 3] }),
      fixed({ tokens: [1, 5, 2, 4], parents: [-1, -1, 0, 2] }),
      fixed({ tokens: [6] }),
    );
    expect(await drafter.draft([0], 10)).toEqual({ tokens: [1, 2, 3, 5, 4, 6], parents: [-1, 0, 1, -1, 1, -1] });
    const { tokens } = await drafter.draft([0], 3);
    expect(tokens).toEqual([1, 2, 3]);
  });

  it('shows each drafter as many probable tokens as it asked for', () => {
    const one = Object.assign(fixed({ tokens: [] }), { topTokens: 1 });
    const two = Object.assign(fixed({ tokens: [] }), { topTokens: 2 });
    const drafter = firstOf(one, two, fixed({ tokens: [] }));
    expect(drafter.topTokens).toBe(2);
    drafter.observe({ draft: { tokens: [9] }, path: [], tokens: [1], top: Int32Array.of(1, 2, 3, 4) });
    expect(one.outcomes).toMatchObject([{ top: Int32Array.of(1, 3) }]);
    expect(two.outcomes).toMatchObject([{ top: Int32Array.of(1, 2, 3, 4) }]);
  });
});

it('drafters check their options', () => {
  for (const make of [
    () => suffixLookup({ minMatch: 0 }),
    () => tokenRecycling({ successors: 65 }),
    () => adaptiveNgrams({ maxDraft: 257 }),
    () => lookahead({ ngram: 1 }),
    () => lookahead({ window: 20, ngram: 5 }),
    () => selfSpeculation({}),
    () => selfSpeculation({ exitLayer: 0 }),
    () => promptLookup({ minNgram: 0 }),
  ]) {
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
  }
});
