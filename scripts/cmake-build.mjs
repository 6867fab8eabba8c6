#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Configures and builds CMakeLists.txt, incrementally, and puts pagewarp.node into --out. `npm run build:native` calls
// it, and so does binding.gyp for node-gyp and prebuildify. Arguments after `--` go to CMake's configure step.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const root = path.resolve(import.meta.dirname, '..');
const { values: options, positionals: configureArguments } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string' },
    config: { type: 'string', default: 'Release' },
    arch: { type: 'string', default: process.arch },
  },
});
const out = path.resolve(root, options.out ?? path.join('build', options.config));
const tree = path.join(root, 'build', 'cmake', `${process.platform}-${options.arch}-${options.config}`);

// gyp's make exports its own flags and job server, which would leak into CMake's make.
const env = { ...process.env };
for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL']) delete env[name];

function run(command, args, { quiet = false } = {}) {
  const result = spawnSync(command, args, { stdio: quiet ? 'ignore' : 'inherit', env, cwd: root });
  if (result.error?.code === 'ENOENT') {
    if (quiet) return false;
    console.error(`${command} was not found: building pagewarp needs CMake 3.22 or later and a C++20 compiler`);
    process.exit(1);
  }
  if (result.error) throw result.error;
  return result.status === 0;
}

const configure = ['-S', root, '-B', tree, `-DCMAKE_BUILD_TYPE=${options.config}`, `-DPAGEWARP_OUT_DIR=${out}`];
configure.push(`-DPAGEWARP_NODE=${process.execPath}`);
if (process.platform === 'darwin') {
  configure.push(`-DCMAKE_OSX_ARCHITECTURES=${options.arch === 'x64' ? 'x86_64' : options.arch}`);
}
if (
  process.platform !== 'win32' &&
  !existsSync(path.join(tree, 'CMakeCache.txt')) &&
  run('ninja', ['--version'], { quiet: true })
) {
  configure.push('-G', 'Ninja');
}
configure.push(...configureArguments, ...(process.env.PAGEWARP_CMAKE_ARGS ?? '').split(/\s+/).filter(Boolean));

const jobs = process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(availableParallelism());
const built =
  run('cmake', configure) && run('cmake', ['--build', tree, '--config', options.config, '--parallel', jobs]);
process.exit(built ? 0 : 1);
