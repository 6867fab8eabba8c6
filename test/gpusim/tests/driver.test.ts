// SPDX-License-Identifier: Apache-2.0
// The driver's unit tests (tests/driver, C++), one test case each, and what the library exports.
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildFolder } from './runner.js';

const program = join(buildFolder, 'gpusim_driver_tests');
const names = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n');

describe('driver', () => {
  it.each(names)('%s', (name) => {
    const { status, stdout } = spawnSync(program, [name], { encoding: 'utf8' });
    expect(`${status} ${stdout}`).toBe(`0 ok ${name}\n`);
  });

  it('refuses a device that it does not know', () => {
    const { status, stderr } = spawnSync(join(buildFolder, 'gpusim'), ['batch', '/dev/null'], {
      encoding: 'utf8',
      env: { ...process.env, GPUSIM_DEVICE: 'h9000' },
    });
    expect(status).toBe(1);
    expect(stderr).toContain("no device model is called 'h9000'; built in are a10, a100, l4, rtx4090, small, small89");
  });

  it('has no device when told so', () => {
    const { stderr } = spawnSync(join(buildFolder, 'gpusim'), ['batch', '/dev/null'], {
      encoding: 'utf8',
      env: { ...process.env, GPUSIM_DEVICE: 'none' },
    });
    expect(stderr).toContain('CUDA_ERROR_NO_DEVICE');
  });
});
