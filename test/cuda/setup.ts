// SPDX-License-Identifier: Apache-2.0
// The simulated GPU is a library named like the driver; workers of the project `cuda` find it on their library path.
import { buildSimulator } from '../gpusim/tests/global-setup.js';

export default function setup(): void {
  if (process.env['PAGEWARP_REAL_GPU'] !== '1') buildSimulator();
}
