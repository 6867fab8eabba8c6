#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Compiles every cuda/**/*.cu with `ptxas -v` and holds each kernel to its budget of registers, spilled bytes and static
// shared memory. cuda/budgets.json has [{ "kernel": <regular expression on the mangled name>, "registers", "spillBytes",
// "sharedBytes" }], the first match counts; other kernels must not spill. `--list` prints the table only.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const architectures = ['sm_80', 'sm_90'];
const defaults = { registers: 255, spillBytes: 0, sharedBytes: 48 * 1024 };
const root = path.resolve(import.meta.dirname, '..');
const cuda = path.join(root, 'cuda');

const sources = existsSync(cuda)
  ? readdirSync(cuda, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.cu'))
  : [];
if (sources.length === 0) {
  console.log('skipped: kernel budgets: there are no .cu files');
  process.exit(0);
}
const nvcc = [process.env.CUDA_HOME, '/usr/local/cuda'].filter(Boolean).map((home) => path.join(home, 'bin', 'nvcc'));
const compiler = nvcc.find(existsSync) ?? 'nvcc';
if (spawnSync(compiler, ['--version']).error) {
  console.log('skipped: kernel budgets: nvcc is not installed');
  process.exit(0);
}

const budgetFile = path.join(cuda, 'budgets.json');
const budgets = existsSync(budgetFile) ? JSON.parse(readFileSync(budgetFile, 'utf8')) : [];
const budgetOf = (kernel) => ({ ...defaults, ...budgets.find((row) => new RegExp(row.kernel).test(kernel)) });

/** Rows of { kernel, architecture, registers, spillBytes, sharedBytes } from what `ptxas -v` prints. */
function parse(output) {
  const rows = [];
  let row;
  for (const line of output.split('\n')) {
    const entry = /Compiling entry function '(\S+)' for '(\w+)'/.exec(line);
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

let broken = 0;
let kernels = 0;
for (const source of sources.sort()) {
  const targets = architectures.flatMap((arch) => ['-gencode', `arch=${arch.replace('sm', 'compute')},code=${arch}`]);
  const includes = ['-I', cuda, '-I', path.join(root, 'csrc/include')];
  const flags = ['-fatbin', '-m64', '-O3', '-std=c++17', '-Xptxas', '-v', '--threads', '0', '-o', '/dev/null'];
  const result = spawnSync(compiler, [...flags, ...targets, ...includes, path.join(cuda, source)], {
    encoding: 'utf8',
  });
  if (result.status !== 0) {
    console.error(result.stderr);
    process.exit(1);
  }
  for (const row of parse(result.stderr + result.stdout)) {
    kernels += 1;
    const budget = budgetOf(row.kernel);
    const over = Object.keys(defaults).filter((name) => row[name] > budget[name]);
    const figures = `${row.registers} registers, ${row.spillBytes} B spilled, ${row.sharedBytes} B shared`;
    if (process.argv.includes('--list')) console.log(`${source} ${row.kernel} ${row.architecture}: ${figures}`);
    for (const name of over) {
      broken += 1;
      console.log(`${source} ${row.kernel} ${row.architecture}: ${name} ${row[name]}, budget ${budget[name]}`);
    }
  }
}
console.log(`${kernels} kernels in ${sources.length} files, ${broken} over budget`);
process.exit(broken === 0 && kernels > 0 ? 0 : 1);
