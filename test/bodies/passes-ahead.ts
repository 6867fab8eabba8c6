// SPDX-License-Identifier: Apache-2.0
/** Chains of a draft model that are drafted and verified before the host knows what has come of the ones before. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { SpeculationControl } from '../../lib/generate/control.js';
import {
  type Device,
  type Drafter,
  draftModel,
  firstOf,
  type GenerateOptions,
  type LanguageModel,
  load,
  promptLookup,
} from '../../lib/index.js';
import { LlamaRunner } from '../../lib/model/llama.js';
import { ModelDrafter } from '../../lib/speculate/modeldrafter.js';
import { temporaryFolder } from '../support/folder.js';
import { tinyModel, tinyText, tinyVocabulary } from '../support/tiny-model.js';

/** Of whose drafts all, most or hardly any tokens are accepted. */
const drafters = ['the model itself', 'its rounded copy', 'a stranger'] as const;
type Name = (typeof drafters)[number];
/** By each pass. */
const drafted = 4;

/** The same drafter, which waits for what comes of each chain. */
function waiting(drafter: Drafter): Drafter {
  return {
    draft: drafter.draft.bind(drafter),
    enqueue: (context, maxTokens, worth, depth) => drafter.enqueue?.(context, maxTokens, worth, depth),
    observe: (outcome) => drafter.observe(outcome),
    reset: (target) => drafter.reset(target),
    dispose: () => drafter.dispose(),
    [Symbol.dispose]: () => drafter.dispose(),
  };
}

/** What happens while something runs: steps of the target ahead of what they follow, other steps of it, and outcomes told. */
async function eventsOf<T>(target: LanguageModel, run: () => Promise<T>): Promise<{ result: T; events: string }> {
  let events = '';
  const { runner } = target.parts();
  const { forward } = LlamaRunner.prototype;
  const forwardSpy = vi.spyOn(LlamaRunner.prototype, 'forward').mockImplementation(function (
    this: LlamaRunner,
    ...args
  ) {
    if (this === runner) events += 'cases' in args[0] ? 'a' : 's';
    return forward.apply(this, args);
  });
  const { observe } = ModelDrafter.prototype;
  const observeSpy = vi.spyOn(ModelDrafter.prototype, 'observe').mockImplementation(function (
    this: ModelDrafter,
    ...args
  ) {
    events += 'o';
    observe.apply(this, args);
  });
  try {
    return { result: await run(), events };
  } finally {
    forwardSpy.mockRestore();
    observeSpy.mockRestore();
  }
}

export interface PassesAheadOptions {
  device: () => Device;
  /** Tokens generated. */
  tokens: number;
  /** Numbers for sampling. */
  seeds: readonly number[];
  /** Tokens after which generations are ended. */
  ends: readonly number[];
}

