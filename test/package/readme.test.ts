// SPDX-License-Identifier: Apache-2.0
// The documentation is code too: every TypeScript example is type-checked and run, a `text` block after it is what it must
// print, and every npm script that is mentioned exists.
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { beforeAll, describe, expect, it } from 'vitest';
import { installPackage, root, runNode, runTool } from './support.js';

interface Example {
  name: string;
  code: string;
  /** What it prints, when the document says so. */
  output: string | undefined;
}

const documents = ['README.md', 'CONTRIBUTING.md'];
/** In a project that has the package installed, with the repository's models beside it. */
let folder: string;

function examplesOf(document: string): Example[] {
  const text = readFileSync(path.join(root, document), 'utf8');
  const blocks = [...text.matchAll(/^```ts\n(.*?)^```\n(?:\s*```text\n(.*?)^```)?/gms)];
  return blocks.map(([, code, output], i) => ({ name: `${document} example ${i + 1}`, code: code as string, output }));
}

const fileName = (name: string): string => name.replaceAll(/\W+/g, '-');
const examples = documents.flatMap(examplesOf);

beforeAll(async () => {
  folder = path.join((await installPackage()).consumer, 'readme');
  mkdirSync(folder);
  symlinkSync(path.join(root, 'models'), path.join(folder, 'models'), 'dir');
  for (const { name, code } of examples) {
    const file = path.join(folder, fileName(name));
    writeFileSync(`${file}.mts`, code);
    const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
    writeFileSync(`${file}.mjs`, ts.transpileModule(code, { compilerOptions: options }).outputText);
  }
});

describe('the examples', () => {
  it('are there', () => expect(examples.length).toBeGreaterThan(0));

  it('satisfy the type checker', async () => {
    const compilerOptions = { typeRoots: [path.join(root, 'node_modules/@types')] };
    const config = { extends: path.join(root, 'tsconfig.json'), compilerOptions, include: ['*.mts'], exclude: [] };
    writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify(config));
    expect(await runTool('typescript/bin/tsc', ['-p', folder])).toBe('');
  });

  it.each(examples)('$name runs', async ({ name, output }) => {
    const printed = await runNode([`${fileName(name)}.mjs`], { cwd: folder });
    if (output === undefined) expect(printed.trim()).not.toBe('');
    else expect(printed.trimEnd()).toBe(output.trimEnd());
  });
});

describe.each(documents)('%s', (document) => {
  const text = readFileSync(path.join(root, document), 'utf8');

  it('names npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
    const named = [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name as string);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  it('links to files that exist', () => {
    const targets = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, target]) => target as string);
    expect(targets.filter((target) => !existsSync(path.join(root, target)))).toEqual([]);
  });
});
