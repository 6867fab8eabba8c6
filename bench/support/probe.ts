// SPDX-License-Identifier: Apache-2.0
/** What the machine can do right now: runs bench/machine, which is built on first use. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Limits {
  threads: number;
  /** Sequential reads from memory, 10^9 bytes a second. */
  readGBs: number;
  /** 8-bit integer operations, two a multiply-add, 10^9 a second; 0 where there is no SIMD. */
  int8Gops: number;
  fmaGflops: number;
}

export interface Machine {
  cpu: string;
  isa: string;
  cores: number;
  limits: Limits[];
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const build = join(root, 'build', 'bench');
const program = join(build, 'machine-probe');

/** Measures with 1 to `threads` threads. Takes about a second. */
export function probe(threads: number, repeats = 3): Machine {
  if (!existsSync(program)) {
    const options = { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] as ('ignore' | 'inherit')[] };
    const configure = ['-S', root, '-B', build, '-DPAGEWARP_ADDON=OFF', '-DPAGEWARP_BENCH=ON', '-DPAGEWARP_CUDA=OFF'];
    execFileSync('cmake', configure, options);
    execFileSync('cmake', ['--build', build, '--target', 'machine-probe', '--parallel', '2'], options);
  }
  return JSON.parse(execFileSync(program, [String(threads), String(repeats)], { encoding: 'utf8' })) as Machine;
}
