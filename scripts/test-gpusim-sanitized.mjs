#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Builds the simulated GPU itself under AddressSanitizer and UBSan and runs its driver tests and its vitest suite on that
// build. The first build takes minutes, which is why this is no part of .ci/run. Arguments go to vitest.
import { execFileSync, spawnSync } from 'node:child_process';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const tree = path.join(root, 'build', 'gpusim-sanitized');

function run(command, args, env = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } });
  if (result.error) throw new Error(`${command}: ${result.error.message}`);
  if (result.status !== 0) process.exit(result.status ?? 1);
}

const configuration = ['-DCMAKE_BUILD_TYPE=Release', '-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG'];
run('cmake', [
  ...['-S', path.join(root, 'test', 'gpusim'), '-B', tree, '--log-level=WARNING'],
  ...[...configuration, '-DGPUSIM_SANITIZE=address,undefined'],
]);
run('cmake', ['--build', tree, '--parallel', '2']);
const options = {
  // Programs abandon threads and memory on purpose; a fault on a device address is one of the things that tests expect.
  ASAN_OPTIONS: 'detect_leaks=0:handle_segv=0:allow_user_segv_handler=1',
  UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
};
run(path.join(tree, 'gpusim_driver_tests'), [], options);

// Programs are not built with the sanitizer, so that its runtime must be there before the library is loaded.
const runtime = execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
run('npx', ['vitest', 'run', '--project', 'gpusim', ...process.argv.slice(2)], {
  ...options,
  GPUSIM_BUILD: tree,
  GPUSIM_PRELOAD: runtime,
});
