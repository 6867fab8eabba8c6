// SPDX-License-Identifier: Apache-2.0
// What is inside the binary: no instruction of a newer CPU where an older one could meet it, and nothing exported that
// could clash with other addons.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { announceSkip } from '../support/skip.js';
import { buildTypeScript, loadAndRun, run, tree } from './support.js';

const folder = path.join(tree, 'build', 'objects');
const elf = process.platform === 'linux' || !announceSkip('symbols of the binary: only looked at on Linux');

function objectFiles(): string[] {
  const files = readdirSync(path.join(folder, 'CMakeFiles'), { recursive: true, encoding: 'utf8' });
  return files.filter((file) => file.endsWith('.cpp.o')).map((file) => path.join(folder, 'CMakeFiles', file));
}

/** Instruction set of an object file, from its name; `baseline` for the platform's own. */
function instructionSet(object: string): string {
  return /(?:^|_)(avx\w+)\.cpp\.o$/.exec(path.basename(object))?.[1] ?? 'baseline';
}

/** Weak and unique functions that an object defines: of these the linker keeps one copy for the whole binary. */
async function sharedFunctions(object: string): Promise<string[]> {
  const symbols = await run('nm', ['--defined-only', object]);
  return symbols.split('\n').flatMap((line) => {
    const [, type, name] = line.split(' ');
    return type === 'W' && name !== undefined ? [name] : [];
  });
}

const addon = path.join(folder, 'Release', 'pagewarp.node');

describe.runIf(elf)('a binary built with plain CMake, without device code', () => {
  beforeAll(async () => {
    await buildTypeScript();
    await run('cmake', ['-S', tree, '-B', folder, '-DPAGEWARP_CUDA=OFF']);
    await run('cmake', ['--build', folder, '--parallel', '2']);
  });

  it('shares no function between objects of different instruction sets', async () => {
    const objects = objectFiles();
    const setsOf = new Map<string, Set<string>>();
    for (const object of objects) {
      for (const name of await sharedFunctions(object)) {
        const sets = setsOf.get(name) ?? new Set();
        setsOf.set(name, sets.add(instructionSet(object)));
      }
    }
    if (process.arch === 'x64') {
      const present = new Set(objects.map(instructionSet));
      expect([...present]).toEqual(expect.arrayContaining(['baseline', 'avx2', 'avx512']));
    }
    const leaks = [...setsOf].filter(([, sets]) => sets.size > 1).map(([name, sets]) => `${[...sets]}: ${name}`);
    expect(leaks).toEqual([]);
  });

  it('loads', async () => {
    expect(await loadAndRun(tree, { PAGEWARP_ADDON_PATH: addon })).toBe(addon);
  });

  it('exports the two entry points of Node-API and nothing else', async () => {
    const symbols = await run('nm', ['-D', '--defined-only', addon]);
    const names = symbols
      .trim()
      .split('\n')
      .map((line) => line.split(' ').at(-1));
    expect(names.sort()).toEqual(['napi_register_module_v1', 'node_api_module_get_api_version_v1']);
  });

  it('needs only the C and C++ runtime libraries', async () => {
    const dynamic = await run('readelf', ['-d', addon]);
    const needed = [...dynamic.matchAll(/\(NEEDED\).*\[(.+?)\]/g)].map(([, library]) => library as string);
    const known = /^(libstdc\+\+|libm|libgcc_s|libc|libdl|libpthread|ld-linux-\w+(-\w+)*)\.so\.\d+$/;
    expect(needed.filter((library) => !known.test(library))).toEqual([]);
    expect(dynamic).not.toMatch(/R(UN)?PATH/);
  });
});
