// SPDX-License-Identifier: Apache-2.0
// The CUDA programs of programs/: each checks itself against an exact or f64 reference and exits with 0.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hasTool, programsFolder, runProgram } from './runner.js';

const names = readdirSync(programsFolder)
  .filter((file) => file.endsWith('.cu'))
  .map((file) => file.replace('.cu', ''));
const deviceFor = (name: string): string =>
  /^\/\/ Architecture: sm_89/m.test(readFileSync(join(programsFolder, `${name}.cu`), 'utf8')) ? 'small89' : 'small';

describe.skipIf(!hasTool('nvcc'))('programs', () => {
  it.each(names)('%s is right in two orders of warps and blocks', { timeout: 240_000 }, async (name) => {
    for (const seed of ['0', '41']) {
      const { status, output } = await runProgram(name, [], { GPUSIM_DEVICE: deviceFor(name), GPUSIM_SEED: seed });
      expect(`${status} ${output}`).toBe('0 ');
    }
  });

  it.each(['legacy', 'per-thread'])('a program on the runtime API runs, its stream 0 being %s', async (variant) => {
    const { status, output } = await runProgram(`runtime_api_${variant}`, [], { GPUSIM_DEVICE: 'small' });
    expect(output).toMatch(/^all right$/m);
    expect(output).toContain('gpusim: cudaMallocArray is not supported');
    expect(status).toBe(0);
  });

  it('a program for sm_80 runs on the later device too', async () => {
    const { status, output } = await runProgram('mma_gemm', [], { GPUSIM_DEVICE: 'small89' });
    expect(`${status} ${output}`).toBe('0 ');
  });
});
