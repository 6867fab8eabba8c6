// SPDX-License-Identifier: Apache-2.0
// One copy of the tree for all package tests, with the dependencies of the original, and a cache of compiled objects.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Scratch folder; `tree` in it is the copy, the rest is the tests' own. */
    packageScratch: string;
  }
}

const root = path.resolve(import.meta.dirname, '../..');
/** Not part of any build or of the package. */
const leftOut = ['models/', 'bench/', 'test/', '.github/'];

export default function setup(project: TestProject): () => void {
  const scratch = mkdtempSync(path.join(tmpdir(), 'pagewarp-package-'));
  const tree = path.join(scratch, 'tree');
  mkdirSync(tree);
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  for (const file of listed.split('\0')) {
    if (file === '' || leftOut.some((folder) => file.startsWith(folder))) continue;
    cpSync(path.join(root, file), path.join(tree, file));
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(tree, 'node_modules'), 'dir');
  project.provide('packageScratch', scratch);
  return () => rmSync(scratch, { recursive: true, force: true });
}
