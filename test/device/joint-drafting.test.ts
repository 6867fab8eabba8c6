// SPDX-License-Identifier: Apache-2.0
/** Generations with draft models of their own of one and the same loaded model: they draft in the same steps of it. */
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
  promptLookup,
} from '../../lib/index.js';
import { LlamaRunner } from '../../lib/model/llama.js';
import { type DraftRows, ModelSteps } from '../../lib/speculate/modelsteps.js';
import { endInMidDraft, waysToEnd } from '../bodies/joint-drafting.js';
import { sequencesOf } from '../support/batches.js';
import { temporaryFolder } from '../support/folder.js';
import { tinyText as ids, tinyModel } from '../support/tiny-model.js';

const folder = temporaryFolder();
const device = Device.cpu({ threads: 2 });
let model: LanguageModel;
let small: LanguageModel;

beforeAll(async () => {
  tinyModel({ seed: 3, layers: 2, context: 512 }).writer.write(join(folder, 'target.gguf'));
  tinyModel({ seed: 4, layers: 1, context: 512 }).writer.write(join(folder, 'small.gguf'));
  const options = { device, cacheDType: 'f32', cacheTokens: 8192 } as const;
  model = await load(join(folder, 'target.gguf'), options);
  small = await load(join(folder, 'small.gguf'), options);
});
afterAll(async () => {
  for (const loaded of [model, small]) await loaded[Symbol.asyncDispose]();
  device.dispose();
});

interface Kind {
  make: (draft?: LanguageModel) => Drafter;
  options?: GenerateOptions;
}

const hot = { temperature: 1.1 } satisfies GenerateOptions;
const kinds: Record<string, Kind> = {
  'a chain': { make: (draft = small) => draftModel(draft, { tree: 'chain', maxDraft: 5 }) },
  'a chain that is sure of itself': { make: () => draftModel(small, { tree: 'chain', confidence: 0.02 }) },
  'a chain drawn by chance': {
    make: () => draftModel(small, { tree: 'chain', sampled: true, maxDraft: 3 }),
    options: hot,
  },
  'a fixed tree': { make: () => draftModel(small, { tree: optimalTree([0.5, 0.2, 0.1], { nodes: 9 }) }), options: hot },
  'a growing tree': { make: () => draftModel(small, { width: 3 }) },
  'a growing tree drawn by chance': {
    make: () => draftModel(small, { sampled: true, maxDraft: 7, width: 2 }),
    options: hot,
  },
  'the first of several': {
    make: () => firstOf(promptLookup({ minNgram: 3 }), draftModel(small, { tree: 'chain', maxDraft: 4 })),
  },
};

async function outcomeOf(seed: number, { make, options }: Kind, more: GenerateOptions = {}) {
  using drafter = make();
  const all = { ignoreEnd: true, maxTokens: 14, adaptive: false, seed, ...options, ...more, speculate: drafter };
  // Some prompts are longer than what drafters compute in company.
  const { tokens, speculation } = await model.generate(ids(5 + 17 * (seed % 3), seed), all).complete();
  const { passes, drafted, accepted } = speculation ?? {};
  return { tokens, passes, drafted, accepted };
}

/** Steps of the draft model, and most sequences in one, while something runs. */
async function drafting<T>(run: () => Promise<T>): Promise<{ result: T; steps: number; most: number }> {
  const { runner } = small.parts();
  const sizes: number[] = [];
  const { forward } = LlamaRunner.prototype;
  const spy = vi.spyOn(LlamaRunner.prototype, 'forward').mockImplementation(function (this: LlamaRunner, ...args) {
    if (this === runner) sizes.push(sequencesOf(args[0]));
    return forward.apply(this, args);
  });
  try {
    return { result: await run(), steps: sizes.length, most: Math.max(0, ...sizes) };
  } finally {
    spy.mockRestore();
  }
}

