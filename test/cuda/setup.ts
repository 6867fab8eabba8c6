// SPDX-License-Identifier: Apache-2.0
// The simulated GPU is a library named like the driver; workers of the project `cuda` find it on their library path.
export { buildSimulator as default } from '../gpusim/tests/global-setup.js';
