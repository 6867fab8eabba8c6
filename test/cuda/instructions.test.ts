// SPDX-License-Identifier: Apache-2.0
// What the build has compiled: the device code of each module, without an instruction that the simulated GPU has not been
// tested on by itself.
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ptxOf, untestedForms } from '../gpusim/tests/forms.js';
import { isSimulated } from '../support/cuda.js';
import { builtDeviceCode, fatbinTargets, targetsOf } from '../support/fatbin.js';
import { announceSkip } from '../support/skip.js';

const code = isSimulated ? builtDeviceCode() : undefined;
if (!code) {
  const why = isSimulated ? 'this build compiled no device code' : 'a real GPU knows them all';
  announceSkip(`instruction forms of the kernels: ${why}`);
}
const { files = [], architectures = [], ptx = [] } = code ?? {};

/** A GPU of each generation that the simulator has, with the PTX that it is to run. */
const models = [
  ['small', 80],
  ['small89', 80],
  ['small120', 120],
] as const;
const modelFile = fileURLToPath(new URL('../gpusim/tests/devices/small120.txt', import.meta.url));

describe.skipIf(!code)('device code of the kernels', () => {
  it('is machine code and PTX of what the build is for, in each module', () => {
    const wanted = targetsOf({ architectures, ptx });
    expect(files.map((file) => [file, ...fatbinTargets(file)])).toEqual(files.map((file) => [file, ...wanted]));
  });

  const run = models.filter(
    ([name, version]) =>
      ptx.includes(version) ||
      !announceSkip(`instruction forms as ${name} runs them: this build has no PTX of ${version}`),
  );
  it.each(run)(
    'has instruction forms that are tested one by one, as %s runs them (PTX of %i)',
    async (name, version) => {
      const device = name === 'small120' ? modelFile : name;
      expect(ptxOf(files[0] as string, device)).toMatch(new RegExp(`^\\.target sm_${version}$`, 'm'));
      expect(await untestedForms(files, device)).toEqual([]);
    },
  );
});