export function passesAheadTests({ device, tokens: maxTokens, seeds, ends }: PassesAheadOptions): void {
  const folder = temporaryFolder();
  const common = { cacheDType: 'f32', contextLength: 160, chunk: 32, prefixCache: false } as const;
  let model: LanguageModel;
  let small: Record<Name, LanguageModel>;
  const all = (): LanguageModel[] => [model, ...Object.values(small)];

  beforeAll(async () => {
    const file = (name: string, options: Parameters<typeof tinyModel>[0]): string => {
      const path = join(folder, `${name}.gguf`);
      tinyModel({ context: 256, ...options }).writer.write(path);
      return path;
    };
    const target = file('target', { seed: 3 });
    model = await load(target, { device: device(), ...common });
    small = {
      'the model itself': await load(target, { device: device(), ...common }),
      'its rounded copy': await load(file('rounded', { seed: 3, typeOf: () => 'BF16' }), {
        device: device(),
        ...common,
      }),
      'a stranger': await load(file('small', { seed: 4, layers: 1 }), { device: device(), ...common }),
    };
  });
  afterAll(async () => {
    for (const loaded of all()) await loaded[Symbol.asyncDispose]();
  });

  const chain = (name: Name, options: Parameters<typeof draftModel>[1] = {}): Drafter =>
    draftModel(small[name], { tree: 'chain', maxDraft: drafted, ...options });
  const complete = (speculate: Drafter | 'off', options: GenerateOptions = {}, prompt = tinyText(13)) =>
    model.generate(prompt, { maxTokens, ignoreEnd: true, adaptive: false, ...options, speculate }).complete();
  const expectClean = (): void => {
    for (const loaded of all()) expect(loaded.cacheStatistics.used).toBe(0);
  };

  /** The model, but that one token's embedding is not a number. */
  const loadBroken = (token: number): Promise<LanguageModel> => {
    const path = join(folder, 'broken.gguf');
    const { oracle } = tinyModel({ seed: 3, context: 256 });
    const embedding = Float32Array.from(oracle.weights.get('token_embd.weight') as ArrayLike<number>);
    const width = embedding.length / tinyVocabulary;
    embedding.fill(Number.NaN, token * width, (token + 1) * width);
    const valuesOf = (name: string) => (name === 'token_embd.weight' ? embedding : undefined);
    tinyModel({ seed: 3, context: 256, valuesOf }).writer.write(path);
    return load(path, { device: device(), ...common });
  };

  describe.each(drafters)('passes ahead, drafted by %s', (name) => {
    it('come to the tokens of plain decoding', async () => {
      for (const temperature of [0, 0.8]) {
        for (const seed of temperature === 0 ? [0] : seeds) {
          for (const [maxDraft, length] of [
            [1, 3],
            [3, 13],
            [5, 30],
          ] as const) {
            const options = { temperature, seed };
            const prompt = tinyText(length, 1 + seed);
            const plain = await complete('off', options, prompt);
            const { result, events } = await eventsOf(model, () =>
              complete(chain(name, { maxDraft }), options, prompt),
            );
            expect(result.tokens).toEqual(plain.tokens);
            expect(events).toContain('a');
          }
        }
      }
      expectClean();
    });

    it('come to the tokens and the statistics of passes that wait, where drafts are drawn by chance', async () => {
      for (const seed of seeds) {
        const sampled = { sampled: true, maxDraft: 3 };
        for (const verification of ['rejection', 'block'] as const) {
          const options = { temperature: 1.1, seed, verification };
          const waited = await complete(waiting(chain(name, sampled)), options);
          const { result, events } = await eventsOf(model, () => complete(chain(name, sampled), options));
          expect(result.tokens).toEqual(waited.tokens);
          const counts = ['passes', 'drafted', 'accepted'] as const;
          for (const count of counts) expect(result.speculation?.[count]).toBe(waited.speculation?.[count]);
          expect(events).toContain('a');
        }
      }
      expectClean();
    });

    it('are enqueued before the host knows what has come of the ones before', async () => {
      const { result, events } = await eventsOf(model, () => complete(chain(name)));
      const passes = result.speculation?.passes as number;
      // The prompt, the first pass, the second one behind it; and whenever an outcome is told, the next pass is under way. The last
      // ones wait: how many tokens are left then depends on what is accepted.
      expect(events).toMatch(/^s+(ao)+o(so)*$/);
      const waitingOnes = 1 + 2 * (drafted + 1);
      expect(events.split('a').length - 1).toBeGreaterThanOrEqual(passes - waitingOnes);
      const waited = await eventsOf(model, () => complete(waiting(chain(name))));
      expect(waited.events).not.toContain('a');
      expect(waited.result.tokens).toEqual(result.tokens);
    });

    it('leave nothing behind, and the text as it was, however the generation ends', async () => {
      const plain = await complete('off');
      const endings: ((drafter: Drafter, at: number) => Promise<readonly number[]>)[] = [
        async (speculate, at) => {
          const stop = plain.tokens[at] as number;
          const { tokens } = await complete(speculate, { stop });
          expect(tokens).toEqual(plain.tokens.slice(0, plain.tokens.indexOf(stop)));
          return tokens;
        },
        async (speculate, at) => (await complete(speculate, { maxTokens: at + 1 })).tokens,
        async (speculate, at) => {
          const controller = new AbortController();
          const options = { maxTokens, ignoreEnd: true, adaptive: false, speculate, signal: controller.signal };
          const generation = model.generate(tinyText(13), options);
          const ended = generation.complete().catch((error: unknown) => error);
          for (let tick = 0; tick < 3 * at; tick++) await new Promise((resolve) => setImmediate(resolve));
          controller.abort(new Error('enough'));
          await ended;
          return (await generation.result).tokens;
        },
        async (speculate, at) => {
          const tokens: number[] = [];
          const options = { maxTokens, ignoreEnd: true, adaptive: false, speculate };
          for await (const chunk of model.generate(tinyText(13), options)) {
            tokens.push(...chunk.tokens);
            if (tokens.length > at) break;
          }
          return tokens;
        },
      ];
      for (const end of endings) {
        for (const at of ends) {
          using drafter = chain(name);
          const tokens = await end(drafter, at);
          expect(tokens).toEqual(plain.tokens.slice(0, tokens.length));
          expectClean();
          // The drafter serves again.
          expect((await complete(drafter)).tokens).toEqual(plain.tokens);
        }
      }
    });

    it('leave a sequence from which others go on', async () => {
      const plain = await complete('off', { maxTokens });
      for (const first of [3, 6, 9]) {
        using sequence = model.createSequence();
        const options = { ignoreEnd: true, adaptive: false, sequence } as const;
        let tokens: number[] = [];
        for await (const chunk of model.generate(tinyText(13), { ...options, maxTokens, speculate: chain(name) })) {
          tokens.push(...chunk.tokens);
          if (tokens.length >= first) break;
        }
        expect(sequence.tokens).toEqual([...tinyText(13), ...tokens]);
        using fork = sequence.fork();
        const left = maxTokens - tokens.length;
        for (const [from, speculate] of [
          [sequence, chain(name)],
          [fork, 'off'],
        ] as const) {
          const more = await model.generate([], { ...options, sequence: from, maxTokens: left, speculate }).complete();
          expect([...tokens, ...more.tokens]).toEqual(plain.tokens);
        }
        tokens = [];
      }
      expectClean();
    });

    it('go to the end of the context as plain decoding does', async () => {
      const options = { maxTokens: Number.POSITIVE_INFINITY };
      const prompt = tinyText(common.contextLength - 12);
      const plain = await complete('off', options, prompt);
      const speculated = await complete(chain(name), options, prompt);
      expect(speculated.tokens).toEqual(plain.tokens);
      expect(speculated.finishReason).toBe(plain.finishReason);
      expectClean();
    });
  });

  it('passes ahead end when others join, and begin again when these have left', async () => {
    const alone = await complete('off');
    const other = await complete('off', { maxTokens: 4 }, tinyText(9, 5));
    const { result, events } = await eventsOf(model, async () => {
      const tokens: number[] = [];
      let beside: Promise<{ tokens: readonly number[] }> | undefined;
      const options = { maxTokens, ignoreEnd: true, adaptive: false, speculate: chain('its rounded copy') } as const;
      for await (const chunk of model.generate(tinyText(13), options)) {
        tokens.push(...chunk.tokens);
        if (tokens.length > 2) beside ??= complete('off', { maxTokens: 4 }, tinyText(9, 5));
      }
      return { tokens, beside: (await beside)?.tokens };
    });
    expect(result).toEqual({ tokens: alone.tokens, beside: other.tokens });
    expect(events).toContain('a');
    expectClean();
  });

  it('passes ahead end when plain steps are due', async () => {
    const plain = await complete('off');
    const passesBefore = 3;
    let passes = 0;
    const rest = vi
      .spyOn(SpeculationControl.prototype, 'rest', 'get')
      .mockImplementation(() => (passes < passesBefore ? 0 : Number.POSITIVE_INFINITY));
    const trying = vi.spyOn(SpeculationControl.prototype, 'isTrying', 'get').mockReturnValue(false);
    const pass = vi.spyOn(SpeculationControl.prototype, 'pass').mockImplementation(() => {
      passes++;
    });
    try {
      const { result, events } = await eventsOf(model, () => complete(chain('a stranger'), { adaptive: true }));
      expect(result.tokens).toEqual(plain.tokens);
      expect(events).toContain('a');
      // One had been enqueued when it was decided.
      expect(result.speculation?.passes).toBe(passesBefore + 1);
      expect(result.speculation?.plainSteps).toBeGreaterThan(0);
    } finally {
      for (const spy of [rest, trying, pass]) spy.mockRestore();
    }
    expectClean();
  });

  it('passes ahead leave the first say to drafters that must know the text', async () => {
    const prompt = Array.from({ length: 4 }, () => tinyText(8)).flat();
    const plain = await complete('off', {}, prompt);
    const drafter = firstOf(promptLookup({ minNgram: 2 }), chain('its rounded copy'));
    const { result, events } = await eventsOf(model, () => complete(drafter, {}, prompt));
    expect(result.tokens).toEqual(plain.tokens);
    expect(events).toContain('a');
  });

  it('penalties, whose history the host keeps, are waited for', async () => {
    const options = { temperature: 0, repetitionPenalty: 1.3 };
    const plain = await complete('off', options);
    const { result, events } = await eventsOf(model, () => complete(chain('its rounded copy'), options));
    expect(result.tokens).toEqual(plain.tokens);
    expect(events).not.toContain('a');
  });

  it('what goes wrong in a pass is not reported to who drafts with the same model afterwards', async () => {
    const plain = await complete('off');
    await using faulty = await loadBroken(plain.tokens[6] as number);
    for (const name of drafters) {
      const options = { maxTokens, ignoreEnd: true, adaptive: false } as const;
      const failing = faulty.generate(tinyText(13), { ...options, speculate: chain(name) }).complete();
      await expect(failing).rejects.toMatchObject({ code: 'ERR_INVALID_LOGITS' });
      expect(faulty.cacheStatistics.used).toBe(0);
      expect((await complete(draftModel(small[name]))).tokens).toEqual(plain.tokens);
      expect((await complete(chain(name))).tokens).toEqual(plain.tokens);
    }
    expectClean();
  });

  it('what goes wrong in a pass ahead is for who reads the text, however late that asks', async () => {
    const plain = await complete('off');
    await using faulty = await loadBroken(plain.tokens[6] as number);
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => {
      unhandled.push(error);
    };
    process.on('unhandledRejection', note);
    try {
      const options = { maxTokens, ignoreEnd: true, adaptive: false, speculate: chain('the model itself') } as const;
      const reading = async (): Promise<void> => {
        for await (const _chunk of faulty.generate(tinyText(13), options)) {
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      };
      await expect(reading()).rejects.toMatchObject({ code: 'ERR_INVALID_LOGITS' });
    } finally {
      process.off('unhandledRejection', note);
    }
    expect(unhandled).toEqual([]);
    expectClean();
  });

  it('where the cache has no room for a pass ahead there is none', async () => {
    const prompt = tinyText(20);
    const pages = Math.ceil((prompt.length + maxTokens) / 16) + 1;
    await using tight = await load(join(folder, 'target.gguf'), {
      device: device(),
      ...common,
      cacheTokens: 16 * pages,
    });
    const plain = await complete('off', {}, prompt);
    for (const name of drafters) {
      const options = { maxTokens, ignoreEnd: true, adaptive: false, speculate: chain(name, { maxDraft: 20 }) };
      expect((await tight.generate(prompt, options).complete()).tokens).toEqual(plain.tokens);
      expect(tight.cacheStatistics.used).toBe(0);
    }
  });
}
