// SPDX-License-Identifier: Apache-2.0
// A compiler launcher (CMAKE_CXX_COMPILER_LAUNCHER) that keeps objects, so that building one tree in many ways compiles it
// once. An object is taken from PAGEWARP_COMPILE_CACHE when the same source in PAGEWARP_COMPILE_TREE was compiled with the
// same flags and every file that it included is unchanged. Usage: node compile-cache.mjs <compiler> <arguments>...
import { spawnSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const { PAGEWARP_COMPILE_CACHE: cache, PAGEWARP_COMPILE_TREE: tree } = process.env;
const [compiler, ...args] = process.argv.slice(2);

function compile() {
  const result = spawnSync(compiler, args, { stdio: 'inherit' });
  if (result.error) throw result.error;
  if (result.status !== 0) process.exit(result.status ?? 1);
}

const after = (flag) => args[args.indexOf(flag) + 1];
if (!cache || !tree || !['-c', '-o', '-MF', '-MT'].every((flag) => args.includes(flag))) {
  compile();
  process.exit(0);
}
const source = path.relative(tree, path.resolve(after('-c')));
const object = after('-o');
const dependencyFile = after('-MF');

/**
 * What the flags mean for the object, apart from where things lie. cmake-js defines a macro for node.h, which nothing here
 * includes.
 */
const meaningless = ['-DBUILDING_NODE_EXTENSION', '-Werror'];
const meaning = args.filter((argument, i) => {
  const isOperand = ['-c', '-o', '-MF', '-MT', '-isystem'].includes(args[i - 1]);
  return !isOperand && !argument.startsWith('-I') && !meaningless.includes(argument);
});
const folder = path.join(
  cache,
  createHash('sha256')
    .update(JSON.stringify([path.basename(compiler), source, ...meaning]))
    .digest('hex'),
);

function contentHash(file) {
  try {
    return createHash('sha256')
      .update(readFileSync(path.resolve(tree, file)))
      .digest('hex');
  } catch {
    return undefined;
  }
}

mkdirSync(folder, { recursive: true });
for (const name of readdirSync(folder).filter((entry) => entry.endsWith('.json'))) {
  const included = Object.entries(JSON.parse(readFileSync(path.join(folder, name), 'utf8')));
  if (!included.every(([file, hash]) => contentHash(file) === hash)) continue;
  copyFileSync(path.join(folder, `${path.basename(name, '.json')}.o`), object);
  const files = included.map(([file]) => path.resolve(tree, file).replaceAll(' ', '\\ '));
  writeFileSync(dependencyFile, `${after('-MT')}: ${files.join(' \\\n ')}\n`);
  process.exit(0);
}

compile();
const listed = readFileSync(dependencyFile, 'utf8').replace(/^[^:]*:/, '');
const files = listed.replaceAll('\\\n', ' ').match(/(?:\\ |\S)+/g) ?? [];
const included = files.map((file) => {
  const name = path.resolve(file.replaceAll('\\ ', ' '));
  const inTree = name.startsWith(tree + path.sep) ? path.relative(tree, name) : name;
  return [inTree, contentHash(inTree)];
});
// Of a source that was edited only the newest object stays.
for (const name of readdirSync(folder)) rmSync(path.join(folder, name), { force: true });
// The list last, and complete when it appears: other processes may be looking.
const stored = path.join(folder, randomUUID());
copyFileSync(object, `${stored}.o`);
writeFileSync(`${stored}.part`, JSON.stringify(Object.fromEntries(included)));
renameSync(`${stored}.part`, `${stored}.json`);
