// SPDX-License-Identifier: Apache-2.0
/** Draft trees of more nodes than a word of a mask, and than steps have logits for unless a model is loaded for them. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Device,
  draftModel,
  estimateMemory,
  type GenerateOptions,
  type LanguageModel,
  load,
  optimalTree,
} from '../../lib/index.js';
import { temporaryFolder } from '../support/folder.js';
import { plantedTrees } from '../support/planted-trees.js';
import { tinyModel, tinyText, tinyVocabulary } from '../support/tiny-model.js';

const folder = temporaryFolder();
const path = join(folder, 'target.gguf');
const device = Device.cpu({ threads: 2 });
let model: LanguageModel;
let twin: LanguageModel;

beforeAll(async () => {
  tinyModel({ seed: 3, layers: 3, context: 1024 }).writer.write(path);
  model = await load(path, { device, cacheDType: 'f32', maxDraft: 256 });
  twin = await load(path, { device, cacheDType: 'f32' });
});
afterAll(async () => {
  for (const loaded of [model, twin]) await loaded[Symbol.asyncDispose]();
  device.dispose();
});

const prompt = [1, ...tinyText(20)];
const options = { maxTokens: 300, ignoreEnd: true, adaptive: false } satisfies GenerateOptions;

const plain = async (more: GenerateOptions, ids: readonly number[] = prompt): Promise<number[]> =>
  (await model.generate(ids, { ...options, ...more, speculate: 'off' }).complete()).tokens;

describe.each([
  ['greedy', {}],
  ['sampled', { temperature: 0.9, topP: 0.95, seed: 11 }],
  ['sampled with penalties', { temperature: 1.1, topK: 20, presencePenalty: 0.6, seed: 12 }],
] as [string, GenerateOptions][])('large trees, %s', (_name, sampling) => {
  it.each([64, 100, 200, 256])('of %i nodes do not change the output', async (nodes) => {
    const expected = await plain(sampling);
    const speculate = plantedTrees([...prompt, ...expected], nodes, 8, tinyVocabulary);
    const result = await model.generate(prompt, { ...options, ...sampling, speculate }).complete();
    expect(result.tokens).toEqual(expected);
    expect(speculate.sizes[0]).toBe(nodes);
    expect(Math.max(...speculate.accepted)).toBeGreaterThan(0.9 * nodes);
    expect(model.cacheStatistics.used).toBe(0);
  });

  it.each([
    ['of a fixed shape', { tree: optimalTree([0.5, 0.2, 0.1], { nodes: 200 }), maxDraft: 200 }],
    ['that grow', { maxDraft: 200, width: 16, depth: 16 }],
  ])('of a draft model, %s, do not change the output', async (_kind, made) => {
    using speculate = draftModel(twin, made);
    const result = await model.generate(prompt, { ...options, ...sampling, speculate }).complete();
    expect(result.tokens).toEqual(await plain(sampling));
    const { passes = 0, drafted = 0, accepted = 0 } = result.speculation ?? {};
    expect(drafted / passes).toBeGreaterThan(64);
    expect(accepted).toBeGreaterThan(passes);
    expect(twin.cacheStatistics.used).toBe(0);
  });
});

it('large trees of drafts drawn by chance are judged', async () => {
  using speculate = draftModel(twin, { sampled: true, maxDraft: 150, width: 16, depth: 16 });
  const result = await model.generate(prompt, { ...options, temperature: 1, seed: 3, speculate }).complete();
  const { passes = 0, drafted = 0, accepted = 0 } = result.speculation ?? {};
  expect(result.tokens).toHaveLength(options.maxTokens);
  expect(drafted / passes).toBeGreaterThan(64);
  expect(accepted).toBeGreaterThan(passes);
});

describe.each([
  ['of a fixed shape', { tree: optimalTree([0.5, 0.2, 0.1], { nodes: 64 }), maxDraft: 64 }],
  ['that grow', { maxDraft: 64, width: 16, depth: 16 }],
])('trees of 64 nodes for a model that was not loaded for them, %s,', (_kind, made) => {
  it.each([
    ['the most probable tokens', { sampled: false }, {}],
    ['drawn by chance', { sampled: true }, { temperature: 1, seed: 5 }],
  ])('have 63: %s', async (_tokens, how, sampling) => {
    using speculate = draftModel(model, { ...made, ...how });
    const sizes: number[] = [];
    const observe = speculate.observe.bind(speculate);
    speculate.observe = (outcome) => {
      sizes.push(outcome.draft.tokens.length);
      observe(outcome);
    };
    const result = await twin.generate(prompt, { ...options, ...sampling, maxTokens: 100, speculate }).complete();
    expect(Math.max(...sizes)).toBe(63);
    if (how.sampled) expect(result.tokens).toHaveLength(100);
    else expect(result.tokens).toEqual((await plain({})).slice(0, 100));
  });
});

it('large trees of several generations share steps', async () => {
  const prompts = [prompt, [1, ...tinyText(30, 2)]];
  const runs = prompts.map(async (ids) => {
    const expected = await plain({}, ids);
    const speculate = plantedTrees([...ids, ...expected], 100, 8, tinyVocabulary);
    return { ids, expected, speculate };
  });
  const planned = await Promise.all(runs);
  const results = await Promise.all(
    planned.map(({ ids, speculate }) => model.generate(ids, { ...options, speculate }).complete()),
  );
  for (const [i, { tokens, speculation }] of results.entries()) {
    expect(tokens).toEqual(planned[i]?.expected);
    expect(speculation?.sharedPasses).toBeGreaterThan(0);
  }
});

it('large trees of adaptive speculation do not change the output', async () => {
  const expected = await plain({});
  const speculate = plantedTrees([...prompt, ...expected], 256, 16, tinyVocabulary);
  const result = await model.generate(prompt, { ...options, adaptive: true, speculate }).complete();
  expect(result.tokens).toEqual(expected);
});

it('says how large drafts may be', async () => {
  const refused = {
    code: 'ERR_INVALID_ARGUMENT',
    message: expect.stringMatching(/maxDraft.*1 to 64.*loaded with maxDraft/),
  };
  expect(() => twin.generate(prompt, { maxDraft: 100 })).toThrow(expect.objectContaining(refused));
  for (const maxDraft of [63, 257, 100.5]) {
    await expect(load(path, { maxDraft })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  }
  // What the target has no logits for is left out.
  const expected = await plain({});
  const speculate = plantedTrees([...prompt, ...expected], 200, 40, tinyVocabulary);
  const result = await twin.generate(prompt, { ...options, speculate }).complete();
  expect(result.tokens).toEqual(expected);
  expect(speculate.sizes[0]).toBe(63);
  // More branches on a level, or below a node, than a step of the draft model has rows.
  const wide = Array.from({ length: 65 }, () => -1);
  expect(() => draftModel(twin, { tree: wide })).toThrow(/65 children of a node.*must be at most 64/);
  const bushy = (width: number) => [
    ...[-1, -1],
    ...Array.from({ length: 2 * width }, (_, i) => Math.floor(i / width)),
    ...Array.from({ length: 2 * width }, (_, i) => 2 + i),
  ];
  expect(() => draftModel(twin, { tree: bushy(33) })).toThrow(/66 nodes with children on a level/);
  expect(() => draftModel(twin, { tree: bushy(32) })).not.toThrow();
  const estimates = [await estimateMemory(path), await estimateMemory(path, { maxDraft: 256 })];
  expect((estimates[1]?.activations ?? 0) - (estimates[0]?.activations ?? 0)).toBeGreaterThan(4 * 192 * tinyVocabulary);
});
