#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Holds each kernel of the last build, on every architecture, to its budget of registers, spilled bytes and static shared
// memory, from what ptxas said when it was compiled (cmake/DeviceCode.cmake keeps it). cuda/budgets.json has
// [{ "kernel": <regular expression on the entry's name>, "registers", "spillBytes", "sharedBytes" }]; the first match counts,
// and every kernel must have one. `--list` prints the whole table. `--folder DIR` reads another build's fatbin folder.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

const root = path.resolve(import.meta.dirname, '..');
const limits = ['registers', 'spillBytes', 'sharedBytes'];
/** Where there is no table, as in an installed package. */
const unlisted = { kernel: '', registers: 255, spillBytes: 0, sharedBytes: 48 * 1024 };
const deviceCode = readFileSync(path.join(root, 'cmake', 'DeviceCode.cmake'), 'utf8');
const released = /PAGEWARP_CUDA_RELEASE_ARCHS ([\d ]+)\)/.exec(deviceCode)[1].split(' ').join(';');

const { values: options } = parseArgs({ options: { list: { type: 'boolean' }, folder: { type: 'string' } } });
const build = path.join(root, 'build', 'cmake', `${process.platform}-${process.arch}-Release`, 'fatbin');
const folder = options.folder ?? build;

function skip(reason) {
  console.log(`skipped: kernel budgets: ${reason}`);
  process.exit(0);
}

if (!existsSync(path.join(folder, 'manifest.json'))) skip('nothing has been built: run `npm run build:native` first');
const manifest = JSON.parse(readFileSync(path.join(folder, 'manifest.json'), 'utf8'));
if (manifest.reason) skip(`the build has no device code (${manifest.reason})`);

const budgetFile = path.join(root, 'cuda', 'budgets.json');
const budgets = existsSync(budgetFile) ? JSON.parse(readFileSync(budgetFile, 'utf8')) : [unlisted];
const used = new Set();
function budgetOf(kernel) {
  const budget = budgets.find((row) => new RegExp(row.kernel).test(kernel));
  used.add(budget);
  return budget;
}

/** Rows of { kernel, architecture, registers, spillBytes, sharedBytes } from what `ptxas -v` prints. */
function parse(output) {
  const rows = [];
  let row;
  for (const line of output.split('\n')) {
    const entry = /Compiling entry function '(\S+)' for 'sm_(\w+)'/.exec(line);
    if (entry) {
      row = { kernel: entry[1], architecture: entry[2], registers: 0, spillBytes: 0, sharedBytes: 0 };
      rows.push(row);
    }
    if (!row) continue;
    const spill = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (spill) row.spillBytes = Math.max(Number(spill[1]), Number(spill[2]));
    const registers = /Used (\d+) registers/.exec(line);
    if (registers) row.registers = Number(registers[1]);
    const shared = /(\d+) bytes smem/.exec(line);
    if (shared) row.sharedBytes = Number(shared[1]);
  }
  return rows;
}

const problems = [];
let kernels = 0;
for (const module of manifest.modules) {
  const log = path.join(folder, `${module}.fatbin.log`);
  const rows = existsSync(log) ? parse(readFileSync(log, 'utf8')) : [];
  if (rows.length === 0) problems.push(`${module}: no kernels in ${path.relative(root, log)}`);
  const names = new Set(rows.map((row) => row.kernel));
  for (const name of names) {
    const found = new Set(rows.filter((row) => row.kernel === name).map((row) => row.architecture));
    const missing = manifest.architectures.filter((architecture) => !found.has(String(architecture)));
    if (missing.length > 0) problems.push(`${module} ${name}: not compiled for sm_${missing.join(', sm_')}`);
  }
  for (const row of rows) {
    kernels += 1;
    const budget = budgetOf(row.kernel);
    const where = `${module} ${row.kernel} sm_${row.architecture}`;
    const figures = `${row.registers} registers, ${row.spillBytes} B spilled, ${row.sharedBytes} B shared`;
    if (options.list) console.log(`${where}: ${figures}`);
    if (!budget) problems.push(`${where}: cuda/budgets.json has no row for it (${figures})`);
    for (const name of limits.filter((one) => row[one] > budget?.[one])) {
      problems.push(`${where}: ${name} ${row[name]}, budget ${budget[name]}`);
    }
  }
}
for (const { kernel } of budgets.filter((row) => !used.has(row))) {
  problems.push(`cuda/budgets.json: no kernel matches ${kernel}, or rows before it match them all`);
}
for (const problem of problems) console.log(problem);
const compiled = manifest.architectures.join(';');
if (compiled !== released) console.log(`reduced: kernel budgets: built for ${compiled} only, releases for ${released}`);
console.log(
  `${kernels} kernels in ${manifest.modules.length} modules for sm_${compiled.replaceAll(';', ', sm_')}: ` +
    `${problems.length} problems`,
);
process.exit(problems.length === 0 && kernels > 0 ? 0 : 1);
