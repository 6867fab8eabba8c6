// SPDX-License-Identifier: Apache-2.0
// Builds the simulator and, where nvcc is, the CUDA programs, incrementally. It runs before any test and its limit of time.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { buildFolder, hasTool, programsBuild, programsFolder } from './runner.js';

/** The progress of a build goes to the terminal: the first one takes minutes. */
function cmake(args: readonly string[]): void {
  execFileSync('cmake', args, { stdio: ['ignore', 'inherit', 'inherit'] });
}

function build(source: string, folder: string, options: readonly string[] = []): void {
  if (!['build.ninja', 'Makefile'].some((file) => existsSync(join(folder, file)))) {
    const generator = hasTool('ninja') ? ['-G', 'Ninja'] : [];
    console.log(`gpusim tests: building ${folder}, which takes some minutes the first time`);
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
