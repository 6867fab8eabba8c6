// SPDX-License-Identifier: Apache-2.0
/** Prompts that begin like earlier ones take over what was computed of these, and give what they give without it. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  type CacheStatistics,
  type Drafter,
  type DrawnLogprob,
  type GenerateOptions,
  type LanguageModel,
  type LoadOptions,
  load,
} from '../../lib/index.js';
import { noDraft } from '../../lib/speculate/drafter.js';
import { temporaryFolder } from '../support/folder.js';
import { tinyText as ids, tinyModel } from '../support/tiny-model.js';

const folder = temporaryFolder();
const path = join(folder, 'tiny.gguf');
const pageSize = 16;
/** What is adopted of prompts above 65 tokens: pages, and tiles of queries, of this model. */
const tile = 32;
/** Without `prefixCache`: what everything is compared with. */
let cold: LanguageModel;

const open = (options: LoadOptions = {}): Promise<LanguageModel> =>
  load(path, { device: { threads: 2 }, cacheDType: 'f32', cacheTokens: 4096, chunk: 128, ...options });

beforeAll(async () => {
  tinyModel({ seed: 5, context: 512 }).writer.write(path);
  cold = await open({ prefixCache: false });
});
afterAll(() => cold[Symbol.asyncDispose]());

interface Outcome {
  tokens: number[];
  logprobs: DrawnLogprob[];
}

/** Tokens and log-probabilities, and how many tokens of the prompt were cached. */
async function ask(
  model: LanguageModel,
  prompt: readonly number[],
  options: GenerateOptions = {},
): Promise<Outcome & { cached: number }> {
  const generation = model.generate(prompt, { ignoreEnd: true, maxTokens: 8, logprobs: 3, ...options });
  const logprobs: DrawnLogprob[] = [];
  for await (const chunk of generation) logprobs.push(...(chunk.logprobs ?? []));
  const { tokens, usage } = await generation.result;
  return { tokens, logprobs, cached: usage.cachedTokens };
}

const expectCached = async (model: LanguageModel, prompt: readonly number[], cached: number): Promise<void> => {
  expect(await ask(model, prompt)).toEqual({ ...(await ask(cold, prompt)), cached });
};

const tiles = (tokens: number): number => Math.floor(tokens / tile) * tile;

it('a conversation computes only what is new, bit for bit as if it computed everything', async () => {
  await using model = await open();
  let text = ids(90);
  await expectCached(model, text, 0);
  for (let turn = 0; turn < 4; turn++) {
    const before = text.length;
    text = [...text, ...ids(37 + 29 * turn, turn + 2)];
    await expectCached(model, text, tiles(before));
  }
  // Of a prompt that is known as a whole the last tile is computed again: its last token's logits are not kept.
  await expectCached(model, text.slice(0, 128), 96);
  expect(model.cacheStatistics).toMatchObject({ used: 0, shared: 0, free: model.cacheStatistics.pages });
  expect(model.cacheStatistics.kept).toBeGreaterThanOrEqual(Math.floor(text.length / pageSize));
});

it('requests with the same instructions share their pages while they run', async () => {
  await using model = await open();
  const instructions = ids(160);
  const requests = Array.from({ length: 4 }, (_, i) => [...instructions, ...ids(20 + 9 * i, i + 3)]);
  const first = model.generate(requests[0] as number[], { ignoreEnd: true, maxTokens: 40 });
  const steps = first[Symbol.asyncIterator]();
  await steps.next();
  const others = Promise.all(requests.map((request) => ask(model, request, { temperature: 1, seed: 7 })));
  const statistics: CacheStatistics[] = [];
  while (!(await steps.next()).done) statistics.push(model.cacheStatistics);
  const alone = [];
  for (const request of requests) alone.push(await ask(cold, request, { temperature: 1, seed: 7 }));
  expect(await others).toEqual(alone.map((outcome, i) => ({ ...outcome, cached: i === 0 ? tiles(179) : 160 })));
  expect(Math.max(...statistics.map(({ shared }) => shared))).toBeGreaterThanOrEqual(160 / pageSize);
  expect(model.cacheStatistics.used).toBe(0);
});

