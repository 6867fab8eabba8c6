// SPDX-License-Identifier: Apache-2.0
/** Concurrent generations give what each gives alone, on any device. */
import { expect, it } from 'vitest';
import { type GenerateOptions, type LanguageModel, promptLookup } from '../../lib/index.js';

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
  ];
  return Array.from({ length: count }, (_, i) => ({
    prompt: ids(lengths[i % lengths.length] as number, i),
    options: {
      ignoreEnd: true,
      speculate: i % 2 === 0 ? 'off' : 'auto',
      seed: i,
      maxTokens: tokens + ((i * 5) % 11),
      ...sampling().at(i % 7),
    },
  }));
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
