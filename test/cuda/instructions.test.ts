// SPDX-License-Identifier: Apache-2.0
// No instruction reaches the kernels of this build from nvcc that the simulated GPU has not been tested on by itself.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { untestedForms } from '../gpusim/tests/forms.js';

const folder = fileURLToPath(
  new URL(`../../build/cmake/${process.platform}-${process.arch}-Release/fatbin`, import.meta.url),
);

/** The fatbins of the last build; none where it has no device code. */
function fatbins(): string[] {
  const manifest = join(folder, 'manifest.json');
  if (!existsSync(manifest)) return [];
  const { modules = [] } = JSON.parse(readFileSync(manifest, 'utf8')) as { modules?: string[] };
  return modules.map((name) => join(folder, `${name}.fatbin`)).filter((file) => existsSync(file));
}

const files = fatbins();
if (files.length === 0) console.log('skipped: instruction forms of the kernels: this build compiled no device code');

describe.skipIf(files.length === 0)('instruction forms of the kernels', () => {
  it.each(['small', 'small89'])('are tested one by one, as %s runs them', async (device) => {
    expect(await untestedForms(files, device)).toEqual([]);
  });
});
