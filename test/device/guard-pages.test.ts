// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../support/folder.js';
import { programPath, runProgram } from '../support/program.js';
import { announceSkip } from '../support/skip.js';

const folder = temporaryFolder();
const run = promisify(execFile);

/** Builds the allocator with guard pages; undefined, and announced, where that is not possible. */
async function buildGuard(): Promise<string | undefined> {
  const out = join(folder, 'guard-pages.so');
  try {
    if (process.platform !== 'linux') throw new Error('they are made for Linux');
    await run(process.env['CC'] ?? 'cc', ['-O1', '-shared', '-fPIC', programPath('guard-pages.c'), '-o', out, '-ldl']);
    return out;
  } catch (error) {
    announceSkip(`guard pages around CPU buffers: ${(error as Error).message}`);
    return undefined;
  }
}

it('no kernel reads or writes beyond its buffers, or after they were freed', async () => {
  const preload = await buildGuard();
  if (!preload) return;
  const { stdout, stderr } = await runProgram('guarded-ops', [], { LD_PRELOAD: preload });
  expect(Number.parseInt(stdout, 10)).toBeGreaterThan(2000);
  // The allocator was in the way of the library's allocations, or the test shows nothing.
  expect(Number(/guarded (\d+) MB/.exec(stderr)?.[1])).toBeGreaterThan(10);
});
