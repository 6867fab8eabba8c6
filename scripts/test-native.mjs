#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Builds and runs the C++ tests of test/native under AddressSanitizer and UBSan, the fuzz driver included. Linear kernels,
// which ship as they are tested, come from the compile cache where the addon was built through it (npm test).
// Arguments go to ctest.
//   PAGEWARP_FUZZ_SECONDS (3), PAGEWARP_FUZZ_SEED (1): how long to fuzz, and from which seed
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { compileCacheEnvironment as env, root } from '../test/package/compile-cache.mjs';

const tree = path.join(root, 'build', 'native-tests');
const { PAGEWARP_FUZZ_SECONDS: seconds = '3', PAGEWARP_FUZZ_SEED: seed = '1' } = process.env;

function run(command, args) {
  const result = spawnSync(command, args, { stdio: 'inherit', env });
  if (result.error) throw new Error(`${command}: ${result.error.message}`);
  if (result.status !== 0) process.exit(result.status ?? 1);
}

const fuzz = [`-DPAGEWARP_FUZZ_SECONDS=${seconds}`, `-DPAGEWARP_FUZZ_SEED=${seed}`];
run('cmake', ['-S', path.join(root, 'test', 'native'), '-B', tree, ...fuzz, '--log-level=WARNING']);
run('cmake', ['--build', tree, '--config', 'Debug', '--parallel', '2']);
run('ctest', ['--test-dir', tree, '-C', 'Debug', '--output-on-failure', ...process.argv.slice(2)]);
