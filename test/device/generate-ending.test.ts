// SPDX-License-Identifier: Apache-2.0
/** Generations that end before their text does. */
import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Drafter,
  firstOf,
  type GenerateOptions,
  type LanguageModel,
  load,
  promptLookup,
} from '../../lib/index.js';
import { guessing } from '../bodies/batching.js';
import { temporaryFolder } from '../support/folder.js';
import { collectGarbage } from '../support/garbage.js';
import { tinyModel } from '../support/tiny-model.js';

const path = join(temporaryFolder(), 'tiny.gguf');
let model: LanguageModel;

beforeAll(async () => {
  tinyModel({ seed: 3 }).writer.write(path);
  model = await load(path, { device: { threads: 2 }, cacheDType: 'f32', chunk: 16 });
});
afterAll(() => model[Symbol.asyncDispose]());

function expectCleanCache(): void {
  expect(model.cacheStatistics.used).toBe(0);
}

describe('ending early', () => {
  const endless: GenerateOptions = { maxTokens: 100, ignoreEnd: true };

  it('leaves the cache clean after a break', async () => {
    const generation = model.generate('abc', endless);
    let seen = 0;
    for await (const _ of generation) if (++seen === 3) break;
    expect(await generation.result).toMatchObject({ finishReason: 'cancelled', usage: { completionTokens: 3 } });
    expectCleanCache();
  });

  it('leaves the cache clean after an abort, and reports the reason', async () => {
    for (const speculate of ['off', promptLookup()] as const) {
      const controller = new AbortController();
      const generation = model.generate('abc abc abc', { ...endless, speculate, signal: controller.signal });
      let seen = 0;
      const iterating = (async () => {
        for await (const _ of generation) if (++seen === 2) controller.abort(new Error('enough'));
      })();
      await expect(iterating).rejects.toThrow('enough');
      expect(await generation.result).toMatchObject({ finishReason: 'cancelled' });
      expectCleanCache();
    }
    const aborted = model.generate('abc', { signal: AbortSignal.abort(new Error('before')) }).complete();
    await expect(aborted).rejects.toThrow('before');
  });

  it('happens by itself when the iterator is dropped without an end', async () => {
    const { signal } = new AbortController();
    const drop = async (speculate: GenerateOptions['speculate']) => {
      const generation = model.generate('abc abc', { ...endless, signal, ...(speculate ? { speculate } : {}) });
      await generation[Symbol.asyncIterator]().next();
      return generation;
    };
    const kept = model.generate('abc', { ...endless, signal })[Symbol.asyncIterator]();
    await kept.next();
    const { used } = model.cacheStatistics;
    const dropped = [await drop('off'), await drop('auto'), await drop(promptLookup())];
    expect(model.cacheStatistics.used).toBeGreaterThan(used);
    await collectGarbage(() => model.cacheStatistics.used === used);
    for (const { result } of dropped) {
      expect(await result).toMatchObject({ finishReason: 'cancelled', usage: { completionTokens: 1 } });
    }
    expect(await kept.next()).toMatchObject({ done: false });
    await kept.return();
    expect(EventEmitter.getEventListeners(signal, 'abort').length).toBe(0);
    expectCleanCache();
  });

  it('leaves no listener on the signal', async () => {
    const { signal } = new AbortController();
    await model.generate('abc', { maxTokens: 3, signal }).complete();
    expect(EventEmitter.getEventListeners(signal, 'abort').length).toBe(0);
  });

  it('with a drafter that fails to forget tells who iterates and who awaits the result the same', async () => {
    const forgetful = (draft: Drafter['draft']): Drafter => ({
      ...guessing([], () => ({ tokens: [] })),
      draft,
      reset: (target) => {
        if (!target) throw new Error('cannot forget');
      },
    });
    const silent = () => forgetful(() => ({ tokens: [] }));
    const failing = () =>
      forgetful(() => {
        throw new Error('cannot draft');
      });
    for (const [make, way, message] of [
      [silent, 'complete', 'cannot forget'],
      [silent, 'break', 'cannot forget'],
      [silent, 'abort', 'cannot forget'],
      [failing, 'complete', 'cannot draft'],
    ] as const) {
      using sequence = model.createSequence();
      const controller = new AbortController();
      const { signal } = controller;
      const options = { maxTokens: 8, ignoreEnd: true, adaptive: false, sequence, signal, speculate: make() };
      const generation = model.generate('abc', options);
      const iterating = (async () => {
        for await (const _ of generation) {
          if (way === 'break') break;
          if (way === 'abort') controller.abort(new Error('enough'));
        }
      })();
      await expect(iterating, way).rejects.toThrow(message);
      await expect(generation.result, way).rejects.toThrow(message);
      expect(sequence.length).toBe(0);
      expect(EventEmitter.getEventListeners(signal, 'abort').length).toBe(0);
      // The sequence and the model serve on.
      expect((await model.generate('abc', { maxTokens: 2, sequence }).complete()).tokens.length).toBe(2);
    }
    expectCleanCache();
    let forgot = 0;
    const other = { ...guessing([], () => ({ tokens: [] })), reset: () => void forgot++ };
    await expect(
      model.generate('abc', { maxTokens: 3, speculate: firstOf(silent(), other) }).complete(),
    ).rejects.toThrow('cannot forget');
    expect(forgot).toBe(2);
  });

  it('ends with ERR_DISPOSED when model or sequence are disposed meanwhile', async () => {
    const other = await load(path);
    const iterator = other.generate('abc', endless)[Symbol.asyncIterator]();
    await iterator.next();
    other.dispose();
    const rest = (async () => {
      while (!(await iterator.next()).done);
    })();
    await expect(rest).rejects.toMatchObject({ code: 'ERR_DISPOSED' });

    const sequence = model.createSequence();
    const second = model.generate('abc', { ...endless, sequence })[Symbol.asyncIterator]();
    await second.next();
    sequence.dispose();
    const drained = (async () => {
      while (!(await second.next()).done);
    })();
    await expect(drained).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
    expectCleanCache();
  });

  it('survives dispose at a hundred different moments', async () => {
    let disposed = 0;
    for (let i = 0; i < 100; i++) {
      const other = await load(path, { device: { threads: 1 + (i % 2) } });
      const finished = other
        .generate('abc abc', { ...endless, speculate: i % 3 === 0 ? promptLookup() : 'off' })
        .complete()
        .catch((error: { code?: string }) => error.code);
      for (let tick = 0; tick < i % 10; tick++) await new Promise((resolve) => setImmediate(resolve));
      if (i % 2) other.dispose();
      else await other[Symbol.asyncDispose]();
      const outcome = await finished;
      if (outcome === 'ERR_DISPOSED') disposed++;
      else expect(outcome).toMatchObject({ finishReason: 'length' });
    }
    expect(disposed).toBeGreaterThan(50);
  });
});
