// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  adaptiveNgrams,
  Device,
  type Drafter,
  draftModel,
  estimateMemory,
  firstOf,
  type GenerateOptions,
  GgufFile,
  type LoadOptions,
  load,
  loadDraftHeads,
  lookahead,
  merged,
  PagewarpError,
  perplexity,
  promptLookup,
  selfSpeculation,
  suffixLookup,
  supports,
  tokenizerFromJson,
  tokenRecycling,
  treeOfPaths,
} from '../../lib/index.js';
import { temporaryFolder } from '../support/folder.js';
import { tinyModel, tinyVocabulary } from '../support/tiny-model.js';

const path = join(temporaryFolder(), 'tiny.gguf');
const nonsense: unknown[] = [null, Number.NaN, -1, 1.5, 'a', '', 1n, {}, [], () => 1, true];

beforeAll(() => tinyModel().writer.write(path));

/** Resolves if `run` gives a result or a typed error. */
async function typed(name: string, run: () => Promise<unknown>): Promise<void> {
  await run().catch((error: unknown) => {
    if (!(error instanceof PagewarpError)) throw new Error(`${name}: ${(error as Error).stack}`);
    expect(error.code, name).not.toBe('ERR_INTERNAL');
  });
}

describe('options of the wrong type', () => {
  it('give typed errors from generate()', async () => {
    await using model = await load(path, { device: { threads: 1 } });
    const names: (keyof GenerateOptions)[] = ['maxTokens', 'temperature', 'seed', 'stop', 'logprobs', 'speculate'];
    for (const name of [...names, 'maxDraft', 'adaptive', 'verification', 'minP', 'sequence', 'signal'] as const) {
      for (const value of nonsense) {
        await typed(name, async () => model.generate('ab', { maxTokens: 2, [name]: value } as never).complete());
      }
    }
    for (const value of nonsense) {
      await typed('prompt', async () => model.generate(value as never, { maxTokens: 2 }).complete());
      await typed('logits', () => model.logits(value as never));
      await typed('logprobs', () => model.logprobs(value as never));
      await typed('tokenize', async () => model.tokenize(value as never));
      await typed('tokenize options', async () => model.tokenize('ab', value as never));
      await typed('detokenize', async () => model.detokenize(value as never));
      await typed('detokenize options', async () => model.detokenize([1], value as never));
      await typed('perplexity', () => perplexity(model, 'abc', value as never));
      await typed('perplexity model', () => perplexity(value as never, 'abc'));
      await typed('perplexity signal', () => perplexity(model, 'abc', { signal: value } as never));
    }
    await expect(model.logprobs('ab' as never)).rejects.toThrow('ids is "ab", but must be an array of token ids');
    expect(model.cacheStatistics.used).toBe(0);
  });

  it('are no options: null, a number and a text are refused where options belong', async () => {
    await using model = await load(path, { device: { threads: 1 } });
    for (const options of [null, 8, 'auto'] as never[]) {
      const error = { code: 'ERR_INVALID_ARGUMENT', message: expect.stringMatching(/^options is .*an object$/) };
      await expect(load(path, options)).rejects.toMatchObject(error);
      await expect(estimateMemory(path, options)).rejects.toMatchObject(error);
      expect(() => model.generate('ab', options)).toThrow(expect.objectContaining(error));
      expect(() => model.chat([{ role: 'user', content: 'ab' }], options)).toThrow(expect.objectContaining(error));
    }
  });

  it('are no options: neither where drafters and devices are made', async () => {
    await using model = await load(path, { device: { threads: 1 } });
    const makers: Record<string, (value: never) => unknown> = {
      ...{ promptLookup, suffixLookup, tokenRecycling, adaptiveNgrams, lookahead, selfSpeculation, firstOf, merged },
      ...{ treeOfPaths, draftModel, tokenizerFromJson, cpu: Device.cpu },
      draftModelOptions: (value) => draftModel(model, value),
      cuda: (value) => Device.cuda(0, value),
      supports: (value) => supports(value, 'attention', { headDim: 64 }),
    };
    for (const [name, make] of Object.entries(makers)) {
      for (const value of [null, 8, 'nothing'] as never[]) {
        expect(() => make(value), `${name}(${value})`).toThrow(
          expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
        );
      }
    }
    for (const [folder, target] of [
      [null, model],
      [path, null],
      [model, path],
    ] as never[][]) {
      const heads = loadDraftHeads(folder as never, target as never);
      await expect(heads).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }
  });

  it('tell of a rule of verification that does not exist, also where no draft comes to be judged', async () => {
    await using model = await load(path, { device: { threads: 1 } });
    for (const verification of ['exact', 'typical', null, {}, { kind: 'threshold', probability: 2 }] as never[]) {
      expect(() => model.generate('ab', { speculate: 'off', verification })).toThrow(/^verification/);
    }
  });

  it('give typed errors from load(), before anything is loaded', async () => {
    const names: (keyof LoadOptions)[] = ['contextLength', 'cacheTokens', 'cacheDType', 'chunk', 'device', 'signal'];
    for (const name of [
      ...names,
      'maxBatch',
      'maxDraft',
      'onProgress',
      'precision',
      'activationDType',
      'draft',
    ] as const) {
      for (const value of nonsense) {
        await typed(name, async () => (await load(path, { [name]: value } as never)).dispose());
      }
    }
    const cacheDType = 'f17' as never;
    await expect(estimateMemory(path, { cacheDType })).rejects.toThrow(/cacheDType is "f17", but must be one of f32/);
    const place = /must be the path of a GGUF file or of a Hugging Face folder/;
    for (const value of [...nonsense.filter((one) => one !== 'a'), `${path}\0.gguf`] as never[]) {
      await expect(load(value)).rejects.toThrow(place);
      await expect(load(path, { draft: value })).rejects.toThrow(/^draft is .*a Hugging Face folder$/);
    }
    for (const value of [...nonsense, `${path}\0.gguf`]) {
      expect(() => GgufFile.open(value as string)).toThrow(PagewarpError);
    }
  });
});

