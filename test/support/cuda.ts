// SPDX-License-Identifier: Apache-2.0
/** GPUs for tests: the simulated one that project `cuda` of vitest.config.ts puts on the library path, or a real one. */
import { afterAll, describe, it } from 'vitest';
import { type CudaOptions, Device } from '../../lib/index.js';
import { announceSkip } from './skip.js';

/** `PAGEWARP_REAL_GPU=1`: tests run on the machine's own GPU, not on the simulated one. */
export const isSimulated = process.env['PAGEWARP_REAL_GPU'] !== '1';

/**
 * describe() for tests that need a GPU. Without one nothing of `body` runs, and a line says why.
 * @param usable further conditions
 */
export function describeOnGpu(name: string, body: () => void, usable: () => boolean = () => true): void {
  if (hasCuda() && usable()) describe(name, body);
  else it.todo(`${name}: needs a GPU`);
}

/** Can tests run on a GPU here? Says why not. */
function hasCuda(): boolean {
  const [gpu] = Device.list().filter((info) => info.kind === 'cuda');
  return gpu?.available === true || !announceSkip(`tests on the GPU: ${gpu?.reason}`);
}

/** The (simulated) GPU, closed after the file's tests. */
export function cudaDevice(options: CudaOptions = {}): Device {
  const device = Device.cuda(0, options);
  afterAll(() => device.dispose());
  return device;
}