describe('drafters of one model', () => {
  it.each(Object.entries(kinds))('share its steps, bit for bit as alone: %s', async (_name, kind) => {
    const seeds = [1, 2, 3];
    const alone = await drafting(async () => {
      const outcomes: unknown[] = [];
      for (const seed of seeds) outcomes.push(await outcomeOf(seed, kind));
      return outcomes;
    });
    const together = await drafting(() => Promise.all(seeds.map((seed) => outcomeOf(seed, kind))));
    expect(together.result).toEqual(alone.result);
    expect(alone.most).toBe(1);
    expect(together.most).toBeGreaterThan(1);
    expect(together.steps).toBeLessThan(0.9 * alone.steps);
    for (const used of [model, small]) expect(used.cacheStatistics.used).toBe(0);
  });

  it('share them whatever each of them drafts', async () => {
    const all = Object.values(kinds).map((kind, i) => () => outcomeOf(i, kind));
    const alone: unknown[] = [];
    for (const one of all) alone.push(await one());
    const { result, most } = await drafting(() => Promise.all(all.map((one) => one())));
    expect(result).toEqual(alone);
    expect(most).toBeGreaterThan(2);
  });

  it('have as many steps as one would, when all go alike', async () => {
    const { make } = kinds['a chain'] as Kind;
    const same = () => outcomeOf(2, { make });
    const alone = await drafting(same);
    const together = await drafting(() => Promise.all([same(), same(), same()]));
    expect(together.result).toEqual([alone.result, alone.result, alone.result]);
    expect(together.most).toBe(3);
    // But for the prompt, which each computes by itself, and the beginning, when the others do not draft yet.
    expect(together.steps).toBeLessThan(2 * alone.steps);
  });
});

describe('what one of the drafters does', () => {
  const kind = kinds['a chain'] as Kind;
  const tree = kinds['a growing tree'] as Kind;
  const others = (): Promise<unknown[]> =>
    Promise.all([1, 2, 3].map((seed) => outcomeOf(seed, seed === 2 ? tree : kind)));
  let expected: unknown[];
  beforeAll(async () => {
    expected = await others();
  });

  it.each(waysToEnd)('by its %s in mid-draft does not reach the others', async (way) => {
    for (const after of [0, 1, 2, 5, 9]) {
      const running = others();
      using sequence = model.createSequence();
      using drafter = (after % 2 === 0 ? kind : tree).make();
      const given = { sequence, drafter, prompt: ids(9) };
      const { beside, steps } = await endInMidDraft(model, given, way, after, running);
      expect(beside).toEqual(expected);
      await steps.return();
    }
    for (const used of [model, small]) expect(used.cacheStatistics.used).toBe(0);
  });

  it('by disposing the model that all draft with ends all of them', async () => {
    const draft = await load(join(folder, 'small.gguf'), { device, cacheDType: 'f32' });
    const running = [1, 2, 3].map((seed) => outcomeOf(seed, { make: () => kind.make(draft) }, { maxTokens: 400 }));
    const settled = Promise.allSettled(running);
    for (let i = 0; i < 40; i++) await new Promise(setImmediate);
    draft.dispose();
    for (const result of await settled) expect(result).toMatchObject({ reason: { code: 'ERR_DISPOSED' } });
    expect(model.cacheStatistics.used).toBe(0);
  });
});

describe('a joint step', () => {
  const rowsOf = <T>(kv: DraftRows<T>['kv'], tokens: number[], use: DraftRows<T>['use']): DraftRows<T> => ({
    kv,
    ids: Int32Array.from(tokens),
    count: tokens.length,
    outputs: 1,
    use,
  });

  it('goes on without those that fail, are gone or have no room, and waits for nobody for ever', async () => {
    await using tight = await load(join(folder, 'small.gguf'), { device, cacheDType: 'f32', cacheTokens: 64 });
    const { runner } = tight.parts();
    const members = Array.from({ length: 6 }, () => ModelSteps.of(runner).join());
    const sequences = members.map(() => runner.cache.sequence());
    const draft = (i: number) => {
      const member = members[i] as (typeof members)[number];
      const rows = rowsOf(sequences[i] as (typeof sequences)[number], [5, 6 + i], (logits) => {
        if (i === 1) throw new Error('of one alone');
        return logits.read(runner.stream);
      });
      return member.draft(() => member.step(rows));
    };
    const forward = vi.spyOn(runner, 'forward');
    // The last one drafts nothing; there are four pages for five.
    const drafts = [0, 1, 2, 3, 4].map(draft);
    sequences[2]?.dispose();
    const ballast = runner.cache.sequence();
    ballast.reserve(16);
    const [first, failed, gone, third, full] = await Promise.allSettled(drafts);
    expect(forward.mock.calls.map(([batch]) => sequencesOf(batch))).toEqual([3]);
    expect(failed).toMatchObject({ status: 'rejected', reason: { message: 'of one alone' } });
    for (const none of [gone, full]) expect(none).toEqual({ status: 'fulfilled', value: undefined });
    for (const [i, one] of [
      [0, first],
      [3, third],
    ] as const) {
      const [, expected] = await small.logits([5, 6 + i]);
      expect(one).toEqual({ status: 'fulfilled', value: expected });
    }
    for (const held of [ballast, ...sequences, ...members]) held.dispose();
    expect(tight.cacheStatistics.used).toBe(0);
  });
});
