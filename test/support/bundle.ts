// SPDX-License-Identifier: Apache-2.0
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * The library as one JavaScript file, for tests that start a hundred processes or workers: compiling TypeScript in each of
 * them would take longer than what they test. It lies in the repository, where it finds its dependencies.
 */
export async function bundleLibrary(): Promise<string> {
  const folder = join(root, 'build', 'test');
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
        external: [...builtinModules.map((name) => `node:${name}`), 'node-gyp-build'],
        output: { entryFileNames: 'pagewarp.mjs', format: 'es' },
      },
    },
    ssr: { noExternal: ['@huggingface/tokenizers', '@huggingface/jinja'] },
  });
  return join(folder, 'pagewarp.mjs');
}
