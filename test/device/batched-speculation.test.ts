// SPDX-License-Identifier: Apache-2.0
/** Generations that speculate in company: drafts of all kinds in the same steps, and each gives what it gives alone. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Device,
  type Drafter,
  type DrawnLogprob,
  draftModel,
  type GenerateOptions,
  type LanguageModel,
  type LoadOptions,
  load,
  merged,
  optimalTree,
  promptLookup,
  selfSpeculation,
  suffixLookup,
  tokenRecycling,
} from '../../lib/index.js';
import { guessing, knowing, knowingTree } from '../bodies/batching.js';
import { temporaryFolder } from '../support/folder.js';
import { tinyText as ids, tinyModel, tinyVocabulary } from '../support/tiny-model.js';

const folder = temporaryFolder();
const device = Device.cpu({ threads: 2 });
const paths = { target: join(folder, 'target.gguf'), small: join(folder, 'small.gguf') };
let model: LanguageModel;
let small: LanguageModel;

const open = (options: LoadOptions = {}): Promise<LanguageModel> =>
  load(paths.target, { device, cacheDType: 'f32', cacheTokens: 8192, chunk: 128, ...options });

beforeAll(async () => {
  tinyModel({ seed: 3, layers: 3, context: 512 }).writer.write(paths.target);
  tinyModel({ seed: 4, layers: 1, context: 512 }).writer.write(paths.small);
  model = await open();
  small = await load(paths.small, { device, cacheDType: 'f32', cacheTokens: 8192 });
});
afterAll(async () => {
  for (const loaded of [model, small]) await loaded[Symbol.asyncDispose]();
  device.dispose();
});

const repeating = (length: number, seed: number): number[] => Array.from({ length }, (_, i) => 4 + ((i * seed) % 5));

interface Kind {
  drafter?: () => Drafter;
  options?: GenerateOptions;
}

const sampled = { temperature: 0.9, topP: 0.95 } satisfies GenerateOptions;

/** Every way to draft, to draw and to judge. */
const kinds: Record<string, Kind> = {
  'chain, greedy': { drafter: () => promptLookup({ minNgram: 1 }) },
  'chain, sampled': { drafter: () => promptLookup({ minNgram: 1 }), options: { ...sampled, logprobs: 0 } },
  'tree, greedy': { drafter: () => merged(suffixLookup({ minMatch: 1 }), tokenRecycling()), options: { logprobs: 0 } },
  'tree, sampled': { drafter: () => tokenRecycling(), options: sampled },
  'tree with penalties': {
    drafter: () => tokenRecycling(),
    options: { repetitionPenalty: 1.3, presencePenalty: 0.2, temperature: 0.8 },
  },
  'chain of a model, known to the device': { drafter: () => draftModel(small, { tree: 'chain', maxDraft: 5 }) },
  'tree of a model, known to the device': {
    drafter: () => draftModel(small, { tree: optimalTree([0.5, 0.2, 0.1], { nodes: 9 }) }),
    options: sampled,
  },
  'chain drawn by chance': {
    drafter: () => draftModel(small, { tree: 'chain', sampled: true, maxDraft: 4 }),
    options: sampled,
  },
  'tree drawn by chance': {
    drafter: () => draftModel(small, { sampled: true, maxDraft: 7, width: 2 }),
    options: { temperature: 1.2 },
  },
  'a part of the model': { drafter: () => selfSpeculation({ exitLayer: 2, maxDraft: 3 }), options: { logprobs: 0 } },
  'rejection of a chain': {
    drafter: () => promptLookup({ minNgram: 1 }),
    options: { ...sampled, verification: 'rejection' },
  },
  'block verification': {
    drafter: () => promptLookup({ minNgram: 1 }),
    options: { ...sampled, verification: 'block' },
  },
  'typical acceptance': {
    drafter: () => tokenRecycling(),
    options: { ...sampled, verification: { kind: 'typical' } },
  },
  'no draft': { options: { logprobs: 1, temperature: 0.5 } },
};

