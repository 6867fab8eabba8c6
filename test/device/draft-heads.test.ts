// SPDX-License-Identifier: Apache-2.0
/** Medusa, Hydra and EAGLE heads: whatever they guess, the text is that of plain decoding; exact ones are always right. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { firstOf, type LanguageModel, load, loadDraftHeads, promptLookup } from '../../lib/index.js';
import { type Entries, eagleHead, hydraHeads, medusaHeads, writeHeads } from '../support/draft-heads.js';
import { temporaryFolder } from '../support/folder.js';
import { floats } from '../support/safetensors-writer.js';
import { tinyModel, tinyVocabulary } from '../support/tiny-model.js';

const folder = temporaryFolder();
const device = { threads: 1 };
const kinds = ['medusa', 'hydra', 'eagle'] as const;

describe('random draft heads', () => {
  const shape = { dim: 32, vocabulary: tinyVocabulary };
  let model: LanguageModel;

  beforeAll(async () => {
    const path = join(folder, 'random.gguf');
    tinyModel({ seed: 4 }).writer.write(path);
    model = await load(path, { device, chunk: 8 });
    medusaHeads(join(folder, 'medusa'), shape, 3, 2);
    hydraHeads(join(folder, 'hydra'), shape, 3, 2);
    eagleHead(join(folder, 'eagle'), shape);
  });
  afterAll(() => model.dispose());

  // Longer than a chunk of prefill.
  const prompt = 'the quick brown fox';
  for (const kind of kinds) {
    it(`of ${kind}: greedy output is that of plain decoding, and sampled output with the same seed`, async () => {
      using heads = await loadDraftHeads(join(folder, kind), model);
      expect(heads.kind).toBe(kind);
      for (const sampling of [{}, { temperature: 0.9, topP: 0.95, seed: 5 }]) {
        const options = { maxTokens: 40, ignoreEnd: true, ...sampling };
        const { tokens } = await model.generate(prompt, { ...options, speculate: 'off' }).complete();
        for (const drafts of [
          { width: 1, maxDraft: 3 },
          { width: 3, maxDraft: 40 },
        ]) {
          for (const adaptive of [false, true]) {
            using drafter = heads.drafter(drafts);
            const result = await model.generate(prompt, { ...options, speculate: drafter, adaptive }).complete();
            expect(result.tokens).toEqual(tokens);
            expect(result.speculation?.drafted).toBeGreaterThan(0);
          }
        }
      }
      expect(model.cacheStatistics.used).toBe(0);
    });
  }

  it('go on with a sequence whose beginning they have not seen, beside other drafters', async () => {
    const options = { maxTokens: 12, ignoreEnd: true, adaptive: false };
    const expected = (await model.generate(prompt, { ...options, maxTokens: 24, speculate: 'off' }).complete()).tokens;
    for (const kind of kinds) {
      using heads = await loadDraftHeads(join(folder, kind), model);
      using sequence = model.createSequence();
      const begin = await model.generate(prompt, { ...options, speculate: 'off', sequence }).complete();
      using drafter = firstOf(promptLookup({ minNgram: 8, maxNgram: 8 }), heads.drafter());
      const rest = await model.generate([], { ...options, speculate: drafter, sequence }).complete();
      expect([...begin.tokens, ...rest.tokens]).toEqual(expected);
      expect(rest.speculation?.drafted).toBeGreaterThan(0);
    }
  });

  it('are refused where they do not fit', async () => {
    const wide = medusaHeads(join(folder, 'wide'), { ...shape, dim: 64 }, 1, 1);
    await expect(loadDraftHeads(wide, model)).rejects.toMatchObject({ code: 'ERR_INVALID_MODEL' });
    const eagle = eagleHead(join(folder, 'wide-eagle'), { ...shape, dim: 64 });
    await expect(loadDraftHeads(eagle, model)).rejects.toMatchObject({ code: 'ERR_INVALID_MODEL' });
    const other = writeHeads(join(folder, 'other'), 'model.safetensors', {}, new Map([['x', floats([1], [0])]]));
    await expect(loadDraftHeads(other, model)).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED' });
    const pickled = join(folder, 'pickled');
    mkdirSync(pickled);
    writeFileSync(join(pickled, 'config.json'), '{}');
    writeFileSync(join(pickled, 'medusa_lm_head.pt'), '');
    await expect(loadDraftHeads(pickled, model)).rejects.toThrow(/safetensors/);
    await expect(loadDraftHeads(join(folder, 'nowhere'), model)).rejects.toMatchObject({ code: 'ERR_IO' });

    await using second = await load(join(folder, 'random.gguf'), { device });
    for (const kind of kinds) {
      const heads = await loadDraftHeads(join(folder, kind), model);
      using drafter = heads.drafter();
      const run = second.generate(prompt, { speculate: drafter }).complete();
      await expect(run).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
      expect(() => heads.drafter({ width: 0 })).toThrow(/width/);
      heads.dispose();
      expect(() => heads.drafter()).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
    }
  });
});

/** Every token is one direction of the residual stream, to which the layers add nothing; token t is followed by t + 1. */
describe('draft heads of a model that counts', () => {
  const dim = 128;
  const shape = { dim, vocabulary: tinyVocabulary };
  const ahead =
    (steps: number): Entries =>
    (row, column) =>
      column < tinyVocabulary && row === (column + steps) % tinyVocabulary ? 1 : 0;
  const identity: Entries = (row, column) => (row === column ? 1 : 0);
  let model: LanguageModel;

  const filled = ([rows = 1, columns = 1]: readonly number[], entries: Entries): Float32Array =>
    Float32Array.from({ length: rows * columns }, (_, i) => entries(Math.floor(i / columns), i % columns));

  beforeAll(async () => {
    const path = join(folder, 'counting.gguf');
    tinyModel({
      dim,
      valuesOf: (name, size) => {
        if (name === 'token_embd.weight') return filled(size, identity);
        if (name === 'output.weight') return filled(size, ahead(1));
        if (name === 'output_norm.weight') return new Float32Array(dim).fill(1);
        return /attn_output|ffn_down/.test(name) ? filled(size, () => 0) : undefined;
      },
    }).writer.write(path);
    model = await load(path, { device });
  });
  afterAll(() => model.dispose());

  const exact: Record<string, (path: string) => string> = {
    // Head i knows the token that the features belong to, and says what comes i + 2 places later.
    medusa: (path) => medusaHeads(path, shape, 4, 1, (head) => ahead(head + 2)),
    // Head i looks at the token before its own only, the last of the parts side by side.
    hydra: (path) =>
      hydraHeads(path, shape, 4, 2, {
        skip: (head) => (row, column) => 10 * identity(row, column - (head + 1) * dim),
        output: ahead(1),
      }),
    'eagle, by the token': (path) => eagleHead(path, shape, (row, column) => 10 * identity(row, column)),
    'eagle, by the features': (path) =>
      eagleHead(path, shape, (row, column) => (column < dim ? 0 : ahead(1)(row, column - dim))),
  };
  for (const [name, write] of Object.entries(exact)) {
    it(`${name}: every guess is right, on chains and in trees`, async () => {
      using heads = await loadDraftHeads(write(join(folder, `exact ${name}`)), model);
      for (const width of [1, 3]) {
        using drafter = heads.drafter({ width, depth: 4, maxDraft: width === 1 ? 4 : 24 });
        const result = await model
          .generate([5, 6, 7], { maxTokens: 41, ignoreEnd: true, speculate: drafter, adaptive: false })
          .complete();
        expect(result.tokens).toEqual(Array.from({ length: 41 }, (_, i) => (8 + i) % tinyVocabulary));
        // The first token comes with the prompt, then five with each pass; the last tree may be cut short.
        expect(result.speculation?.passes).toBe(8);
        expect(result.speculation?.accepted).toBeGreaterThanOrEqual(width === 1 ? 32 : 31);
      }
    });
  }
});
