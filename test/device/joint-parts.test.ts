// SPDX-License-Identifier: Apache-2.0
/** Generations that draft with parts of their model, or with heads on it: they do that in the same steps of these. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  Device,
  type Drafter,
  type DraftHeads,
  type GenerateOptions,
  type LanguageModel,
  load,
  loadDraftHeads,
  merged,
  selfSpeculation,
  Tensor,
} from '../../lib/index.js';
import { HeadSteps } from '../../lib/speculate/heads/headsteps.js';
import { ModelSteps } from '../../lib/speculate/modelsteps.js';
import { draftedOutcome, draftingWork, endInMidDraft, partDrafters, waysToEnd } from '../bodies/joint-drafting.js';
import { sequencesOf } from '../support/batches.js';
import { eagleHead, hydraHeads, medusaHeads } from '../support/draft-heads.js';
import { temporaryFolder } from '../support/folder.js';
import { randomNumbers } from '../support/random.js';
import { tinyText as ids, tinyModel, tinyVocabulary } from '../support/tiny-model.js';

const folder = temporaryFolder();
const path = join(folder, 'model.gguf');
const dim = 32;
const device = Device.cpu({ threads: 2 });
let model: LanguageModel;
let heads: Record<'medusa' | 'hydra' | 'eagle', DraftHeads>;

beforeAll(async () => {
  tinyModel({ seed: 6, layers: 3, dim, context: 512 }).writer.write(path);
  // An EAGLE head drafts from the features of as much of the prompt as is computed for it.
  model = await load(path, { device, cacheDType: 'f32', cacheTokens: 8192, prefixCache: false });
  const shape = { dim, vocabulary: tinyVocabulary };
  heads = {
    medusa: await loadDraftHeads(medusaHeads(join(folder, 'medusa'), shape, 3, 2), model),
    hydra: await loadDraftHeads(hydraHeads(join(folder, 'hydra'), shape, 3, 2), model),
    eagle: await loadDraftHeads(eagleHead(join(folder, 'eagle'), shape), model),
  };
});
afterAll(async () => {
  for (const each of Object.values(heads)) each.dispose();
  await model[Symbol.asyncDispose]();
  device.dispose();
});

const kinds = partDrafters(() => heads);
type Kind = (typeof kinds)[string];

const outcomeOf = (seed: number, { make, options }: Kind, more: GenerateOptions = {}) =>
  draftedOutcome(model, ids(5 + 7 * seed, seed), make, { maxTokens: 16, seed, ...options, ...more });

describe('generations that draft with parts of their model', () => {
  it.each(Object.entries(kinds))('share the steps of these, bit for bit as alone: %s', async (name, kind) => {
    const seeds = [1, 2, 3];
    const alone = await draftingWork(async () => {
      const outcomes: unknown[] = [];
      for (const seed of seeds) outcomes.push(await outcomeOf(seed, kind));
      return outcomes;
    });
    const together = await draftingWork(() => Promise.all(seeds.map((seed) => outcomeOf(seed, kind))));
    expect(together.result).toEqual(alone.result);
    expect(Math.max(...alone.steps)).toBe(1);
    expect(Math.max(...together.steps)).toBeGreaterThan(1);
    expect(together.steps.length).toBeLessThan(0.9 * alone.steps.length);
    if (/heads/.test(name)) expect(together.linears).toBeLessThan(0.9 * alone.linears);
    for (const [i, seed] of seeds.entries()) {
      const { tokens } = together.result[i] as { tokens: number[] };
      const all = { maxTokens: 16, ignoreEnd: true, seed, ...kind.options, speculate: 'off' } as const;
      expect(tokens).toEqual((await model.generate(ids(5 + 7 * seed, seed), all).complete()).tokens);
    }
    expect(model.cacheStatistics.used).toBe(0);
  });

  it.each(Object.entries(kinds))('have as many steps as one would, when all go alike: %s', async (name, kind) => {
    const alone = await draftingWork(() => outcomeOf(2, kind));
    const together = await draftingWork(() => Promise.all([outcomeOf(2, kind), outcomeOf(2, kind)]));
    expect(together.result).toEqual([alone.result, alone.result]);
    // But for the beginning, when the other one does not draft yet, and the end.
    expect(together.steps.length).toBeLessThan(1.5 * alone.steps.length);
    if (alone.linears > 0) expect(together.linears).toBeLessThan(1.5 * alone.linears);
    expect(alone.linears > 0).toBe(/heads/.test(name));
  });

  it('share what they can, whatever each of them drafts with', async () => {
    const all = Object.values(kinds).flatMap((kind, i) => [i, i + 1].map((seed) => () => outcomeOf(seed, kind)));
    const alone: unknown[] = [];
    for (const one of all) alone.push(await one());
    const { result, steps } = await draftingWork(() => Promise.all(all.map((one) => one())));
    expect(result).toEqual(alone);
    expect(Math.max(...steps)).toBeGreaterThan(1);
  });

  it('take the nodes of their drafts out of the cache again', async () => {
    const part = () => selfSpeculation({ exitLayer: 1, maxDraft: 4 });
    const once = await outcomeOf(3, { make: part });
    const twice = await outcomeOf(3, { make: () => merged(part(), part()) });
    const tokensOf = ({ drafts }: typeof once) => drafts.map(({ tokens }) => tokens);
    expect(tokensOf(twice)).toEqual(tokensOf(once));
  });

  it('leave each other pages as long as plain decoding has room', async () => {
    // Of 16 tokens each, three for each generation: 48 are what plain decoding comes to.
    await using tight = await load(path, { device, cacheDType: 'f32', cacheTokens: 4 * 48, prefixCache: false });
    const options = { maxTokens: 40, ignoreEnd: true, adaptive: false } satisfies GenerateOptions;
    for (const drafts of [{ maxDraft: 12 }, { maxDraft: 12, confidence: 1e-30 }]) {
      const running = [1, 2, 3, 4].map(async (seed) => {
        using speculate = selfSpeculation({ exitLayer: 1, ...drafts });
        return (await tight.generate(ids(8, seed), { ...options, speculate }).complete()).tokens;
      });
      for (const [i, tokens] of (await Promise.all(running)).entries()) {
        const plain = await model.generate(ids(8, i + 1), { ...options, speculate: 'off' }).complete();
        expect(tokens).toEqual(plain.tokens);
      }
      expect(tight.cacheStatistics.used).toBe(0);
    }
  });

  it('free what drafting took', async () => {
    const once = () => Promise.all(Object.values(kinds).map((kind, seed) => outcomeOf(seed, kind)));
    for (let i = 0; i < 2; i++) await once();
    const before = device.bytesInUse;
    for (let i = 0; i < 3; i++) await once();
    expect(device.bytesInUse).toBe(before);
  });
});

describe('what one of them does', () => {
  it.each(Object.entries(kinds))('in mid-draft does not reach the others: %s', async (_name, kind) => {
    const others = () => Promise.all([1, 2].map((seed) => outcomeOf(seed, kind)));
    const expected = await others();
    const before = device.bytesInUse;
    for (const way of waysToEnd) {
      for (const after of [0, 1, 2, 3, 5, 8]) {
        const running = others();
        using sequence = model.createSequence();
        using drafter = kind.make();
        const given = { sequence, drafter, prompt: ids(9) };
        const { beside, steps } = await endInMidDraft(model, given, way, after, running);
        expect(beside).toEqual(expected);
        await steps.return().catch(() => {});
        // Nodes of the draft are not left behind.
        if (way !== 'dispose the sequence') expect(sequence.kv.length).toBeLessThanOrEqual(sequence.length);
      }
    }
    expect(model.cacheStatistics.used).toBe(0);
    expect(device.bytesInUse).toBe(before);
  });

  it.each(['a part', 'heads'])('by disposing the model ends all of them: %s', async (what) => {
    const other = await load(path, { device, cacheDType: 'f32' });
    using heads = await loadDraftHeads(join(folder, 'hydra'), other);
    const make = (): Drafter => (what === 'heads' ? heads.drafter() : selfSpeculation({ exitLayer: 1 }));
    const running = [1, 2, 3].map((seed) => draftedOutcome(other, ids(6, seed), make, { maxTokens: 400 }));
    const settled = Promise.allSettled(running);
    for (let i = 0; i < 40; i++) await new Promise(setImmediate);
    other.dispose();
    for (const result of await settled) expect(result).toMatchObject({ reason: { code: 'ERR_DISPOSED' } });
  });
});

describe('a joint step', () => {
  it('is for those that read the same heads, and computes rows bit for bit as alone', async () => {
    const of = vi.spyOn(HeadSteps, 'of');
    await outcomeOf(1, kinds['Medusa heads'] as Kind);
    const steps = of.mock.results[0]?.value as HeadSteps;
    of.mockRestore();
    const rows = [1, 3, 2, 1, 16, 16, 16, 16].map((count, seed) => ({
      first: 0,
      end: seed === 2 ? 2 : 3,
      count,
      inputs: Tensor.from(device, randomNumbers(count * dim, { seed }), [count, dim], 'f32'),
      use: (logits: Tensor<'f32'>) => logits.read(device.defaultStream),
    }));
    const members = rows.map(() => steps.join());
    const draft = (i: number) => {
      const member = members[i] as (typeof members)[number];
      return member.draft(() => member.step(rows[i] as (typeof rows)[number]));
    };
    const alone: unknown[] = [];
    for (const i of rows.keys()) alone.push(await draft(i));
    const together = await draftingWork(() => Promise.all(rows.map((_, i) => draft(i))));
    // One asks fewer heads, and a step has 64 rows.
    expect(together.steps).toEqual([6, 1, 1]);
    expect(together.result).toEqual(alone);
    expect((alone[1] as Float32Array).length).toBe(3 * 3 * tinyVocabulary);
    for (const held of [...members, ...rows.map(({ inputs }) => inputs)]) held.dispose();
  });

  it('gives all of them what they read of it at the same time, and what failed to those that failed', async () => {
    const { runner } = model.parts();
    const steps = ModelSteps.of(runner);
    const arrived: number[] = [];
    let arrive!: (value: number) => void;
    const late = new Promise<number>((resolve) => {
      arrive = resolve;
    });
    const results = [Promise.resolve(0), late, Promise.reject(new Error('of one alone'))];
    const members = results.map(() => steps.join());
    const sequences = results.map(() => runner.cache.sequence());
    const drafts = results.map(async (result, i) => {
      const member = members[i] as (typeof members)[number];
      const kv = sequences[i] as (typeof sequences)[number];
      const rows = { kv, ids: Int32Array.of(5), count: 1, outputs: 1, use: () => result };
      await member.draft(() => member.step(rows)).finally(() => arrived.push(i));
    });
    const settled = Promise.allSettled(drafts);
    for (let i = 0; i < 3; i++) await new Promise(setImmediate);
    const early = [...arrived];
    arrive(1);
    expect((await settled).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect(early).toEqual([]);
    for (const held of [...sequences, ...members]) held.dispose();
    expect(model.cacheStatistics.used).toBe(0);
  });

  it('is for those that draft with the same part of a model', async () => {
    const { runner } = model.parts();
    const members = Array.from({ length: 4 }, () => ModelSteps.of(runner).join());
    const sequences = members.map(() => runner.cache.sequence());
    const parts = [{ layers: [0] }, { layers: [0, 1, 2], window: 8, sinkTokens: 0 }, { layers: [0] }, undefined];
    const draft = (i: number) => {
      const member = members[i] as (typeof members)[number];
      const kv = sequences[i] as (typeof sequences)[number];
      const use = (logits: Tensor<'f32'>) => logits.read(runner.stream);
      const ids = Int32Array.of(5, 6, 7 + i);
      return member.draft(() => member.step({ kv, ids, count: 3, outputs: 1, part: parts[i], use }));
    };
    const alone: unknown[] = [];
    for (const [i, kv] of sequences.entries()) {
      alone.push(await draft(i));
      kv.truncate(0);
    }
    const forward = vi.spyOn(runner, 'forward');
    expect(await Promise.all(parts.map((_, i) => draft(i)))).toEqual(alone);
    expect(forward.mock.calls.map(([batch]) => sequencesOf(batch))).toEqual([2, 1, 1]);
    expect(alone[0]).not.toEqual(alone[2]);
    forward.mockRestore();
    for (const held of [...sequences, ...members]) held.dispose();
  });
});
