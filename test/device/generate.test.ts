// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GenerateChunk, type GenerateOptions, type LanguageModel, load, promptLookup } from '../../lib/index.js';
import { temporaryFolder } from '../support/folder.js';
import { tinyModel } from '../support/tiny-model.js';

const folder = temporaryFolder();
const path = join(folder, 'tiny.gguf');
const chatTemplate =
  "{{ bos_token }}{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}" +
  '{{ m.role[0] }} {{ m.content }} {% endfor %}{% if add_generation_prompt %}a{% endif %}';
let model: LanguageModel;

beforeAll(async () => {
  tinyModel({ chatTemplate, seed: 3 }).writer.write(path);
  model = await load(path, { device: { threads: 2 }, cacheDType: 'f32', chunk: 16 });
});
afterAll(() => model[Symbol.asyncDispose]());

/** Everything about a generation that does not depend on time. */
async function run(prompt: string | number[], options: GenerateOptions): Promise<{ text: string; tokens: number[] }> {
  const { text, tokens } = await model.generate(prompt, { ignoreEnd: true, speculate: 'off', ...options }).complete();
  return { text, tokens };
}

function expectCleanCache(): void {
  expect(model.cacheStatistics.used).toBe(0);
}

describe('generate', () => {
  it('gives chunks whose texts and tokens add up to the result', async () => {
    const generation = model.generate('hello', {
      maxTokens: 20,
      temperature: 1,
      seed: 1,
      ignoreEnd: true,
      logprobs: 3,
    });
    const chunks: GenerateChunk[] = [];
    for await (const chunk of generation) chunks.push(chunk);
    const result = await generation.result;
    expect(chunks.map((chunk) => chunk.text).join('')).toBe(result.text);
    expect(chunks.flatMap((chunk) => chunk.tokens)).toEqual(result.tokens);
    const logprobs = chunks.flatMap((chunk) => chunk.logprobs ?? []);
    expect(logprobs.map(({ token }) => token)).toEqual(result.tokens);
    for (const { logprob, top } of logprobs) {
      expect(logprob).toBeLessThanOrEqual(top[0]?.logprob as number);
      expect(top.length).toBe(3);
    }
    expect(result.text).toBe(model.detokenize(result.tokens, { previous: model.tokenize('hello').at(-1) as number }));
    expect(result).toMatchObject({ finishReason: 'length', seed: 1n });
    expect(result.usage).toEqual({ promptTokens: 7, completionTokens: 20, cachedTokens: 0 });
    expect(result.timings.total).toBeGreaterThanOrEqual(result.timings.timeToFirstToken);
    expect(result.timings.decodeRate).toBeGreaterThan(0);
    expectCleanCache();
  });

  it('repeats itself with a seed, and not without', async () => {
    const options = { maxTokens: 30, temperature: 1.5, topK: 50, topP: 0.95, minP: 0.01 };
    const first = await model.generate('abc', { ...options, ignoreEnd: true }).complete();
    expect((await run('abc', { ...options, seed: first.seed })).tokens).toEqual(first.tokens);
    expect((await run('abc', options)).tokens).not.toEqual(first.tokens);
  });

  it('is greedy by default, whatever the seed', async () => {
    expect(await run('abc', { maxTokens: 20, seed: 1 })).toEqual(await run('abc', { maxTokens: 20, seed: 2 }));
  });

  it('gives the same tokens whatever the chunk of prefill', async () => {
    const prompt = 'the quick brown fox jumps over the lazy dog and then some more';
    const expected = await run(prompt, { maxTokens: 20 });
    for (const chunk of [1, 7, 512]) {
      await using other = await load(path, { device: { threads: 1 }, cacheDType: 'f32', chunk });
      const { tokens } = await other.generate(prompt, { maxTokens: 20, ignoreEnd: true }).complete();
      expect(tokens).toEqual(expected.tokens);
    }
  });

  it('stops before a stop string, also one that crosses tokens', async () => {
    const { text } = await run('abc', { maxTokens: 40 });
    const stop = text.slice(7, 10);
    const result = await model.generate('abc', { maxTokens: 40, ignoreEnd: true, stop: ['never!', stop] }).complete();
    expect(result).toMatchObject({ finishReason: 'stop', stop, text: text.slice(0, text.indexOf(stop)) });
    expect(result.tokens.length).toBeLessThan(40);
  });

  it('stops after a stop token, which is not part of the output', async () => {
    const { tokens } = await run('abc', { maxTokens: 40 });
    const stop = tokens[9] as number;
    const result = await model.generate('abc', { maxTokens: 40, ignoreEnd: true, stop }).complete();
    expect(result).toMatchObject({ finishReason: 'stop', stop, tokens: tokens.slice(0, tokens.indexOf(stop)) });
  });

  it('stops when the context is full', async () => {
    await using other = await load(path, { contextLength: 32, device: { threads: 1 } });
    const result = await other.generate('abcdef', { ignoreEnd: true }).complete();
    expect(result.finishReason).toBe('length');
    expect(result.usage.promptTokens + result.usage.completionTokens).toBe(32);
    const tooLong = other.generate('a'.repeat(40)).complete();
    await expect(tooLong).rejects.toMatchObject({ code: 'ERR_CONTEXT_OVERFLOW' });
  });

  it('holds no page of a small cache for steps that may be in vain', async () => {
    await using small = await load(path, { cacheDType: 'f32', cacheTokens: 64, device: { threads: 1 } });
    const pageSize = 64 / small.cacheStatistics.pages;
    let tokens = 3;
    for await (const chunk of small.generate([5, 6, 7], { maxTokens: 40, ignoreEnd: true, speculate: 'off' })) {
      tokens += chunk.tokens.length;
      expect(small.cacheStatistics.used).toBe(Math.ceil((tokens - 1) / pageSize));
    }
    expect(tokens).toBe(43);
  });

  it('applies penalties', async () => {
    const plain = await run('abc', { maxTokens: 60 });
    const penalised = await run('abc', {
      maxTokens: 60,
      repetitionPenalty: 1.5,
      frequencyPenalty: 2,
      presencePenalty: 1,
    });
    expect(new Set(penalised.tokens).size).toBeGreaterThan(new Set(plain.tokens).size);
  });

  it('checks its options at once', () => {
    const bad: GenerateOptions[] = [
      { maxTokens: 0 },
      { temperature: -1 },
      { topP: 2 },
      { minP: Number.NaN },
      { stop: '' },
      { stop: -1 },
      { seed: 1.5 },
      { logprobs: 1025 },
      { speculate: {} as never },
      { maxDraft: 65 },
    ];
    for (const options of bad) {
      expect(() => model.generate('a', options), JSON.stringify(options)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      );
    }
    expect(() => model.generate([1, 1e6])).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
    expect(() => model.generate('a', { logprobs: 2, speculate: promptLookup() })).toThrow(
      expect.objectContaining({ code: 'ERR_UNSUPPORTED' }),
    );
  });

  it('can be iterated once', async () => {
    const generation = model.generate('abc', { maxTokens: 2 });
    await generation.complete();
    expect(() => generation[Symbol.asyncIterator]()).toThrow(/only once/);
  });

  it('fails with a typed error when the weights are not numbers', async () => {
    const { writer } = tinyModel();
    const bytes = Buffer.from(writer.bytes());
    bytes.fill(0xff, bytes.length - 4096);
    writeFileSync(join(folder, 'nan.gguf'), bytes);
    await using broken = await load(join(folder, 'nan.gguf'));
    await expect(broken.generate('abc', { maxTokens: 5 }).complete()).rejects.toMatchObject({
      code: 'ERR_INVALID_LOGITS',
    });
  });
});

