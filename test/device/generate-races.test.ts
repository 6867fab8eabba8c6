// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type GenerateOptions, load } from '../../lib/index.js';
import { temporaryFolder } from '../support/folder.js';
import { runProgram } from '../support/program.js';
import { announceSkip } from '../support/skip.js';
import { tinyModel } from '../support/tiny-model.js';

const folder = temporaryFolder();
const model = join(folder, 'tiny.gguf');
const repeats = 100;

beforeAll(() => {
  tinyModel().writer.write(model);
});

describe('a generation under way', () => {
  it(`survives worker.terminate(), ${repeats} times`, async () => {
    const { stdout } = await runProgram('generation-worker', [model, repeats]);
    expect(stdout.trim()).toBe('done');
  });

  it(`survives an abort at ${repeats} different moments`, async () => {
    await using loaded = await load(model, { device: { threads: 2 } });
    let aborted = 0;
    for (let i = 0; i < repeats; i++) {
      const controller = new AbortController();
      const { signal } = controller;
      const options: GenerateOptions = { maxTokens: 60, ignoreEnd: true, speculate: i % 2 ? 'auto' : 'off', signal };
      const generation = loaded.generate('abc abc abc', options);
      const ended = generation.complete().catch((error: unknown) => error);
      for (let tick = 0; tick < i / 4; tick++) await new Promise((resolve) => setImmediate(resolve));
      controller.abort(new Error('enough'));
      if ((await ended) instanceof Error) aborted++;
      const { finishReason, tokens } = await generation.result;
      expect(finishReason).toBe(tokens.length < 60 ? 'cancelled' : 'length');
      expect(loaded.cacheStatistics.used).toBe(0);
    }
    expect(aborted).toBeGreaterThan(repeats / 2);
  });

  const hasFifos =
    process.platform !== 'win32' || !announceSkip('generating beside a blocked pool: no FIFOs on Windows');
  it.runIf(hasFifos)('needs no thread of Node’s own pool', async () => {
    const { stdout } = await runProgram('busy-pool', [model, join(folder, 'fifo')], { UV_THREADPOOL_SIZE: '4' });
    expect(stdout.trim()).toBe('20 tokens');
  });

  it(`survives process.exit(), ${repeats} times`, async () => {
    let next = 0;
    const one = async (): Promise<void> => {
      while (next < repeats) {
        const chunks = next++ % 25;
        await expect(runProgram('generation-exit', [model, chunks]), `after ${chunks} chunks`).rejects.toMatchObject({
          code: 7,
          signal: null,
          stderr: '',
        });
      }
    };
    await Promise.all([one(), one()]);
    expect(next).toBe(repeats);
  });
});