it('a file with impossible rotary factors is the one to blame', async () => {
  const bad = join(temporaryFolder(), 'bad.gguf');
  for (const factor of [Number.NaN, 0, -1, Number.POSITIVE_INFINITY]) {
    tinyModel({ ropeFactors: [1, factor, 1, 1] }).writer.write(bad);
    await expect(load(bad)).rejects.toMatchObject({ code: 'ERR_INVALID_MODEL' });
  }
});

describe('a generation', () => {
  it.each(['return', 'throw'] as const)('whose iterator gets %s() before next() settles its result', async (end) => {
    await using model = await load(path, { device: { threads: 1 } });
    const generation = model.generate('ab', { maxTokens: 4 });
    const steps = generation[Symbol.asyncIterator]();
    if (end === 'return') {
      await steps.return();
      expect((await generation.result).finishReason).toBe('cancelled');
    } else {
      await expect(steps.throw(new Error('enough'))).rejects.toThrow('enough');
      await expect(generation.result).rejects.toThrow('enough');
    }
    expect(model.cacheStatistics.used).toBe(0);
    expect(await steps.next()).toEqual({ value: undefined, done: true });
  });

  it.each(['abort', 'return'] as const)('whose drafter never settles ends with %s()', async (end) => {
    await using model = await load(path, { device: { threads: 1 } });
    let drafting!: () => void;
    const begun = new Promise<void>((resolve) => {
      drafting = resolve;
    });
    const never: Drafter = {
      draft: () => {
        drafting();
        return new Promise(() => {});
      },
      observe() {},
      reset() {},
      dispose() {},
      [Symbol.dispose]() {},
    };
    const controller = new AbortController();
    const { signal } = controller;
    const generation = model.generate('ab', { ignoreEnd: true, speculate: never, adaptive: false, signal });
    const steps = generation[Symbol.asyncIterator]();
    expect((await steps.next()).value?.tokens).toHaveLength(1);
    const next = steps.next();
    await begun;
    if (end === 'abort') {
      controller.abort(new Error('enough'));
      await expect(next).rejects.toThrow('enough');
    } else {
      await steps.return();
      expect((await next).done).toBe(true);
    }
    expect((await generation.result).finishReason).toBe('cancelled');
    expect(model.cacheStatistics.used).toBe(0);
  });

  it('whose drafter fails to forget it fails with its error, and gives everything back', async () => {
    await using model = await load(path, { device: { threads: 1 } });
    const stubborn: Drafter = {
      draft: () => ({ tokens: [] }),
      observe() {},
      reset(target) {
        if (!target) throw new Error('drafter broke');
      },
      dispose() {},
      [Symbol.dispose]() {},
    };
    const generation = model.generate('ab', { maxTokens: 3, ignoreEnd: true, speculate: stubborn, adaptive: false });
    await expect(generation.complete()).rejects.toThrow('drafter broke');
    await expect(generation.result).rejects.toThrow('drafter broke');
    expect(model.cacheStatistics.used).toBe(0);
  });

  it('that is given the drafter of another one ends, and the other does not notice', async () => {
    await using model = await load(path, { device: { threads: 1 }, cacheDType: 'f32' });
    using drafter = selfSpeculation({ exitLayer: 1 });
    const options = { maxTokens: 40, ignoreEnd: true, adaptive: false };
    const { tokens } = await model.generate('ab', { ...options, speculate: 'off' }).complete();
    const start = (prompt: string) => model.generate(prompt, { ...options, speculate: drafter }).complete();
    const [first, second] = await Promise.allSettled([start('ab'), start('cd')]);
    expect(first).toMatchObject({ status: 'fulfilled', value: { tokens } });
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'ERR_INVALID_ARGUMENT' } });
    expect((await start('ab')).tokens).toEqual(tokens);
    expect(model.cacheStatistics.used).toBe(0);
  });

  it('of a sequence that another has begun meanwhile does not begin it again', async () => {
    await using model = await load(path, { device: { threads: 1 } });
    const sequence = model.createSequence();
    const first = model.generate('ab', { maxTokens: 2, ignoreEnd: true, sequence });
    const second = model.generate('cd', { maxTokens: 2, ignoreEnd: true, sequence });
    await first.complete();
    await second.complete();
    const { bosToken } = model.tokenizer;
    expect(sequence.tokens.filter((token) => token === bosToken)).toHaveLength(1);
    expect(sequence.tokens[0]).toBe(bosToken);
  });

  it('does not suffer from what another one does wrong', async () => {
    await using model = await load(path, { device: { threads: 1 } });
    const wrong: Drafter = {
      draft: () => ({ tokens: [tinyVocabulary + 5] }),
      observe() {},
      reset() {},
      dispose() {},
      [Symbol.dispose]() {},
    };
    const options = { maxTokens: 40, ignoreEnd: true };
    const expected = (await model.generate('ab', options).complete()).tokens;
    for (let i = 0; i < 20; i++) {
      const outcomes = await Promise.allSettled([
        model.generate('ab', options).complete(),
        model.generate('cd', { ...options, speculate: wrong, adaptive: false }).complete(),
        model.generate('ab', options).complete(),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      for (const outcome of [outcomes[0], outcomes[2]]) {
        expect(outcome?.status === 'fulfilled' && outcome.value.tokens).toEqual(expected);
      }
    }
  });
});