describe('speculation', () => {
  const prompt = 'abc abc abc abc abc';

  it.each([
    ['greedy', {}],
    ['greedy with penalties', { repetitionPenalty: 1.3, frequencyPenalty: 0.5 }],
    ['with stop strings', { stop: 'q' }],
    ['with short drafts', { maxDraft: 2 }],
  ] as [string, GenerateOptions][])('does not change the output: %s', async (_name, options) => {
    const plain = await run(prompt, { maxTokens: 60, ...options });
    const speculated = await run(prompt, {
      maxTokens: 60,
      adaptive: false,
      ...options,
      speculate: promptLookup(),
    });
    expect(speculated).toEqual(plain);
    expectCleanCache();
  });

  it('counts what it drafted', async () => {
    const speculate = promptLookup({ minNgram: 1 });
    const { speculation, tokens } = await model
      .generate(prompt, { maxTokens: 60, ignoreEnd: true, adaptive: false, speculate })
      .complete();
    const { passes, drafted, accepted, acceptanceRate, meanAcceptedLength, meanEmittedLength } = speculation ?? {};
    expect(passes).toBeGreaterThan(0);
    expect(acceptanceRate).toBeCloseTo((accepted as number) / (drafted as number));
    expect(meanEmittedLength).toBeCloseTo((meanAcceptedLength as number) + 1);
    expect(tokens.length).toBe(60);
  });

  it('keeps log-probabilities', async () => {
    const collect = async (options: GenerateOptions): Promise<number[]> => {
      const out: number[] = [];
      for await (const chunk of model.generate(prompt, { maxTokens: 30, ignoreEnd: true, logprobs: 0, ...options })) {
        out.push(...(chunk.logprobs ?? []).map(({ logprob }) => logprob));
      }
      return out;
    };
    const [plain, speculated] = [
      await collect({ speculate: 'off' }),
      await collect({ speculate: promptLookup(), adaptive: false }),
    ];
    expect(speculated.length).toBe(30);
    for (const [i, logprob] of speculated.entries()) expect(logprob).toBeCloseTo(plain[i] as number, 4);
  });

  it('takes any drafter, also one that is always wrong', async () => {
    const plain = await run(prompt, { maxTokens: 30 });
    const wrong = {
      draft: () => ({ tokens: [4, 5, 6] }),
      observe() {},
      reset() {},
      dispose() {},
      [Symbol.dispose]() {},
    };
    expect(await run(prompt, { maxTokens: 30, speculate: wrong })).toEqual(plain);
    const failing = {
      ...wrong,
      draft() {
        throw new Error('drafter broke');
      },
    };
    await expect(run(prompt, { maxTokens: 30, speculate: failing })).rejects.toThrow('drafter broke');
    expectCleanCache();
  });
});