async function outcomeOf(on: LanguageModel, prompt: number[], options: GenerateOptions) {
  const generation = on.generate(prompt, options);
  const logprobs: DrawnLogprob[] = [];
  for await (const chunk of generation) logprobs.push(...(chunk.logprobs ?? []));
  const { tokens, text, speculation } = await generation.result;
  const { passes, drafted, accepted } = speculation ?? {};
  return { tokens, text, logprobs, passes, drafted, accepted };
}

describe('generations that verify drafts in the same steps', () => {
  it('give bit for bit what each gives alone, whatever they draft and however that is judged', async () => {
    const all = Object.values(kinds).map(({ drafter, options }, i) => ({
      prompt: i % 3 === 2 ? ids(70 + 30 * i, i) : repeating(8 + i, 1 + (i % 4)),
      options: { ignoreEnd: true, maxTokens: 16 + i, seed: i, adaptive: false, ...options } satisfies GenerateOptions,
      make: drafter,
    }));
    const one = async ({ prompt, options, make }: (typeof all)[number]) => {
      using drafter = make?.();
      return outcomeOf(model, prompt, { ...options, speculate: drafter ?? 'off' });
    };
    const alone: Awaited<ReturnType<typeof one>>[] = [];
    for (const each of all) alone.push(await one(each));
    const before = model.batchStatistics;
    const together = await Promise.all(all.map(one));
    for (const [i, name] of Object.keys(kinds).entries()) expect(together[i], name).toEqual(alone[i]);
    const after = model.batchStatistics;
    expect(after.mostVerified).toBeGreaterThan(4);
    expect(after.steps - before.steps).toBeLessThan(before.steps / 3);
    for (const used of [model, small]) expect(used.cacheStatistics.used).toBe(0);
  });

  it("take turns where a step has not enough rows for all, and nobody's draft is cut", async () => {
    const run = async (i: number) => {
      const prompt = ids(6, i);
      const { tokens } = await outcomeOf(model, prompt, { ignoreEnd: true, maxTokens: 90, speculate: 'off' });
      const speculate = knowing([...prompt, ...tokens], 40);
      return { prompt, options: { ignoreEnd: true, maxTokens: 90, speculate, adaptive: false } };
    };
    const requests = [await run(1), await run(2), await run(3)];
    const alone: unknown[] = [];
    for (const { prompt, options } of requests) alone.push(await outcomeOf(model, prompt, options));
    const company = model.generate(ids(300), { ignoreEnd: true, maxTokens: 20, speculate: 'off' }).complete();
    expect(await Promise.all(requests.map(({ prompt, options }) => outcomeOf(model, prompt, options)))).toEqual(alone);
    await company;
  });

  it('do what pays, when they are adaptive', async () => {
    await using fresh = await open();
    const prompts = [1, 2, 3].map((seed) => ids(9, seed));
    const options = { ignoreEnd: true, maxTokens: 120 } satisfies GenerateOptions;
    const plain: number[][] = [];
    for (const prompt of prompts) plain.push((await outcomeOf(model, prompt, { ...options, speculate: 'off' })).tokens);
    const results = await Promise.all(
      prompts.map((prompt, i) => {
        const text = [...prompt, ...(plain[i] as number[])];
        const speculate = i === 1 ? knowingTree(text) : knowing(text, 8);
        return fresh.generate(prompt, { ...options, speculate }).complete();
      }),
    );
    expect(results.map(({ tokens }) => tokens)).toEqual(plain);
    for (const { speculation } of results) {
      expect(speculation?.sharedPasses).toBeGreaterThan(0);
      expect(speculation?.timeSaved).toBeTypeOf('number');
    }
    const { sharedVerifications, accepted, drafted, mostVerified } = fresh.batchStatistics;
    expect(sharedVerifications).toBeGreaterThan(0);
    expect(mostVerified).toBeGreaterThan(1);
    expect(accepted).toBe(results.reduce((sum, { speculation }) => sum + (speculation?.accepted ?? 0), 0));
    expect(drafted).toBe(results.reduce((sum, { speculation }) => sum + (speculation?.drafted ?? 0), 0));
  });
});

