// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/folder.js';
import { runProgram } from '../support/program.js';
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
