// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { inject } from 'vitest';
import { nativePath } from '../../lib/native.js';

/** Path of a file in the folder of programs. */
export function programPath(file: string): string {
  return fileURLToPath(new URL(`programs/${file}`, import.meta.url));
}

/**
 * Runs a program of that folder in a process of its own, with this process's addon. It imports the library from the URL in
 * PAGEWARP_TEST_LIBRARY.
 * @throws with `code`, `signal` and what it wrote when it does not end with 0
 */
export function runProgram(
  name: string,
  args: readonly (string | number)[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<{ stdout: string; stderr: string }> {
  const library = {
    PAGEWARP_TEST_LIBRARY: pathToFileURL(inject('libraryBundle')).href,
    PAGEWARP_ADDON_PATH: nativePath(),
  };
  return promisify(execFile)(process.execPath, ['--expose-gc', programPath(`${name}.mjs`), ...args.map(String)], {
    env: { ...process.env, ...library, ...env },
    timeout: 250_000,
  });
}
