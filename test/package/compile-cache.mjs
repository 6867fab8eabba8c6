// SPDX-License-Identifier: Apache-2.0
// The environment in which CMake compiles the sources of this tree through compile-cache.sh, for builds that share objects.
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '../..');

const launcher = { CMAKE_CXX_COMPILER_LAUNCHER: path.join(import.meta.dirname, 'compile-cache.sh') };

/** What is set already stays. Windows has no shell to run it; there each build compiles. */
export const compileCacheEnvironment = {
  ...(process.platform === 'win32' ? {} : launcher),
  PAGEWARP_COMPILE_CACHE: path.join(root, 'build', 'objects'),
  PAGEWARP_COMPILE_TREE: root,
  ...process.env,
};
