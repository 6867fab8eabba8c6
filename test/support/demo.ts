// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ggufFromFolder } from './hf-to-gguf.js';
import { type GoldenCase, modelPath } from './models.js';

/** A demo model of f16 weights as a GGUF file, written to the folder `to`, and its golden cases. */
export function demoModel(name: 'draft' | 'target', to: string): { path: string; cases: GoldenCase[] } | undefined {
  const golden = modelPath('demo', `golden-${name}.json`);
  const folder = modelPath('demo', `${name}-hf`);
  if (!golden || !folder) return undefined;
  const path = join(to, `${name}.gguf`);
  ggufFromFolder(folder).write(path);
  return { path, cases: (JSON.parse(readFileSync(golden, 'utf8')) as { cases: GoldenCase[] }).cases };
}