describe('sequences', () => {
  it('share a prefix through forks without computing it again', async () => {
    using trunk = model.createSequence();
    const start = await model.generate('the beginning', { maxTokens: 4, ignoreEnd: true, sequence: trunk }).complete();
    const continued = trunk.tokens.length;
    const texts: string[] = [];
    for (const suffix of ['x', 'y']) {
      using branch = trunk.fork();
      const result = await model.generate(suffix, { maxTokens: 6, ignoreEnd: true, sequence: branch }).complete();
      expect(result.usage.cachedTokens).toBeGreaterThanOrEqual(continued - 1);
      const whole = [
        ...model.tokenize('the beginning'),
        ...start.tokens,
        ...model.tokenize(suffix, { addSpecial: false }),
      ];
      expect(result.tokens).toEqual((await run(whole, { maxTokens: 6 })).tokens);
      texts.push(result.text);
    }
    expect(trunk.tokens.length).toBe(continued);
    expect(texts.length).toBe(2);
    trunk.dispose();
    expectCleanCache();
  });

  it('can be cut back and written on', async () => {
    using sequence = model.createSequence();
    const options = { maxTokens: 8, ignoreEnd: true, sequence };
    const first = await model.generate('abc', options).complete();
    sequence.truncate(sequence.length - 5);
    const again = await model.generate([], { ...options, maxTokens: 5 }).complete();
    expect(again.tokens).toEqual(first.tokens.slice(3));
    expect(() => sequence.truncate(1000)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
  });

  it('serve one generation at a time', async () => {
    using sequence = model.createSequence();
    const iterator = model.generate('abc', { maxTokens: 5, ignoreEnd: true, sequence })[Symbol.asyncIterator]();
    await iterator.next();
    await expect(model.generate('x', { sequence }).complete()).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(() => sequence.fork()).toThrow(/in use/);
    await iterator.return();
    expect(sequence.length).toBe(model.tokenize('abc').length + 1);
  });

  it('survive an exhausted cache as they were', async () => {
    await using small = await load(path, { cacheTokens: 48, contextLength: 128, device: { threads: 1 }, chunk: 16 });
    using kept = small.createSequence();
    await small.generate('abcdefgh', { maxTokens: 4, ignoreEnd: true, sequence: kept }).complete();
    const before = [...kept.tokens];
    const tooLong = small.generate('z'.repeat(60), { sequence: kept }).complete();
    await expect(tooLong).rejects.toMatchObject({ code: 'ERR_CACHE_EXHAUSTED' });
    expect(kept.tokens).toEqual(before);
    const next = await small.generate([], { maxTokens: 3, ignoreEnd: true, sequence: kept }).complete();
    expect(next.tokens.length).toBe(3);
  });
});

describe('chat', () => {
  it('writes the conversation with the template of the model', async () => {
    using sequence = model.createSequence();
    const messages = [
      { role: 'system', content: 'be kind' },
      { role: 'user', content: 'hi' },
    ];
    await model.chat(messages, { maxTokens: 1, ignoreEnd: true, sequence }).complete();
    expect(model.detokenize(sequence.tokens.slice(0, -1), { special: true })).toBe('<s>s be kind u hi a');
  });

  it('passes on what the template refuses, and needs one', async () => {
    expect(() => model.chat([{ role: 'tool', content: 'x' }])).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_TEMPLATE', message: expect.stringMatching(/no tools/) }),
    );
    expect(() => model.chat([])).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
    expect(() => model.chat([{ role: 'user', content: 5 as never }])).toThrow(/messages\[0\].content/);
    tinyModel().writer.write(join(folder, 'plain.gguf'));
    await using plain = await load(join(folder, 'plain.gguf'));
    expect(() => plain.chat([{ role: 'user', content: 'hi' }])).toThrow(
      expect.objectContaining({ code: 'ERR_UNSUPPORTED' }),
    );
  });
});

