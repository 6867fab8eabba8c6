#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Checks (or with --write corrects) the layout of every C++ and CUDA file that git tracks. Versions of clang-format lay
// out the same file differently, so only one is used; without it the check is skipped with a word, unless --require.
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const version = '14';
const root = path.resolve(import.meta.dirname, '..');
const candidates = [`clang-format-${version}`, 'clang-format'];
const program = candidates.find((name) => {
  const probe = spawnSync(name, ['--version'], { encoding: 'utf8' });
  return probe.status === 0 && probe.stdout.includes(`version ${version}.`);
});
if (!program) {
  console.log(`skipped: C++ layout: clang-format ${version} is not installed`);
  process.exit(process.argv.includes('--require') ? 1 : 0);
}

const patterns = ['cpp', 'h', 'inl', 'cu', 'cuh'].map((extension) => `*.${extension}`);
const listed = spawnSync('git', ['ls-files', '-z', '--', ...patterns], { cwd: root, encoding: 'utf8' });
if (listed.status !== 0) throw new Error(`git ls-files: ${listed.stderr}`);
const files = listed.stdout.split('\0').filter(Boolean);
const mode = process.argv.includes('--write') ? ['-i'] : ['--dry-run', '--Werror'];
const result = spawnSync(program, [...mode, '--style=file', ...files], { cwd: root, stdio: 'inherit' });
if (result.error) throw result.error;
console.log(`clang-format ${version}: ${files.length} files${result.status === 0 ? '' : ', some are not laid out'}`);
process.exit(result.status ?? 1);