describe('what one does in mid-draft', () => {
  const prompts = [1, 2, 3, 4].map((seed) => ids(8 + seed, seed));
  const options = { ignoreEnd: true, maxTokens: 60, adaptive: false } satisfies GenerateOptions;
  let plain: number[][];
  beforeAll(async () => {
    plain = [];
    for (const prompt of prompts) plain.push((await outcomeOf(model, prompt, { ...options, speculate: 'off' })).tokens);
  });
  const drafterOf = (i: number): Drafter => {
    const text = [...(prompts[i] as number[]), ...(plain[i] as number[])];
    return i % 2 === 0 ? knowing(text) : knowingTree(text);
  };
  const others = (on = model): Promise<number[][]> =>
    Promise.all(
      prompts.slice(1).map(async (prompt, i) => {
        return (await outcomeOf(on, prompt, { ...options, speculate: drafterOf(i + 1) })).tokens;
      }),
    );

  it.each(['return', 'abort', 'dispose'] as const)('by its %s does not reach the others', async (way) => {
    for (const after of [2, 3, 6]) {
      const running = others();
      const controller = new AbortController();
      using sequence = model.createSequence();
      const { signal } = controller;
      const generation = model.generate(prompts[0] as number[], {
        ...options,
        sequence,
        signal,
        speculate: drafterOf(0),
      });
      const steps = generation[Symbol.asyncIterator]();
      for (let i = 0; i < after; i++) await steps.next();
      const next = steps.next(); // under way
      next.catch(() => {});
      for (let i = 0; i < after; i++) await new Promise(setImmediate);
      if (way === 'return') await steps.return();
      if (way === 'abort') controller.abort(new Error('enough'));
      if (way === 'dispose') sequence.dispose();
      await expect(running).resolves.toEqual(plain.slice(1));
      await next.catch(() => {});
      if (way !== 'dispose') {
        const { tokens } = sequence;
        expect(tokens).toEqual([...(prompts[0] as number[]), ...(plain[0] as number[])].slice(0, tokens.length));
      }
    }
    expect(model.cacheStatistics.used).toBe(0);
  });

  it('by ending before its step begins does not take a draft on the device from that', async () => {
    const prompt = ids(3);
    for (let between = 0; between < 24; between++) {
      const controller = new AbortController();
      using drafter = selfSpeculation({ exitLayer: 1, maxDraft: 3 });
      const { signal } = controller;
      const aborted = model.generate(prompt, { ...options, speculate: drafter, signal }).complete();
      aborted.catch(() => {});
      // A step begins as soon as this one asks for its next draft, which is when the other one is on its way out.
      const speculate = guessing([], () => ({ tokens: [9] }));
      const generation = model.generate(prompt, { ...options, maxTokens: 6, speculate });
      let chunks = 0;
      for await (const _ of generation) {
        if (++chunks !== 3) continue;
        for (let i = 0; i < 12; i++) await undefined;
        controller.abort(new Error('enough'));
        for (let i = 0; i < between; i++) await undefined;
      }
      expect((await generation.result).tokens).toHaveLength(6);
      await expect(aborted).rejects.toThrow('enough');
    }
  });

  it('by disposing its drafter goes on without drafts', async () => {
    for (let after = 0; after < 8; after++) {
      const drafter = selfSpeculation({ exitLayer: 2, maxDraft: 5, confidence: 1e-9 });
      const tokens: number[] = [];
      for await (const chunk of model.generate(prompts[0] as number[], { ...options, speculate: drafter })) {
        if (tokens.length === 0) {
          void (async () => {
            for (let i = 0; i < after; i++) await new Promise(setImmediate);
            drafter.dispose();
          })();
        }
        tokens.push(...chunk.tokens);
      }
      expect(tokens).toEqual(plain[0]);
    }
  });

  it('by a draft that is none fails it alone', async () => {
    const bad: [string, GenerateOptions][] = [
      ['ERR_INVALID_TOKEN', { speculate: guessing([], () => ({ tokens: [5, tinyVocabulary] })) }],
      ['ERR_INVALID_TOKEN', { speculate: guessing([], () => ({ tokens: [5, 0.5] })) }],
      ['ERR_INVALID_ARGUMENT', { speculate: guessing([], () => ({ tokens: [5, 6], parents: [1, -1] })) }],
      ['ERR_INVALID_ARGUMENT', { speculate: { ...knowing([]), draft: () => undefined as never } }],
      ['ERR_INVALID_ARGUMENT', { speculate: { ...knowing([]), draft: async () => ({}) as never } }],
      ['ERR_SHAPE_MISMATCH', { speculate: guessing([], () => ({ tokens: [5, 6], parents: [-1] })) }],
      ['ERR_UNSUPPORTED', { speculate: knowingTree(Array.from({ length: 99 }, () => 5)), verification: 'block' }],
      ['ERR_UNSUPPORTED', { speculate: knowing(Array.from({ length: 99 }, () => 5)), verification: 'k-seq' }],
    ];
    const running = others();
    const failing = bad.map(([, more]) => model.generate(ids(5), { ...options, ...more }).complete());
    const codes = (await Promise.allSettled(failing)).map((result) =>
      result.status === 'rejected' ? (result.reason as { code: string }).code : 'fulfilled',
    );
    expect(codes).toEqual(bad.map(([code]) => code));
    expect(await running).toEqual(plain.slice(1));
    expect(model.cacheStatistics.used).toBe(0);
  });

  it('by filling the cache fails it alone', async () => {
    await using tight = await open({ cacheTokens: 16 * 20 });
    const long = tight
      .generate(ids(8), { ...options, maxTokens: 450, speculate: promptLookup({ minNgram: 1 }) })
      .complete();
    const [results, full] = await Promise.all([others(tight), long.catch((error: { code: string }) => error.code)]);
    expect(results).toEqual(plain.slice(1));
    expect(full).toBe('ERR_CACHE_EXHAUSTED');
    expect(tight.cacheStatistics.used).toBe(0);
  });

  it('when the model is disposed ends at once, and so do those who wait for its draft', async () => {
    const other = await open();
    let begin!: () => void;
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const endless: Drafter = {
      ...knowing([]),
      draft: () => {
        begin();
        return new Promise(() => {});
      },
    };
    const waiting = other.generate(ids(5), { ...options, speculate: 'off' })[Symbol.asyncIterator]();
    await waiting.next();
    const drafting = other.generate(ids(6), { ...options, speculate: endless }).complete();
    await begun;
    const rest = (async () => {
      while (!(await waiting.next()).done);
    })();
    const both = Promise.allSettled([drafting, rest]);
    await new Promise(setImmediate);
    other.dispose();
    for (const result of await both) expect(result).toMatchObject({ reason: { code: 'ERR_DISPOSED' } });
  });

  it('by taking long to draft does not keep the others waiting', async () => {
    let isDone = false;
    const slow: Drafter = {
      ...knowing([]),
      draft: async () => {
        while (!isDone) await new Promise((resolve) => setTimeout(resolve, 5));
        return { tokens: [] };
      },
    };
    const waiting = model.generate(ids(5), { ...options, maxTokens: 6, speculate: slow }).complete();
    expect(await others()).toEqual(plain.slice(1));
    isDone = true;
    expect((await waiting).tokens.length).toBe(6);
  });
});

it('frees what verification of several took', async () => {
  const once = () =>
    Promise.all(
      Object.values(kinds).map(async ({ drafter: make, options }, i) => {
        using drafter = make?.();
        const more = { ignoreEnd: true, maxTokens: 10, adaptive: false, ...options };
        await model.generate(repeating(9, i), { ...more, speculate: drafter ?? 'off' }).complete();
      }),
    );
  for (let i = 0; i < 2; i++) await once();
  const before = device.bytesInUse;
  for (let i = 0; i < 3; i++) await once();
  expect(device.bytesInUse).toBe(before);
});
