// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { inject } from 'vitest';

export const root = path.resolve(import.meta.dirname, '../..');
export const scratch = inject('packageScratch');
export const tree = path.join(scratch, 'tree');
export const addonInBuild = path.join(tree, 'build', 'Release', 'pagewarp.node');
export const addonInPrebuilds = path.join(tree, 'prebuilds', `${process.platform}-${process.arch}`, 'pagewarp.node');

/** Device code of the build that the tests run on: compiling it once more for each way to build would take minutes. */
const fatbins = path.join(root, 'build', 'cmake', `${process.platform}-${process.arch}-Release`, 'fatbin');
const manifest = path.join(fatbins, 'manifest.json');
const hasFatbins = existsSync(manifest) && 'modules' in (JSON.parse(readFileSync(manifest, 'utf8')) as object);
const compiledKernels = process.env['PAGEWARP_FATBIN_DIR'] ?? (hasFatbins ? fatbins : undefined);

/** Windows has no shell to run it; there each build compiles. */
const launcher = {
  CMAKE_CXX_COMPILER_LAUNCHER:
    process.env['CMAKE_CXX_COMPILER_LAUNCHER'] ?? path.join(root, 'test/package/compile-cache.sh'),
};

/** Where node-gyp finds Node's headers without a download, if anywhere. */
export function nodeHeaders(): string | undefined {
  const prefix = path.resolve(process.execPath, '..', '..');
  const candidates = [process.env['npm_config_nodedir'], prefix].filter((folder) => folder !== undefined);
  return candidates.find((folder) => existsSync(path.join(folder, 'include', 'node', 'node_api.h')));
}

export interface RunOptions {
  cwd?: string;
  env?: Record<string, string | undefined>;
}

/** Programs under way, each the leader of its process group: none of them outlives the test run, however that ends. */
const running = new Set<ChildProcess>();
for (const end of ['disconnect', 'SIGTERM', 'exit'] as const) {
  process.on(end, () => {
    for (const { pid } of running) {
      try {
        if (pid !== undefined) process.kill(-pid);
      } catch {
        // it has just ended by itself
      }
    }
    running.clear();
    if (end !== 'exit') process.exit(1);
  });
}

/**
 * Runs a program to its end; builds go through the compile cache. Asynchronously, since a test runner that blocks for minutes
 * loses touch with its workers.
 * @returns what it wrote to standard output
 * @throws with all that it printed when it fails
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    NODE_OPTIONS: '',
    PAGEWARP_ADDON_PATH: undefined,
    PAGEWARP_COMPILE_CACHE: process.env['PAGEWARP_COMPILE_CACHE'] ?? path.join(root, 'build', 'objects'),
    PAGEWARP_COMPILE_TREE: tree,
    PAGEWARP_FATBIN_DIR: compiledKernels,
    ...(process.platform === 'win32' ? {} : launcher),
    CMAKE_BUILD_PARALLEL_LEVEL: '2',
    ...options.env,
  };
  const cwd = options.cwd ?? tree;
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  running.add(child);
  let output = '';
  let all = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    all += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    all += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      running.delete(child);
      if (status === 0) resolve(output);
      else reject(new Error(`${command} ${args.join(' ')} ended with ${status ?? signal}:\n${all.slice(-8000)}`));
    });
  });
}

export function runNode(args: readonly string[], options?: RunOptions): Promise<string> {
  return run(process.execPath, args, options);
}

/** Runs a command-line tool of the development dependencies. */
export function runTool(file: string, args: readonly string[], options?: RunOptions): Promise<string> {
  return runNode([path.join(root, 'node_modules', file), ...args], options);
}

/** The TypeScript of the tree, compiled. */
export async function buildTypeScript(): Promise<void> {
  await runTool('typescript/bin/tsc', ['-p', 'tsconfig.build.json']);
}

export interface Installed {
  /** What `npm pack` says of the tarball. */
  packed: { filename: string; size: number; files: { path: string }[] };
  tarball: string;
  /** A project of somebody else's, with the tarball installed in it. */
  consumer: string;
}

/**
 * Packs the tree with a prebuilt binary, made as on a machine whose Node has no headers, and installs the tarball elsewhere
 * without running any script; once for all test files.
 */
export async function installPackage(): Promise<Installed> {
  const record = path.join(scratch, 'installed.json');
  if (existsSync(record)) return JSON.parse(readFileSync(record, 'utf8')) as Installed;
  for (const folder of ['build', 'prebuilds']) rmSync(path.join(tree, folder), { recursive: true, force: true });
  await buildTypeScript();
  await runNode(['scripts/prebuild.mjs'], { env: { npm_config_nodedir: path.join(tree, 'nowhere') } });
  rmSync(path.join(tree, 'build'), { recursive: true });
  const output = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', scratch]);
  const [packed] = JSON.parse(output) as [Installed['packed']];
  const tarball = path.join(scratch, packed.filename);

  const consumer = path.join(scratch, 'consumer');
  mkdirSync(consumer);
  writeFileSync(path.join(consumer, 'package.json'), JSON.stringify({ name: 'consumer', private: true }));
  const quiet = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  await run('npm', ['install', ...quiet, tarball], { cwd: consumer });
  const installed = { packed, tarball, consumer };
  writeFileSync(record, JSON.stringify(installed));
  return installed;
}

/** Body of a script that, given `pagewarp`, runs a native command and prints its result as JSON. */
export const smoke = `
  const device = pagewarp.Device.cpu({ threads: 2 });
  const tensor = pagewarp.Tensor.from(device, [1, -2.5, 3.140625], [3], 'f32').to('bf16');
  tensor.readNumbers().then((numbers) => {
    console.log(JSON.stringify(numbers));
    tensor.dispose();
    device.dispose();
  });
`;
export const smokeResult = '[1,-2.5,3.140625]';

/** Loads the package at `folder` in a fresh process, runs a command, and returns the path of the addon that did it. */
export async function loadAndRun(folder: string, env: Record<string, string> = {}): Promise<string> {
  const script = `
    import * as pagewarp from ${JSON.stringify(path.join(folder, 'dist/index.js'))};
    import { nativePath } from ${JSON.stringify(path.join(folder, 'dist/native.js'))};
    console.log(nativePath());
    ${smoke}`;
  const printed = await runNode(['--input-type=module', '-e', script], { env });
  const [addon, numbers] = printed.trim().split('\n');
  if (numbers !== smokeResult) throw new Error(`the native command gave ${numbers}, not ${smokeResult}`);
  return addon as string;
}
