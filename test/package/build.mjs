#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Builds the addon as `npm run build:native` does, through the compile cache, so that the package tests, which build the
// same sources in other ways, find their objects. A tree that was configured before keeps the launcher that it has.
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../..');
const launcher = { CMAKE_CXX_COMPILER_LAUNCHER: path.join(import.meta.dirname, 'compile-cache.sh') };
const env = {
  ...(process.platform === 'win32' ? {} : launcher),
  PAGEWARP_COMPILE_CACHE: path.join(root, 'build', 'objects'),
  PAGEWARP_COMPILE_TREE: root,
  ...process.env,
};
const build = spawnSync(process.execPath, [path.join(root, 'scripts', 'cmake-build.mjs')], { stdio: 'inherit', env });
if (build.error) throw build.error;
process.exit(build.status ?? 1);
