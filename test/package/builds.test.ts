// SPDX-License-Identifier: Apache-2.0
// The ways to build the addon, in a copy of the tree: each must leave a binary that loads and computes.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fatbinTargets } from '../support/fatbin.js';
import { announceSkip } from '../support/skip.js';
import {
  addonInBuild,
  addonInPrebuilds,
  buildTypeScript,
  loadAndRun,
  nodeHeaders,
  run,
  runNode,
  runTool,
  tree,
} from './support.js';

describe('building', () => {
  beforeAll(async () => {
    await buildTypeScript();
  });
  beforeEach(() => {
    for (const folder of ['build', 'prebuilds']) rmSync(path.join(tree, folder), { recursive: true, force: true });
  });

  it('works with cmake-js compile', async () => {
    await runTool('cmake-js/bin/cmake-js', ['compile', '--parallel', '2']);
    expect(await loadAndRun(tree)).toBe(addonInBuild);
  });

  it('works with scripts/cmake-build.mjs, which then rebuilds nothing', async () => {
    await runNode(['scripts/cmake-build.mjs']);
    expect(await loadAndRun(tree)).toBe(addonInBuild);
    const built = statSync(addonInBuild).mtimeMs;
    const again = await runNode(['scripts/cmake-build.mjs']);
    expect(again).not.toMatch(/Building CXX object/);
    expect(statSync(addonInBuild).mtimeMs).toBe(built);
  });

  const headers = nodeHeaders();
  const gyp = headers === undefined ? announceSkip('node-gyp rebuild: this Node installation has no headers') : false;
  it.skipIf(gyp)('works with node-gyp rebuild', async () => {
    await runTool('node-gyp/bin/node-gyp.js', ['rebuild'], { env: { npm_config_nodedir: headers } });
    expect(await loadAndRun(tree)).toBe(addonInBuild);
  });

  it('works with prebuildify --napi --strip, and the prebuilt binary loads without build/', async () => {
    await runNode(['scripts/prebuild.mjs']);
    expect(existsSync(addonInPrebuilds)).toBe(true);
    rmSync(path.join(tree, 'build'), { recursive: true });
    expect(await loadAndRun(tree)).toBe(addonInPrebuilds);
  });

  it('says what to do when there is no binary', async () => {
    const script = `import('./dist/index.js').then(({ Device }) => Device.cpu()).catch((error) => console.log(error.code, error.message))`;
    const printed = await runNode(['-e', script]);
    expect(printed).toContain('ERR_NATIVE_NOT_FOUND');
    expect(printed).toContain('npm run build:native');
  });
});

describe('device code', () => {
  const noCompiler =
    spawnSync('nvcc', ['--version']).error && announceSkip('embedding device code: nvcc is not installed');

  it.skipIf(noCompiler)('is embedded, one fatbin per .cu file, with what a release has', async () => {
    // One kernel in place of all: compiling is what takes long.
    const [cuda, aside] = [path.join(tree, 'cuda'), path.join(tree, 'cuda-aside')];
    renameSync(cuda, aside);
    mkdirSync(path.join(cuda, 'probe'), { recursive: true });
    writeFileSync(path.join(cuda, 'probe', 'one.cu'), 'extern "C" __global__ void probe(int* out) { *out = 7; }\n');
    const folder = path.join(tree, 'build', 'cuda');
    try {
      const options = ['-DPAGEWARP_CUDA=ON', '-DPAGEWARP_CUDA_ARCHS=all', '-DPAGEWARP_FATBIN_DIR='];
      await run('cmake', ['-S', tree, '-B', folder, ...options]);
      await run('cmake', ['--build', folder, '--parallel', '2']);
      const symbols = await run('nm', [path.join(folder, 'CMakeFiles/pagewarp_core.dir/embedded_modules.S.o')]);
      expect(symbols).toContain('pw_module_probe_one_end');
      const machineCode = ['sm_80', 'sm_86', 'sm_90', 'sm_100', 'sm_120'];
      const held = fatbinTargets(path.join(folder, 'fatbin/probe/one.fatbin'));
      expect(held).toEqual([...machineCode, 'compute_80', 'compute_120'].sort());
      const budgets = await runNode(['scripts/kernel-budget.mjs', '--list', '--folder', path.join(folder, 'fatbin')]);
      expect(budgets).toMatch(/probe\/one probe sm_80: \d+ registers, 0 B spilled, 0 B shared\n/);
      expect(budgets).toContain(`5 kernels in 1 modules for ${machineCode.join(', ')}: 0 problems`);
      await loadAndRun(tree, { PAGEWARP_ADDON_PATH: path.join(folder, 'Release', 'pagewarp.node') });
      // A list of one's own: machine code for each, and PTX of the lowest.
      await run('cmake', ['-S', tree, '-B', folder, '-DPAGEWARP_CUDA_ARCHS=80;90']);
      const manifest = () => JSON.parse(readFileSync(path.join(folder, 'fatbin/manifest.json'), 'utf8'));
      expect(manifest()).toMatchObject({ architectures: [80, 90], ptx: [80], modules: ['probe/one'] });
      // For the GPUs of this machine: of each the nearest of a release, if one is of its major version.
      const smi = path.join(folder, 'nvidia-smi');
      writeFileSync(smi, '#!/bin/sh\nprintf "8.9\\n12.1\\n11.0\\n8.7\\n"\n', { mode: 0o755 });
      await run('cmake', ['-S', tree, '-B', folder, '-DPAGEWARP_CUDA_ARCHS=native', `-DPAGEWARP_NVIDIA_SMI=${smi}`]);
      expect(manifest()).toMatchObject({ architectures: [80, 86, 120], ptx: [80] });
    } finally {
      rmSync(cuda, { recursive: true });
      renameSync(aside, cuda);
    }
  });
});
