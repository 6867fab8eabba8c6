// SPDX-License-Identifier: Apache-2.0
/** Generation with every drafter: the output is that of plain decoding. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  Device,
  type Drafter,
  draftModel,
  firstOf,
  type GenerateOptions,
  type LanguageModel,
  load,
  optimalTree,
  quantize,
  selfSpeculation,
  suffixLookup,
  Tensor,
  treeOfPaths,
} from '../../lib/index.js';
import { draftersFor, everyDrafter } from '../bodies/speculation.js';
import { targetProbabilities } from '../oracle/sampling.js';
import { temporaryFolder } from '../support/folder.js';
import { ggufFromFolder } from '../support/hf-to-gguf.js';
import { goldenModels, modelPath } from '../support/models.js';
import { chiSquaredPValue } from '../support/statistics.js';
import { tinyModel, tinyVocabulary } from '../support/tiny-model.js';

const folder = temporaryFolder();
const device = Device.cpu({ threads: 2 });
let model: LanguageModel;
let other: LanguageModel;
let twin: LanguageModel;

beforeAll(async () => {
  const file = (name: string, seed: number, layers: number): string => {
    const path = join(folder, name);
    tinyModel({ seed, layers, context: 512 }).writer.write(path);
    return path;
  };
  model = await load(file('target.gguf', 3, 3), { device, cacheDType: 'f32' });
  other = await load(file('other.gguf', 4, 1), { device, cacheDType: 'f32' });
  twin = await load(file('target.gguf', 3, 3), { device, cacheDType: 'f32' });
});
afterAll(async () => {
  for (const loaded of [model, other, twin]) await loaded[Symbol.asyncDispose]();
  device.dispose();
});

const prompt = 'abc abc abd abc';
const options = { maxTokens: 70, ignoreEnd: true } satisfies GenerateOptions;

async function run(more: GenerateOptions) {
  const { tokens, text, speculation } = await model.generate(prompt, { ...options, ...more }).complete();
  return { tokens, text, speculation };
}

const drafters = everyDrafter(() => ({ model, other, twin }));

describe.each(Object.entries(drafters))('speculation with %s', (_name, make) => {
  it.each([
    ['greedy', {}],
    ['greedy with penalties', { repetitionPenalty: 1.3, frequencyPenalty: 0.5 }],
    ['sampled', { temperature: 0.9, topP: 0.95, seed: 11 }],
    ['sampled with penalties', { temperature: 1.1, topK: 20, presencePenalty: 0.6, seed: 12 }],
  ] as [string, GenerateOptions][])('does not change the output: %s', async (_kind, sampling) => {
    using drafter = make();
    const plain = await run({ ...sampling, speculate: 'off' });
    for (const adaptive of [false, true]) {
      for (let again = 0; again < 2; again++) {
        const { speculation, ...result } = await run({ ...sampling, speculate: drafter, adaptive });
        expect(result).toEqual({ tokens: plain.tokens, text: plain.text });
        const { passes = 0, plainSteps = 0, accepted = 0, drafted = 0 } = speculation ?? {};
        expect(passes + plainSteps + accepted).toBeGreaterThanOrEqual(options.maxTokens - 1);
        if (!adaptive) expect(drafted).toBeGreaterThan(0);
      }
    }
    for (const used of [model, other, twin]) expect(used.cacheStatistics.used).toBe(0);
  });
});

describe('what the host waits for', () => {
  const reads = async (speculate: Drafter | 'off', more: GenerateOptions = {}) => {
    const spy = vi.spyOn(Tensor.prototype, 'read');
    try {
      const { speculation } = await run({ ...more, speculate, adaptive: false });
      return { count: spy.mock.calls.length, passes: speculation?.passes ?? 0, plain: speculation?.plainSteps ?? 0 };
    } finally {
      spy.mockRestore();
    }
  };
  it.each([
    ['a draft model', () => draftModel(other, { tree: 'chain' }), {}],
    ['a sampling draft model', () => draftModel(other, { tree: 'chain', sampled: true }), { temperature: 1, seed: 1 }],
    ['a fixed tree', () => draftModel(other, { tree: optimalTree([0.5, 0.2, 0.1], { nodes: 12 }) }), {}],
    ['early exit', () => selfSpeculation({ exitLayer: 1 }), {}],
    ['the first of several', () => firstOf(suffixLookup({ minMatch: 8 }), draftModel(other, { tree: 'chain' })), {}],
  ] as [string, () => Drafter, GenerateOptions][])('%s: drafted and verified at once', async (_name, make, more) => {
    using drafter = make();
    const { count, passes, plain } = await reads(drafter, more);
    expect(passes).toBeGreaterThan(5);
    // Of a pass what was emitted, drafted and accepted, together; of the prompt's step the first token. At the end of the
    // text there is no room for the fixed tree, so that it is cut short when it is known.
    expect(count).toBeLessThanOrEqual(1 + 4 * passes + plain);
  });

  it('a growing tree: every level', async () => {
    using drafter = draftModel(other);
    const { count, passes } = await reads(drafter);
    expect(count).toBeGreaterThan(4 * passes);
  });

  it('plain steps: the tokens, some of them too many at the end', async () => {
    const { count } = await reads('off', { maxTokens: 40 });
    expect(count).toBe(40);
    const { tokens } = await run({ speculate: 'off', maxTokens: 40 });
    using sequence = model.createSequence();
    const stop = tokens[20] as number;
    const cut = await model.generate(prompt, { ...options, speculate: 'off', stop, sequence }).complete();
    expect(cut.tokens).toEqual(tokens.slice(0, tokens.indexOf(stop)));
    expect(sequence.cachedLength).toBeLessThanOrEqual(sequence.length);
    // The steps in flight have left nothing behind.
    const rest = await model.generate([stop], { ...options, maxTokens: 10, speculate: 'off', sequence }).complete();
    expect(rest.tokens).toEqual(tokens.slice(tokens.indexOf(stop) + 1).slice(0, 10));
  });
});

describe('a draft model', () => {
  it('that is the target is always right', async () => {
    using chain = draftModel(twin, { tree: 'chain', maxDraft: 4 });
    const { speculation } = await run({ speculate: chain, adaptive: false });
    expect(speculation?.acceptanceRate).toBe(1);
    expect(speculation?.meanEmittedLength).toBeGreaterThan(4.5);
    using sampled = draftModel(twin, { tree: 'chain', sampled: true, maxDraft: 4 });
    const hot = await run({ speculate: sampled, adaptive: false, temperature: 1, seed: 3 });
    expect(hot.speculation?.acceptanceRate).toBe(1);
  });

  it('that is the target with fewer bits is mostly right', async () => {
    const path = join(folder, 'low.gguf');
    await quantize(join(folder, 'target.gguf'), path, { type: 'q4_0' });
    await using low = await load(path, { device, cacheDType: 'f32' });
    using drafter = draftModel(low, { tree: 'chain', maxDraft: 4 });
    const plain = await run({ speculate: 'off' });
    const { tokens, speculation } = await run({ speculate: drafter, adaptive: false });
    expect(tokens).toEqual(plain.tokens);
    using stranger = draftModel(other, { tree: 'chain', maxDraft: 4 });
    const strange = await run({ speculate: stranger, adaptive: false });
    expect(speculation?.acceptanceRate).toBeGreaterThan(2 * (strange.speculation?.acceptanceRate ?? 1));
  });

  it('must have the same vocabulary, and for sampled drafts the same device', async () => {
    const path = modelPath('demo', 'draft-Q4_0.gguf');
    if (path) {
      await using foreign = await load(path, { device, contextLength: 64 });
      using drafter = draftModel(foreign);
      await expect(run({ speculate: drafter })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }
    await using elsewhere = await load(join(folder, 'other.gguf'), { device: { threads: 1 } });
    using drafter = draftModel(elsewhere, { sampled: true });
    await expect(run({ speculate: drafter, temperature: 1 })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    const plain = await run({ speculate: 'off' });
    expect((await run({ speculate: drafter })).tokens).toEqual(plain.tokens); // greedy ones are not sampled
  });

  it('drafts nothing where its context or its cache ends', async () => {
    await using small = await load(join(folder, 'other.gguf'), { device, contextLength: 40, cacheTokens: 48 });
    using drafter = draftModel(small);
    const plain = await run({ speculate: 'off' });
    const { tokens, speculation } = await run({ speculate: drafter, adaptive: false });
    expect(tokens).toEqual(plain.tokens);
    expect(speculation?.plainSteps).toBeGreaterThan(20);
  });

  it('may be shared by generations that leave each other no page', async () => {
    const prompts = [3, 4, 5, 6, 7].map((last) => [5, 6, last]);
    const more = { maxTokens: 30, ignoreEnd: true, adaptive: false } satisfies GenerateOptions;
    await using small = await load(join(folder, 'other.gguf'), { device, cacheDType: 'f32', cacheTokens: 128 });
    const runs = prompts.map(async (ids) => {
      using drafter = draftModel(small, { width: 8, maxDraft: 32 });
      return (await model.generate(ids, { ...more, speculate: drafter }).complete()).tokens;
    });
    for (const [i, tokens] of (await Promise.all(runs)).entries()) {
      const plain = await model.generate(prompts[i] as number[], { ...more, speculate: 'off' }).complete();
      expect(tokens).toEqual(plain.tokens);
    }
    expect(small.cacheStatistics.used).toBe(0);
  });

  it('checks its options', () => {
    for (const bad of [{ maxDraft: 257 }, { width: 0 }, { confidence: 2 }, { tree: [0] }, { tree: 'bush' as never }]) {
      expect(() => draftModel(other, bad)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
    }
  });
});

it('adaptive speculation is the default, and gives what plain decoding gives', async () => {
  for (const sampling of [{}, { temperature: 0.8, seed: 5 }]) {
    const plain = await run({ ...sampling, speculate: 'off' });
    const automatic = await run(sampling);
    expect(automatic.tokens).toEqual(plain.tokens);
    expect(plain.speculation).toBeUndefined();
    const { passes = 0, plainSteps = 0, accepted = 0 } = automatic.speculation ?? {};
    expect(passes + plainSteps + accepted).toBeGreaterThanOrEqual(options.maxTokens - 1);
    expect(automatic.speculation?.timeSaved).toBeTypeOf('number');
  }
  const { speculation } = await model.generate(prompt, { ...options, logprobs: 2 }).complete();
  expect(speculation).toBeUndefined();
});

it('drafts with the model that was loaded for it', async () => {
  const draft = join(folder, 'other.gguf');
  await using pair = await load(join(folder, 'target.gguf'), { device, cacheDType: 'f32', draft });
  const plain = await run({ speculate: 'off' });
  const result = await pair.generate(prompt, { ...options, adaptive: false }).complete();
  expect(result.tokens).toEqual(plain.tokens);
  expect(result.speculation?.passes).toBeGreaterThan(10);
  expect(pair.cacheStatistics.used).toBe(0);
  const foreign = modelPath('demo', 'draft-Q4_0.gguf');
  if (!foreign) return;
  const mismatched = load(join(folder, 'target.gguf'), { device, draft: foreign });
  await expect(mismatched).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
});

it('verifies no more than there is room for when another sequence has taken pages meanwhile', async () => {
  await using tight = await load(join(folder, 'target.gguf'), { device, cacheDType: 'f32', cacheTokens: 64 });
  using others = tight.createSequence();
  const drafter: Drafter = {
    async draft(_context, maxTokens) {
      const { free, pages } = tight.cacheStatistics;
      const taken = Array.from({ length: (free * 64) / pages - 1 }, () => 5);
      if (free > 0) await tight.generate(taken, { maxTokens: 1, sequence: others, speculate: 'off' }).complete();
      return { tokens: Array.from({ length: maxTokens }, () => 9) };
    },
    observe() {},
    reset() {},
    dispose() {},
    [Symbol.dispose]() {},
  };
  const { tokens } = await model.generate([5, 6, 7], { maxTokens: 12, ignoreEnd: true, speculate: 'off' }).complete();
  const stop = tokens.at(-1) as number; // before its page is full
  const more = { maxTokens: 40, ignoreEnd: true, adaptive: false, stop } satisfies GenerateOptions;
  const result = await tight.generate([5, 6, 7], { ...more, speculate: drafter }).complete();
  expect(result.tokens).toEqual(tokens.slice(0, tokens.indexOf(stop)));
  expect(others.cachedLength).toBe(47);
});

it('drafts with a part of the model as far as there are pages', async () => {
  await using tight = await load(join(folder, 'target.gguf'), { device, cacheDType: 'f32', cacheTokens: 128 });
  using others = tight.createSequence();
  using inner = selfSpeculation({ exitLayer: 1, maxDraft: 24, confidence: 1e-30 });
  const drafter: Drafter = {
    async draft(context, maxTokens, worth) {
      const draft = inner.draft(context, maxTokens, worth);
      others.kv.reserve(others.kv.cache.freeTokens);
      const made = await draft;
      others.kv.truncate(0);
      return made;
    },
    observe: (outcome) => inner.observe(outcome),
    reset: (target) => inner.reset(target),
    dispose() {},
    [Symbol.dispose]() {},
  };
  const more = { maxTokens: 70, ignoreEnd: true, adaptive: false } satisfies GenerateOptions;
  const { tokens } = await model.generate([5, 6, 7], { ...more, speculate: 'off' }).complete();
  const result = await tight.generate([5, 6, 7], { ...more, speculate: drafter }).complete();
  expect(result.tokens).toEqual(tokens);
  expect(result.speculation?.drafted).toBeGreaterThan(20);
});

it('passes on a lossy rule, and refuses one that does not fit', async () => {
  using drafter = draftModel(other, { tree: 'chain' });
  const all = { kind: 'threshold', probability: 0 } as const;
  const { speculation } = await run({ speculate: drafter, adaptive: false, verification: all });
  expect(speculation?.acceptanceRate).toBe(1);
  using tree = draftModel(other);
  await expect(run({ speculate: tree, adaptive: false, verification: 'block' })).rejects.toMatchObject({
    code: 'ERR_UNSUPPORTED',
  });
});

describe('sampled drafts', () => {
  it.each(['chain', 'dynamic', 'shape'] as const)('leave the distribution as it is: %s', async (kind) => {
    const sampling = { temperature: 1.3, topK: 3 };
    const trials = 400;
    const tree =
      kind === 'shape'
        ? treeOfPaths([
            [0, 0],
            [1, 0],
          ])
        : kind;
    const ids = model.tokenize(prompt);
    // Tokens 1 to 3; the first is a plain draw, the others come from drafts.
    const chances = new Map<string, number>();
    const visit = async (path: number[], chance: number): Promise<void> => {
      if (path.length === 3) return void chances.set(path.join(), chance);
      const logits = (await model.logits([...ids, ...path])).at(-1) as Float32Array;
      const p = targetProbabilities(logits, sampling);
      for (let token = 0; token < tinyVocabulary; token++) {
        if ((p[token] as number) > 0) await visit([...path, token], chance * (p[token] as number));
      }
    };
    await visit([], 1);
    const counts = new Map<string, number>();
    using drafter = draftModel(other, { tree, sampled: true, depth: 3, maxDraft: 10, width: 2 });
    let drafted = 0;
    for (let seed = 0; seed < trials; seed++) {
      const { tokens, speculation } = await model
        .generate(ids, { ...sampling, seed, maxTokens: 4, ignoreEnd: true, speculate: drafter, adaptive: false })
        .complete();
      const key = tokens.slice(0, 3).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
      drafted += speculation?.drafted ?? 0;
    }
    expect(drafted).toBeGreaterThan(trials);
    expect([...counts.keys()].every((key) => chances.has(key))).toBe(true);
    const keys = [...chances.keys()];
    const p = chiSquaredPValue(
      keys.map((key) => counts.get(key) ?? 0),
      keys.map((key) => chances.get(key) as number),
    );
    expect(p).toBeGreaterThan(1e-6);
  });
});

describe('real models', () => {
  const withDrafts: [name: string, target: () => string | undefined, draft: () => string | undefined][] = [
    ...goldenModels().map(({ name, file }): [string, () => string | undefined, () => string | undefined] => [
      name,
      () => file('F32'),
      () => (name === 'stories260K' ? modelPath('stories260K-draft', 'draft41K-F32.gguf') : undefined),
    ]),
    ['the demo pair', () => fromFolder('target-hf'), () => fromFolder('draft-hf')],
  ];
  const fromFolder = (name: string): string | undefined => {
    const source = modelPath('demo', name);
    if (!source) return undefined;
    const path = join(folder, `${name}.gguf`);
    ggufFromFolder(source).write(path);
    return path;
  };

  it.each(withDrafts)('%s: greedy tokens with every drafter', async (_name, target, draft) => {
    const path = target();
    if (!path) return;
    await using real = await load(path, { device, cacheDType: 'f32' });
    const draftPath = draft();
    await using small = draftPath ? await load(draftPath, { device, cacheDType: 'f32' }) : undefined;
    const generate = async (speculate: Drafter | 'off'): Promise<number[]> => {
      const result = await real
        .generate('Once upon a time', { maxTokens: 48, ignoreEnd: true, speculate, adaptive: false })
        .complete();
      return result.tokens;
    };
    const plain = await generate('off');
    for (const make of Object.values(draftersFor(real.config.layers, small))) {
      using drafter = make();
      expect(await generate(drafter)).toEqual(plain);
    }
  });
});
