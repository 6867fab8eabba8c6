// SPDX-License-Identifier: Apache-2.0
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Path of the library as one JavaScript file. */
    libraryBundle: string;
  }
}

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * The library as one JavaScript file, for programs that tests start: compiling TypeScript in each of them would take longer than
 * what they test. It lies in the repository, where it finds its dependencies, in a folder of the project's own.
 */
export async function provideBundle(project: TestProject): Promise<void> {
  const folder = join(root, 'build', 'test', project.name);
  const name = 'pagewarp.mjs';
  await build({
    root,
    logLevel: 'error',
    configFile: false,
    build: {
      ssr: join(root, 'lib', 'index.ts'),
      outDir: folder,
      emptyOutDir: false,
      target: 'node20',
      rollupOptions: {
        external: [...builtinModules.map((builtin) => `node:${builtin}`), 'node-gyp-build'],
        output: { entryFileNames: name, format: 'es' },
      },
    },
    ssr: { noExternal: ['@huggingface/tokenizers', '@huggingface/jinja'] },
  });
  project.provide('libraryBundle', join(folder, name));
}
