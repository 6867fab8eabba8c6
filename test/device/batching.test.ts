// SPDX-License-Identifier: Apache-2.0
/** Generations that share the steps of a model: each gives what it gives alone, whatever its company does. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Drafter,
  type DrawnLogprob,
  type GenerateOptions,
  type LanguageModel,
  type LoadOptions,
  load,
  promptLookup,
} from '../../lib/index.js';
import {
  batchingTests,
  everyRequest,
  knowing,
  type Outcome,
  outcomeOf,
  type Request,
  verifiedTogether,
} from '../bodies/batching.js';
import { temporaryFolder } from '../support/folder.js';
import { tinyText as ids, tinyModel } from '../support/tiny-model.js';

const folder = temporaryFolder();
const path = join(folder, 'tiny.gguf');
const plain: GenerateOptions = { ignoreEnd: true, speculate: 'off' };
let model: LanguageModel;

const open = (options: LoadOptions = {}): Promise<LanguageModel> =>
  load(path, {
    device: { threads: 2 },
    cacheDType: 'f32',
    cacheTokens: 8192,
    chunk: 128,
    prefixCache: false,
    ...options,
  });

beforeAll(async () => {
  tinyModel({ seed: 3, context: 512 }).writer.write(path);
  model = await open();
});
afterAll(() => model[Symbol.asyncDispose]());

const settled = (results: PromiseSettledResult<unknown>[]): string[] =>
  results.map((result) => (result.status === 'rejected' ? (result.reason as { code: string }).code : 'fulfilled'));

batchingTests('on the CPU', () => model, ids);
verifiedTogether('on the CPU', () => model, ids, 24);

describe('concurrent generations', () => {
  it('have bit for bit the logits that they have alone, also after long prompts', async () => {
    const requests: Request[] = [5, 200, 66, 300, 130, 1].map((length, i) => ({
      prompt: ids(length, i),
      options: { ...plain, maxTokens: 24, logprobs: 3, temperature: i % 2, seed: i },
    }));
    const logprobs = async ({ prompt, options }: Request): Promise<DrawnLogprob[]> => {
      const all: DrawnLogprob[] = [];
      for await (const chunk of model.generate(prompt, options)) all.push(...(chunk.logprobs ?? []));
      return all;
    };
    const alone: DrawnLogprob[][] = [];
    for (const request of requests) alone.push(await logprobs(request));
    expect(await Promise.all(requests.map(logprobs))).toEqual(alone);
  });

  it.each([
    ['at most three in a step', { maxBatch: 3 }],
    ['one in a step', { maxBatch: 1 }],
    ['prompts in parts of 7', { chunk: 7 }],
    ['prompts in parts of 70', { chunk: 70 }],
    ['more than a bank of them', {}],
  ] as [string, LoadOptions][])('give what they give alone: %s', async (_name, options) => {
    await using other = await open(options);
    const requests = everyRequest(ids, options.maxBatch || options.chunk ? 10 : 40, 12);
    const alone: Outcome[] = [];
    for (const request of requests) alone.push(await outcomeOf(other, request));
    const { steps } = other.batchStatistics;
    expect(await Promise.all(requests.map((request) => outcomeOf(other, request)))).toEqual(alone);
    const { largest, ...after } = other.batchStatistics;
    expect(largest).toBe(Math.min(options.maxBatch ?? 32, largest));
    if (options.maxBatch !== 1) expect(after.steps - steps).toBeLessThan(steps / 2);
    expect(other.cacheStatistics.used).toBe(0);
  });

  it('get tokens while the prompt of another is computed', async () => {
    await using other = await open({ chunk: 512 });
    let during = 0;
    const first = other.generate('abc', { ...plain, maxTokens: 60 })[Symbol.asyncIterator]();
    await first.next();
    const long = other.generate(ids(400), { ...plain, maxTokens: 1 }).complete();
    let computed = false;
    void long.then(() => {
      computed = true;
    });
    while (!(await first.next()).done) if (!computed) during++;
    await long;
    // 400 rows, 32 beside others.
    expect(during).toBeGreaterThanOrEqual(10);
  });
});

describe('a generation whose company goes', () => {
  it('verifies drafts again, and takes no step of which it has asked for nothing', async () => {
    const prompt = ids(9);
    const options = { ignoreEnd: true, maxTokens: 300 };
    const { tokens } = await model.generate(prompt, { ...options, speculate: 'off' }).complete();
    const generation = model.generate(prompt, { ...options, speculate: knowing([...prompt, ...tokens]) });
    let other: Promise<void> | undefined;
    let times = 0;
    for await (const chunk of generation) {
      if (!other && chunk.tokens.length > 1) {
        const short = model.generate('xyz', { ...plain, maxTokens: 4 }).complete();
        other = short.then(() => {
          other = undefined;
          times++;
        });
      }
      // Asks again when the other one may have just ended, before the scheduler looks who is there.
      for (let i = 0; i < 50; i++) await undefined;
    }
    expect((await generation.result).tokens).toEqual(tokens);
    expect(times).toBeGreaterThan(0);
  });

  it('leaves a sequence that goes on as it does alone', async () => {
    const { text } = await model.generate(ids(20), { ...plain, maxTokens: 40 }).complete();
    const stop = text.slice(10, 13);
    const twoTurns = async () => {
      using sequence = model.createSequence();
      const { tokens } = await model.generate(ids(20), { ...plain, maxTokens: 40, stop, sequence }).complete();
      const next = model.generate(ids(100, 5), { ...plain, maxTokens: 3, logprobs: 2, sequence });
      const logprobs: DrawnLogprob[] = [];
      for await (const chunk of next) logprobs.push(...(chunk.logprobs ?? []));
      return { tokens, usage: (await next.result).usage, logprobs };
    };
    const alone = await twoTurns();
    const five = await Promise.all(Array.from({ length: 5 }, twoTurns));
    expect(five).toEqual(five.map(() => alone));
    const company = [1, 2, 3].map((i) => model.generate(ids(4, i), { ...plain, maxTokens: 60 }).complete());
    expect(await twoTurns()).toEqual(alone);
    await Promise.all(company);
  });
});

it.each(['f16', 'bf16'] as const)('logits do not depend on who wants features, also in %s', async (activationDType) => {
  await using other = await open({ activationDType });
  const logprobs = async (): Promise<DrawnLogprob[]> => {
    const all: DrawnLogprob[] = [];
    for await (const chunk of other.generate(ids(7), { ...plain, maxTokens: 20, logprobs: 1 }))
      all.push(...(chunk.logprobs ?? []));
    return all;
  };
  const alone = await logprobs();
  const curious: Drafter = { ...knowing([]), features: { take() {} } };
  const company = other.generate(ids(5), { ignoreEnd: true, maxTokens: 30, adaptive: false, speculate: curious });
  const [together] = await Promise.all([logprobs(), company.complete()]);
  expect(together).toEqual(alone);
});

describe('what one does', () => {
  const others: Request[] = everyRequest(ids, 5, 40);
  let expected: Outcome[];
  beforeAll(async () => {
    expected = [];
    for (const request of others) expected.push(await outcomeOf(model, request));
  });
  const startOthers = (on: LanguageModel = model): Promise<Outcome[]> =>
    Promise.all(others.map((request) => outcomeOf(on, request)));

  it('by leaving, aborting or disposing its sequence does not reach the others', async () => {
    for (const way of ['return', 'abort', 'dispose'] as const) {
      const running = startOthers();
      const controller = new AbortController();
      const sequence = model.createSequence();
      const generation = model.generate(ids(80), { ...plain, signal: controller.signal, sequence });
      const steps = generation[Symbol.asyncIterator]();
      for (let i = 0; i < 5; i++) await steps.next();
      if (way === 'return') await steps.return();
      if (way === 'abort') controller.abort(new Error('enough'));
      if (way === 'dispose') sequence.dispose();
      const rest = (async () => {
        while (!(await steps.next()).done);
      })();
      const outcome = await rest.catch((error: { code?: string; message: string }) => error.code ?? error.message);
      expect(outcome).toBe({ return: undefined, abort: 'enough', dispose: 'ERR_DISPOSED' }[way]);
      sequence.dispose();
      expect(await running).toEqual(expected);
    }
    expect(model.cacheStatistics.used).toBe(0);
  });

  it('by not taking its tokens does not stop the others, and nobody computes for it', async () => {
    const request = { prompt: ids(9), options: { ...plain, maxTokens: 30, temperature: 1, seed: 4 } };
    const alone = await outcomeOf(model, request);
    const slow = model.generate(request.prompt, request.options);
    const steps = slow[Symbol.asyncIterator]();
    for (let i = 0; i < 3; i++) await steps.next();
    expect(await startOthers()).toEqual(expected);
    const before = model.batchStatistics;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(model.batchStatistics).toEqual(before);
    while (!(await steps.next()).done);
    expect((await slow.result).tokens).toEqual(alone.tokens);
  });

  it('with data that is not numbers does not reach the others', async () => {
    const bad = 60;
    const valuesOf = (name: string, [rows = 0, width = 0]: readonly number[]): Float32Array | undefined => {
      if (name !== 'token_embd.weight') return undefined;
      return Float32Array.from({ length: rows * width }, (_, i) =>
        Math.floor(i / width) === bad ? Number.NaN : Math.sin(i * 12.9898) * 1.7,
      );
    };
    const file = join(folder, 'nan.gguf');
    tinyModel({ seed: 3, context: 512, valuesOf }).writer.write(file);
    await using broken = await load(file, { device: { threads: 2 }, cacheDType: 'f32' });
    const requests = everyRequest((length, seed) => ids(length, seed).map((id) => (id === bad ? 5 : id)), 6, 30);
    requests.splice(3, 0, { prompt: [5, bad, 6], options: { ...plain, maxTokens: 30 } });
    const one = (request: Request): Promise<Outcome> => outcomeOf(broken, request);
    const alone: PromiseSettledResult<Outcome>[] = [];
    for (const request of requests) alone.push(...(await Promise.allSettled([one(request)])));
    const together = await Promise.allSettled(requests.map(one));
    expect(settled(together)).toEqual(settled(alone));
    expect(settled(together).filter((code) => code === 'ERR_INVALID_LOGITS').length).toBeGreaterThan(0);
    expect(settled(together).filter((code) => code === 'fulfilled').length).toBeGreaterThan(2);
    expect(together.filter(({ status }) => status === 'fulfilled')).toEqual(
      alone.filter(({ status }) => status === 'fulfilled'),
    );
    expect(broken.cacheStatistics.used).toBe(0);
  });

  it('by filling the cache fails it alone', async () => {
    const small: GenerateOptions = { ...plain, maxTokens: 40 };
    for (const speculate of ['off', promptLookup({ minNgram: 1 })] as const) {
      await using other = await open({ cacheTokens: 16 * 12 });
      const quiet = ['abc', 'xyz'].map((prompt) => other.generate(prompt, small).complete());
      const greedy = other
        .generate('ababab', { ignoreEnd: true, speculate, adaptive: false, maxTokens: 400 })
        .complete();
      const results = await Promise.allSettled([...quiet, greedy]);
      expect(settled(results)).toEqual(['fulfilled', 'fulfilled', 'ERR_CACHE_EXHAUSTED']);
      for (const [i, prompt] of ['abc', 'xyz'].entries()) {
        const { tokens } = await other.generate(prompt, small).complete();
        expect(results[i]).toMatchObject({ value: { tokens } });
      }
      expect(other.cacheStatistics.used).toBe(0);
    }
  });

  it('by drafting takes no page that another needs', async () => {
    // Room for exactly what both come to: 3 pages each.
    await using other = await open({ cacheTokens: 16 * 6, contextLength: 96 });
    const length = 48;
    const prompts = [ids(6, 2), [...'abcabcabcabc'].map((_, i) => 4 + (i % 3))];
    const results = await Promise.allSettled(
      prompts.map((prompt, i) =>
        other
          .generate(prompt, {
            ignoreEnd: true,
            maxTokens: length - prompt.length,
            adaptive: false,
            speculate: i === 1 ? promptLookup({ minNgram: 1 }) : 'off',
          })
          .complete(),
      ),
    );
    expect(settled(results)).toEqual(['fulfilled', 'fulfilled']);
  });

  it('ends all of them when it disposes the model', async () => {
    const other = await open();
    const running = Promise.allSettled(others.map((request) => outcomeOf(other, request)));
    const steps = other.generate('abc', plain)[Symbol.asyncIterator]();
    for (let i = 0; i < 4; i++) await steps.next();
    other.dispose();
    expect(new Set(settled(await running))).toEqual(new Set(['ERR_DISPOSED']));
    const rest = (async () => {
      while (!(await steps.next()).done);
    })();
    await expect(rest).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
  });
});

it('frees what generations in company took', async () => {
  const once = () => Promise.all(everyRequest(ids, 6, 8).map((request) => outcomeOf(model, request)));
  for (let i = 0; i < 3; i++) await once();
  const before = model.device.bytesInUse;
  for (let i = 0; i < 10; i++) await once();
  expect(model.device.bytesInUse).toBe(before);
  expect(model.cacheStatistics.used).toBe(0);
});
