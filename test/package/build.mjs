#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Builds the addon as `npm run build:native` does, through the compile cache, so that the package tests and the native
// tests, which build the same sources in other ways, find their objects. A tree that was configured before keeps the
// launcher that it has.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { compileCacheEnvironment, root } from './compile-cache.mjs';

const script = path.join(root, 'scripts', 'cmake-build.mjs');
const build = spawnSync(process.execPath, [script], { stdio: 'inherit', env: compileCacheEnvironment });
if (build.error) throw build.error;
process.exit(build.status ?? 1);