describe('concurrent generations', () => {
  it('give what they give alone', async () => {
    const requests: [string, GenerateOptions][] = Array.from({ length: 8 }, (_, i) => [
      'abcdefgh'.slice(0, 1 + i).repeat(1 + (i % 3)),
      {
        maxTokens: 10 + 5 * i,
        temperature: i % 2,
        seed: i,
        repetitionPenalty: i % 3 === 0 ? 1.2 : 1,
        ...(i % 4 === 0 ? { speculate: promptLookup() } : {}),
      },
    ]);
    await using other = await load(path, { cacheTokens: 1024, device: { threads: 2 }, cacheDType: 'f32' });
    const complete = ([prompt, options]: [string, GenerateOptions]) =>
      other
        .generate(prompt, { ignoreEnd: true, ...options })
        .complete()
        .then(({ tokens, text }) => ({ tokens, text }));
    const together = await Promise.all(requests.map(complete));
    const alone: unknown[] = [];
    for (const request of requests) alone.push(await complete(request));
    expect(together).toEqual(alone);
    expect(other.cacheStatistics.used).toBe(0);
  });
});

describe('memory', () => {
  it('does not grow from generation to generation', async () => {
    const once = () =>
      model.generate('abc abc', { maxTokens: 20, ignoreEnd: true, temperature: 1, logprobs: 1 }).complete();
    for (let i = 0; i < 10; i++) await once();
    const before = model.device.bytesInUse;
    for (let i = 0; i < 100; i++) await once();
    expect(model.device.bytesInUse).toBe(before);
    expectCleanCache();
  });
});
