// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { describeOnGpu } from '../support/cuda.js';
import { runProgram } from '../support/program.js';

describeOnGpu('a process with a busy GPU', () => {
  // Each program ends by itself with 0; a crash, a hang or an abort does not.
  it.each(['worker-terminate', 'exit-while-busy', 'dispose-races', 'garbage'])('survives %s', async (name) => {
    const { stdout, stderr } = await runProgram(name, [], { PAGEWARP_TEST_DEVICE: 'cuda' });
    expect(stdout.trim().split('\n').at(-1)).toBe('done');
    expect(stderr).not.toMatch(/gpusim: (?!leak)/);
  });
});
