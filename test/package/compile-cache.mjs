// SPDX-License-Identifier: Apache-2.0
// A compiler launcher (CMAKE_CXX_COMPILER_LAUNCHER) that keeps objects by the hash of the preprocessed source, so that
// building the same tree in four ways compiles it once. Usage: node compile-cache.mjs <compiler> <arguments>...
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, renameSync } from 'node:fs';
import path from 'node:path';

const folder = process.env.PAGEWARP_COMPILE_CACHE;
const [compiler, ...args] = process.argv.slice(2);

function run(extra, options) {
  const result = spawnSync(compiler, extra, { maxBuffer: 2 ** 30, ...options });
  if (result.error) throw result.error;
  if (result.status !== 0) process.exit(result.status ?? 1);
  return result.stdout;
}

const outputAt = args.indexOf('-o');
if (!folder || !args.includes('-c') || outputAt < 0) {
  run(args, { stdio: 'inherit' });
  process.exit(0);
}

// Preprocessing writes the dependency file as well; -P leaves out line markers, which would hold the tree's own path.
const output = args[outputAt + 1];
const withoutOutput = args.filter((argument, i) => argument !== '-c' && i !== outputAt && i !== outputAt + 1);
const text = run([...withoutOutput, '-E', '-P'], { stdio: ['ignore', 'pipe', 'inherit'] });
// Macros and include folders have had their effect by then.
const isSettled = (argument, i) =>
  /^-[ID]/.test(argument) || path.isAbsolute(argument) || ['-isystem', '-MF', '-MT', '-o'].includes(args[i - 1]);
const flags = args.filter((argument, i) => !isSettled(argument, i));
const key = createHash('sha256')
  .update(JSON.stringify([compiler, flags]))
  .update(text)
  .digest('hex');
const cached = path.join(folder, key);
if (!existsSync(cached)) {
  run(args, { stdio: 'inherit' });
  mkdirSync(folder, { recursive: true });
  copyFileSync(output, `${cached}.${process.pid}`);
  renameSync(`${cached}.${process.pid}`, cached);
} else {
  copyFileSync(cached, output);
}
