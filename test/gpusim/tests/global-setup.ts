// SPDX-License-Identifier: Apache-2.0
// Builds the simulator before its tests: incrementally, and quietly unless the build fails.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export default function setup(): void {
  if (process.env.GPUSIM_BUILD) return;
  const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
  const build = join(root, 'build/gpusim');
  const run = (args: readonly string[]): void => {
    try {
      execFileSync('cmake', args, { stdio: 'pipe' });
    } catch (problem) {
      const { stdout, stderr } = problem as { stdout?: Buffer; stderr?: Buffer };
      throw new Error(`cmake ${args.join(' ')} failed:\n${stdout ?? ''}${stderr ?? problem}`);
    }
  };
  if (!existsSync(join(build, 'CMakeCache.txt'))) {
    run(['-S', join(root, 'test/gpusim'), '-B', build, '-DCMAKE_BUILD_TYPE=Release']);
  }
  run(['--build', build, '--parallel', '2']);
}
