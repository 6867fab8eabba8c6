#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Builds and runs the C++ tests of test/native under AddressSanitizer and UBSan, the fuzz driver included.
//   PAGEWARP_FUZZ_SECONDS (3), PAGEWARP_FUZZ_SEED (1): how long to fuzz, and from which seed
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const tree = path.join(root, 'build', 'native-tests');
const { PAGEWARP_FUZZ_SECONDS: seconds = '3', PAGEWARP_FUZZ_SEED: seed = '1' } = process.env;

function run(command, args) {
  const result = spawnSync(command, args, { stdio: 'inherit' });
  if (result.error) throw new Error(`${command}: ${result.error.message}`);
  if (result.status !== 0) process.exit(result.status ?? 1);
}

run('cmake', ['-S', path.join(root, 'test', 'native'), '-B', tree, '-DCMAKE_BUILD_TYPE=None', '--log-level=WARNING']);
run('cmake', ['--build', tree, '--parallel', '2']);
const suffix = process.platform === 'win32' ? '.exe' : '';
run(path.join(tree, `native_tests${suffix}`), []);
run(path.join(tree, `gguf_fuzz${suffix}`), [seconds, seed]);
