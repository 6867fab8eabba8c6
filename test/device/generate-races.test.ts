// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { nativePath } from '../../lib/native.js';
import { bundleLibrary } from '../support/bundle.js';
import { temporaryFolder } from '../support/folder.js';
import { tinyModel } from '../support/tiny-model.js';

const folder = temporaryFolder();
const model = join(folder, 'tiny.gguf');
const repeats = 100;
let bundle = '';

beforeAll(async () => {
  tinyModel().writer.write(model);
  bundle = await bundleLibrary();
});

function start(name: string, ...args: (string | number)[]): Promise<{ stdout: string }> {
  const program = fileURLToPath(new URL(`../support/programs/${name}.mjs`, import.meta.url));
  const env = { ...process.env, PAGEWARP_ADDON_PATH: nativePath() };
  return promisify(execFile)(process.execPath, [program, bundle, model, ...args.map(String)], {
    env,
    timeout: 250_000,
  });
}

describe('a generation under way', () => {
  it(`survives worker.terminate(), ${repeats} times`, async () => {
    const { stdout } = await start('generation-worker', repeats);
    expect(stdout.trim()).toBe('done');
  });

  it(`survives process.exit(), ${repeats} times`, async () => {
    let next = 0;
    const one = async (): Promise<void> => {
      while (next < repeats) {
        const chunks = next++ % 25;
        await expect(start('generation-exit', chunks), `after ${chunks} chunks`).rejects.toMatchObject({
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
