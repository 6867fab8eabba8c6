// SPDX-License-Identifier: Apache-2.0
// The simulated GPU is a library named like the driver; workers of the project `cuda` find it on their library path.
import type { TestProject } from 'vitest/node';
import { buildSimulator } from '../gpusim/tests/global-setup.js';
import { provideBundle } from '../support/bundle.js';

export default async function setup(project: TestProject): Promise<void> {
  if (process.env['PAGEWARP_REAL_GPU'] !== '1') buildSimulator();
  await provideBundle(project);
}
