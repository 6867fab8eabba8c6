// SPDX-License-Identifier: Apache-2.0
/** GPUs for tests: the simulated one that project `cuda` of vitest.config.ts puts on the library path, or a real one. */
import { afterAll } from 'vitest';
import { type CudaOptions, Device } from '../../lib/index.js';
import { announceSkip } from './skip.js';

/** Can tests run on a GPU here? Says why not. */
export function hasCuda(): boolean {
  const [gpu] = Device.list().filter((info) => info.kind === 'cuda');
  return gpu?.available === true || !announceSkip(`tests on the GPU: ${gpu?.reason}`);
}

/** The (simulated) GPU, closed after the file's tests. */
export function cudaDevice(options: CudaOptions = {}): Device {
  const device = Device.cuda(0, options);
  afterAll(() => device.dispose());
  return device;
}
