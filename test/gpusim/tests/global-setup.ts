// SPDX-License-Identifier: Apache-2.0
// Builds the simulator and, where nvcc is, the CUDA programs: incrementally, and quietly unless the build fails.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { buildFolder, hasTool, programsBuild, programsFolder } from './runner.js';

function cmake(args: readonly string[]): void {
  try {
    execFileSync('cmake', args, { stdio: 'pipe', maxBuffer: 1 << 28 });
  } catch (problem) {
    const { stdout, stderr } = problem as { stdout?: Buffer; stderr?: Buffer };
    throw new Error(`cmake ${args.join(' ')} failed:\n${stdout ?? ''}${stderr ?? problem}`);
  }
}

function build(source: string, folder: string, options: readonly string[] = []): void {
  if (!existsSync(join(folder, 'CMakeCache.txt'))) {
    const generator = hasTool('ninja') ? ['-G', 'Ninja'] : [];
    cmake(['-S', source, '-B', folder, '-DCMAKE_BUILD_TYPE=Release', ...generator, ...options]);
  }
  cmake(['--build', folder, '--parallel', '2']);
}

/** Builds libcuda.so.1 and the runner; a folder given from outside is used as it is. */
export function buildSimulator(): void {
  if (!process.env.GPUSIM_BUILD) build(join(programsFolder, '..'), buildFolder);
}

export default function setup(): void {
  buildSimulator();
  if (!process.env.GPUSIM_PROGRAMS_BUILD && hasTool('nvcc'))
    build(programsFolder, programsBuild, [`-DGPUSIM_LIBRARY=${join(buildFolder, 'libcuda.so.1')}`]);
}
