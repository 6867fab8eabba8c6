// SPDX-License-Identifier: Apache-2.0
/** Concurrent generations give what each gives alone, on any device. */
import { expect, it } from 'vitest';
import {
  type Draft,
  type Drafter,
  type GenerateOptions,
  type LanguageModel,
  merged,
  promptLookup,
  suffixLookup,
  tokenRecycling,
} from '../../lib/index.js';

export interface Request {
  prompt: number[];
  options: GenerateOptions;
}

export interface Outcome {
  text: string;
  tokens: number[];
  finishReason: string;
}

/** Everything about a generation that does not depend on time. */
export async function outcomeOf(model: LanguageModel, { prompt, options }: Request): Promise<Outcome> {
  const { text, tokens, finishReason } = await model.generate(prompt, options).complete();
  return { text, tokens, finishReason };
}

/** Drafts what `guess` makes of what is known to come. */
export function guessing(text: readonly number[], guess: (next: readonly number[]) => Draft): Drafter {
  return {
    draft: ({ length }, most) => {
      const { tokens, parents } = guess(text.slice(length));
      return { tokens: tokens.slice(0, most), ...(parents ? { parents: parents.slice(0, most) } : {}) };
    },
    observe() {},
    reset() {},
    dispose() {},
    [Symbol.dispose]() {},
  };
}

/** Drafts a chain of what is known to come. */
export const knowing = (text: readonly number[], most = 3): Drafter =>
  guessing(text, (next) => ({ tokens: next.slice(0, most) }));

/** Drafts a tree of what is known to come and of other tokens. */
export function knowingTree(text: readonly number[]): Drafter {
  return guessing(text, ([first, second, third]) => {
    if (first === undefined || second === undefined || third === undefined) return { tokens: [] };
    const other = (token: number): number => (token === 7 ? 8 : 7);
    return { tokens: [other(first), first, 9, other(second), second, third], parents: [-1, -1, 0, 1, 1, 4] };
  });
}

/** Requests that differ in everything: lengths, sampling, penalties, log-probabilities, stops, speculation. */
export function everyRequest(
  ids: (length: number, seed: number) => number[],
  count: number,
  tokens: number,
): Request[] {
  const lengths = [3, 40, 1, 90, 12, 150, 7, 66];
  const sampling = (): GenerateOptions[] => [
    {},
    { temperature: 0.9, topP: 0.9 },
    { temperature: 1.2, topK: 20, logprobs: 2 },
    { repetitionPenalty: 1.3, frequencyPenalty: 0.3 },
    { temperature: 0.7, presencePenalty: 0.5, minP: 0.02 },
    { stop: ['q', 'zz'], logprobs: 0 },
    { speculate: promptLookup({ minNgram: 1 }), adaptive: false },
    { speculate: merged(suffixLookup({ minMatch: 1 }), tokenRecycling()), adaptive: false },
  ];
  return Array.from({ length: count }, (_, i) => ({
    prompt: ids(lengths[i % lengths.length] as number, i),
    options: {
      ignoreEnd: true,
      speculate: i % 2 === 0 ? 'off' : 'auto',
      seed: i,
      maxTokens: tokens + ((i * 5) % 11),
      ...sampling().at(i % 8),
    },
  }));
}

/** Generations whose drafts are verified together, chains and trees, give what each gives without any. */
export function verifiedTogether(
  name: string,
  modelOf: () => LanguageModel,
  ids: (length: number, seed: number) => number[],
  maxTokens: number,
): void {
  it(`drafts of several generations are verified in one step: ${name}`, async () => {
    const model = modelOf();
    const makers = [knowing, knowingTree, (text: readonly number[]) => knowing([...text].fill(9, 12)), knowingTree];
    const samplings: GenerateOptions[] = [
      {},
      {},
      { temperature: 0.9, seed: 4 },
      { temperature: 1.1, topK: 9, seed: 5 },
    ];
    const requests: Request[] = [];
    const alone: Outcome[] = [];
    for (const [i, make] of makers.entries()) {
      const options = { ...samplings[i], maxTokens, ignoreEnd: true };
      const prompt = ids(5 + i, i);
      const plain = await outcomeOf(model, { prompt, options: { ...options, speculate: 'off' } });
      alone.push(plain);
      const speculate = make([...prompt, ...plain.tokens]);
      requests.push({ prompt, options: { ...options, speculate, adaptive: false } });
    }
    const before = model.batchStatistics;
    expect(await Promise.all(requests.map((request) => outcomeOf(model, request)))).toEqual(alone);
    const after = model.batchStatistics;
    expect(after.sharedVerifications).toBeGreaterThan(before.sharedVerifications);
    expect(after.mostVerified).toBe(4);
    expect(after.accepted - before.accepted).toBeGreaterThan(maxTokens);
    expect(model.cacheStatistics.used).toBe(0);
  });
}

/** @param ids of a prompt of some length */
export function batchingTests(
  name: string,
  modelOf: () => LanguageModel,
  ids: (length: number, seed: number) => number[],
  [count, tokens]: [number, number] = [12, 30],
): void {
  it(`generations that come and go give what they give alone: ${name}`, async () => {
    const model = modelOf();
    const requests = everyRequest(ids, count, tokens);
    const alone: Outcome[] = [];
    for (const request of requests) alone.push(await outcomeOf(model, request));
    // The next one begins when the one before has given some tokens.
    const running: Promise<Outcome>[] = [];
    for (const { prompt, options } of requests) {
      const generation = model.generate(prompt, options);
      const steps = generation[Symbol.asyncIterator]();
      for (let i = 0; i < 3; i++) await steps.next();
      const rest = (async () => {
        while (!(await steps.next()).done);
        const { text, tokens: all, finishReason } = await generation.result;
        return { text, tokens: all, finishReason };
      })();
      rest.catch(() => {}); // reported where it is awaited
      running.push(rest);
    }
    expect(await Promise.all(running)).toEqual(alone);
    expect(model.batchStatistics.largest).toBeGreaterThan(2);
    expect(model.cacheStatistics.used).toBe(0);
  });
}
