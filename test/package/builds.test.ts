// SPDX-License-Identifier: Apache-2.0
// The ways to build the addon, in a copy of the tree: each must leave a binary that loads and computes.
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
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
  beforeAll(() => {
    buildTypeScript();
  });
  beforeEach(() => {
    for (const folder of ['build', 'prebuilds']) rmSync(path.join(tree, folder), { recursive: true, force: true });
  });

  it('works with cmake-js compile', () => {
    runTool('cmake-js/bin/cmake-js', ['compile', '--parallel', '2']);
    expect(loadAndRun(tree)).toBe(addonInBuild);
  });

  it('works with scripts/cmake-build.mjs, which then rebuilds nothing', () => {
    runNode(['scripts/cmake-build.mjs']);
    expect(loadAndRun(tree)).toBe(addonInBuild);
    const built = statSync(addonInBuild).mtimeMs;
    const again = runNode(['scripts/cmake-build.mjs']);
    expect(again).not.toMatch(/Building CXX object/);
    expect(statSync(addonInBuild).mtimeMs).toBe(built);
  });

  const headers = nodeHeaders();
  const gyp = headers === undefined ? announceSkip('node-gyp rebuild: this Node installation has no headers') : false;
  it.skipIf(gyp)('works with node-gyp rebuild', () => {
    runTool('node-gyp/bin/node-gyp.js', ['rebuild'], { env: { npm_config_nodedir: headers } });
    expect(loadAndRun(tree)).toBe(addonInBuild);
  });

  it('works with prebuildify --napi --strip, and the prebuilt binary loads without build/', () => {
    runNode(['scripts/prebuild.mjs']);
    expect(existsSync(addonInPrebuilds)).toBe(true);
    rmSync(path.join(tree, 'build'), { recursive: true });
    expect(loadAndRun(tree)).toBe(addonInPrebuilds);
  });

  it('says what to do when there is no binary', () => {
    const script = `import('./dist/index.js').then(({ Device }) => Device.cpu()).catch((error) => console.log(error.code, error.message))`;
    const printed = runNode(['-e', script]);
    expect(printed).toContain('ERR_NATIVE_NOT_FOUND');
    expect(printed).toContain('npm run build:native');
  });
});

describe('device code', () => {
  const nvcc = (): boolean => {
    try {
      run('nvcc', ['--version']);
      return true;
    } catch {
      return !announceSkip('embedding device code: nvcc is not installed');
    }
  };

  it.skipIf(!nvcc())('is embedded, one fatbin per .cu file', () => {
    const source = path.join(tree, 'cuda', 'probe', 'package_test.cu');
    run('mkdir', ['-p', path.dirname(source)]);
    writeFileSync(source, 'extern "C" __global__ void probe(int* out) { *out = 7; }\n');
    const folder = path.join(tree, 'build', 'cuda');
    try {
      run('cmake', ['-S', tree, '-B', folder, '-DPAGEWARP_CUDA=ON', '-DPAGEWARP_CUDA_ARCHS=80;90']);
      run('cmake', ['--build', folder, '--parallel', '2']);
      const symbols = run('nm', [path.join(folder, 'CMakeFiles/pagewarp_core.dir/embedded_modules.S.o')]);
      expect(symbols).toContain('pw_module_probe_package_test_end');
      expect(statSync(path.join(folder, 'fatbin/probe/package_test.fatbin')).size).toBeGreaterThan(1000);
      loadAndRun(tree, { PAGEWARP_ADDON_PATH: path.join(folder, 'Release', 'pagewarp.node') });
    } finally {
      rmSync(path.dirname(source), { recursive: true });
    }
  });
});
