// SPDX-License-Identifier: Apache-2.0
/** What the libraries that are compared are given. */
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { shapes, writeSynthetic } from './synth.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The file itself, or one with random weights in a shape, which is written when it is not there. */
export function modelFile(model: string | undefined, shape: string): string {
  if (model) return resolve(model);
  const path = join(root, 'build', 'bench', `${shape}-Q4_0.gguf`);
  if (!existsSync(path)) {
    console.log(`writing ${path}: random Q4_0 weights, shapes: ${Object.keys(shapes).join(', ')}`);
    mkdirSync(dirname(path), { recursive: true });
    writeSynthetic(path, shape);
  }
  return path;
}

/** The same pseudo-random prompt for everybody, out of ids that every vocabulary has. */
export function prompt(length: number, seed = 0): number[] {
  return Array.from({ length }, (_, i) => (i === 0 ? 1 : 3 + (((i + seed) * 7919) % 90)));
}
