#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Writes prebuilds/<platform>-<arch>/pagewarp.node for the running Node, without a download: headers come from the Node
// installation where it ships them, else the build goes through gyp-shim.mjs, which needs none. Further arguments go to
// prebuildify.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const prefix = path.resolve(process.execPath, '..', '..');
const env = { ...process.env };
env.PAGEWARP_CMAKE_ARGS = `-DPAGEWARP_CUDA_ARCHS=all ${env.PAGEWARP_CMAKE_ARGS ?? ''}`;
const args = ['--napi', '--strip', '--target', process.versions.node];
const nodedir = env.npm_config_nodedir ?? prefix;
if (existsSync(path.join(nodedir, 'include', 'node', 'node_api.h'))) env.npm_config_nodedir = nodedir;
else args.push('--node-gyp', path.join(root, 'scripts', 'gyp-shim.mjs'));

const prebuildify = path.join(path.dirname(createRequire(import.meta.url).resolve('prebuildify')), 'bin.js');
const result = spawnSync(process.execPath, [prebuildify, ...args, ...process.argv.slice(2)], {
  stdio: 'inherit',
  cwd: root,
  env,
});
if (result.error) throw result.error;
process.exit(result.status ?? 1);
