// SPDX-License-Identifier: Apache-2.0
// The package as npm delivers it: what is in it, and that it works where it is installed, without any install script.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  addonInPrebuilds,
  type Installed,
  installPackage,
  runNode,
  runTool,
  smoke,
  smokeResult,
  tree,
} from './support.js';

/** One platform's binary and the sources; device code for five architectures is most of it where nvcc compiled it. */
const maxPackedBytes = 28e6;
const maxBinaryBytes = 32e6;
const binary = path.relative(tree, addonInPrebuilds);

let installed: Installed;
const inConsumer = (...parts: string[]): string => path.join(installed.consumer, ...parts);
beforeAll(async () => {
  installed = await installPackage();
});

describe('the tarball', () => {
  it('holds what a build and a user need, and nothing else', () => {
    const allowed = [
      /^(package\.json|README\.md|LICENSE|NOTICE|CMakeLists\.txt|binding\.gyp|scripts\/cmake-build\.mjs)$/,
      /^dist\/[\w/.-]+\.(js|d\.ts)$/,
      /^cmake\/\w+\.(cmake|cpp|map)$/,
      /^csrc\/[\w/]+\.(cpp|h|inl)$/,
      /^cuda\/[\w/]+\.(cu|cuh)$/,
      /^prebuilds\/[\w-]+\/pagewarp\.node$/,
    ];
    const files = installed.packed.files.map((file) => file.path);
    expect(files.filter((file) => !allowed.some((pattern) => pattern.test(file)))).toEqual([]);
    for (const needed of [
      'README.md',
      'LICENSE',
      'NOTICE',
      'dist/index.js',
      'dist/index.d.ts',
      'csrc/node/addon.cpp',
    ]) {
      expect(files).toContain(needed);
    }
    expect(files).toContain(binary);
  });

  it('stays small', () => {
    expect(installed.packed.size).toBeLessThan(maxPackedBytes);
    expect(statSync(inConsumer('node_modules/pagewarp', binary)).size).toBeLessThan(maxBinaryBytes);
  });

  it('has no script that npm would run on install', () => {
    const manifest = JSON.parse(readFileSync(inConsumer('node_modules/pagewarp/package.json'), 'utf8'));
    expect(manifest.gypfile).toBe(false);
    for (const name of ['preinstall', 'install', 'postinstall', 'prepare'])
      expect(manifest.scripts).not.toHaveProperty(name);
  });

  it('satisfies publint', async () => {
    const { messages } = await publint({
      pkgDir: inConsumer('node_modules/pagewarp'),
      pack: false,
      strict: true,
    });
    const manifest = JSON.parse(readFileSync(path.join(tree, 'package.json'), 'utf8'));
    expect(messages.map((message) => formatMessage(message, manifest))).toEqual([]);
  });

  it('has types that resolve the way its code does', async () => {
    // For Node's import; its require() of ES modules, which `types` cannot express, is tried out below.
    const options = ['--profile', 'esm-only', '--no-color', '--format', 'ascii'];
    const output = await runTool('@arethetypeswrong/cli/dist/index.js', [installed.tarball, ...options]);
    expect(output).toMatch(/node16 \(from ESM\): 🟢/);
  });
});

describe('the installed package', () => {
  const runThere = async (name: string, text: string): Promise<string> => {
    writeFileSync(inConsumer(name), text);
    return (await runNode([name], { cwd: installed.consumer })).trim();
  };

  it('can be imported', async () => {
    expect(await runThere('use.mjs', `import * as pagewarp from 'pagewarp';\n${smoke}`)).toBe(smokeResult);
  });

  it('can be required', async () => {
    expect(await runThere('use.cjs', `const pagewarp = require('pagewarp');\n${smoke}`)).toBe(smokeResult);
  });

  it('prints nothing when it is imported', async () => {
    expect(await runThere('quiet.mjs', `import 'pagewarp';`)).toBe('');
  });

  it('compiles a typed consumer', async () => {
    writeFileSync(
      inConsumer('typed.mts'),
      `import { Device, Tensor } from 'pagewarp';
       const tensor: Tensor<'f16'> = Tensor.zeros(Device.cpu(), [2], 'f16');
       const numbers: Promise<Uint16Array> = tensor.read();
       export { numbers };\n`,
    );
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--skipLibCheck', 'false'];
    const types = [
      '--lib',
      'es2023,esnext.disposable',
      '--typeRoots',
      path.join(tree, 'node_modules/@types'),
      '--types',
      'node',
    ];
    await runTool('typescript/bin/tsc', [...options, ...types, 'typed.mts'], { cwd: installed.consumer });
  });
});
