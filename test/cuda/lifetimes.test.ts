// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { describeOnGpu } from '../support/cuda.js';

describeOnGpu('a process with a busy GPU', () => {
  // Each program ends by itself with 0; a crash, a hang or an abort does not.
  it.each(['worker-terminate', 'exit-while-busy', 'dispose-races', 'garbage'])('survives %s', async (name) => {
    const program = fileURLToPath(new URL(`../support/programs/${name}.mjs`, import.meta.url));
    const args = ['--expose-gc', '--import', 'tsx', program];
    const env = { ...process.env, PAGEWARP_TEST_DEVICE: 'cuda' };
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { timeout: 120_000, env });
    expect(stdout.trim().split('\n').at(-1)).toBe('done');
    expect(stderr).not.toMatch(/gpusim: (?!leak)/);
  });
});
