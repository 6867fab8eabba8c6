// SPDX-License-Identifier: Apache-2.0
// No instruction reaches the kernels of this build from nvcc that the simulated GPU has not been tested on by itself.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { untestedForms } from '../gpusim/tests/forms.js';
import { isSimulated } from '../support/cuda.js';
import { announceSkip } from '../support/skip.js';

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

const files = isSimulated ? fatbins() : [];
if (files.length === 0) {
  const why = isSimulated ? 'this build compiled no device code' : 'a real GPU knows them all';
  announceSkip(`instruction forms of the kernels: ${why}`);
}

describe.skipIf(files.length === 0)('instruction forms of the kernels', () => {
  it.each(['small', 'small89'])('are tested one by one, as %s runs them', async (device) => {
    expect(await untestedForms(files, device)).toEqual([]);
  });
});
