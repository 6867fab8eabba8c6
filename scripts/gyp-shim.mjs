#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Stands in for node-gyp where prebuildify runs on a machine without Node's C++ headers: it answers prebuildify's
// `rebuild --target=... --arch=... --release` with the CMake build, which needs none of them.
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const arch = process.argv.find((argument) => argument.startsWith('--arch='))?.slice('--arch='.length) ?? process.arch;
const config = process.argv.includes('--debug') ? 'Debug' : 'Release';
const build = path.join(root, 'scripts', 'cmake-build.mjs');
const result = spawnSync(process.execPath, [build, '--arch', arch, '--config', config], {
  stdio: 'inherit',
  cwd: root,
});
if (result.error) throw result.error;
process.exit(result.status ?? 1);