it('short prompts, which are computed differently, have prefixes of their own', async () => {
  await using model = await open();
  const text = ids(200);
  await expectCached(model, text, 0);
  await expectCached(model, text.slice(0, 60), 0);
  await expectCached(model, text.slice(0, 50), 48);
  await expectCached(model, text.slice(0, 120), tiles(119));
});

it('kept pages are given up, the longest unused first and from the ends of texts', async () => {
  // 28 pages: three prompts of ten pages, and one each of what follows them, do not fit beside each other.
  await using model = await open({ cacheTokens: 448 });
  const [a, b, c] = [ids(160, 1), ids(160, 2), ids(160, 3)] as [number[], number[], number[]];
  await expectCached(model, a, 0);
  await expectCached(model, b, 0);
  await expectCached(model, a, 128);
  await expectCached(model, c, 0); // takes the free pages, and some of b's end
  await expectCached(model, a, 128);
  const { cached } = await ask(model, b);
  expect(cached).toBeGreaterThan(0);
  expect(cached).toBeLessThan(128);
  // A generation that needs every page gets them.
  const most = await ask(model, ids(340, 9), { maxTokens: 108 });
  expect(most.tokens).toHaveLength(108);
  expect(model.cacheStatistics).toMatchObject({ used: 0, free: 28 });
  await expectCached(model, a, 0);
});

it('a sequence of its own adopts and is adopted, and what it writes over is nobody else’s', async () => {
  await using model = await open();
  const text = ids(150);
  using sequence = model.createSequence();
  await ask(model, text, { sequence });
  await expectCached(model, text, tiles(149));
  using other = model.createSequence();
  expect((await ask(model, text, { sequence: other })).cached).toBe(tiles(149));
  // The first one writes to copies of what the other has, too; the second one to pages that are its own by then.
  for (const [writer, cached] of [
    [sequence, tiles(149)],
    [other, 64],
  ] as const) {
    writer.truncate(70);
    await ask(model, ids(90, 8), { sequence: writer });
    await expectCached(model, text, cached);
    await expectCached(model, [...text, ...ids(30, 4)], 128);
  }
  sequence.dispose();
  other.dispose();
  expect(model.cacheStatistics.used).toBe(0);
});

it('a prompt that was not finished is not offered', async () => {
  await using model = await open({ chunk: 70 });
  const text = ids(300);
  const controller = new AbortController();
  const generation = model.generate(text, { signal: controller.signal }).complete();
  setImmediate(() => controller.abort());
  await expect(generation).rejects.toThrow(/abort/);
  await expectCached(model, text, 0);
});

it('a drafter that learns from features sees those of the whole prompt', async () => {
  await using model = await open();
  const text = ids(150);
  await ask(model, text);
  const seen = new Set<number>();
  const drafter: Drafter = {
    features: {
      take(features, begin) {
        for (let i = 0; i < (features.shape[0] as number); i++) seen.add(begin + i);
      },
    },
    draft: () => noDraft,
    observe() {},
    reset() {},
    dispose() {},
    [Symbol.dispose]() {},
  };
  const { usage } = await model.generate(text, { maxTokens: 2, ignoreEnd: true, speculate: drafter }).complete();
  expect(usage.cachedTokens).toBe(0);
  expect([...seen].filter((position) => position < text.length)).toHaveLength(text.length);
});

it('can be turned off', async () => {
  expect((await ask(cold, ids(100))).cached).toBe(0);
  expect((await ask(cold, ids(100))).cached).toBe(0);
  expect(cold.cacheStatistics.kept).toBe(0);
  await expect(open({ prefixCache: 'yes' as never })).rejects.toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
    message: expect.stringMatching(/prefixCache.*true or false/),
  });
});
