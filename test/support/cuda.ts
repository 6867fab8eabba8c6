// SPDX-License-Identifier: Apache-2.0
/**
 * GPUs for tests: the simulated ones that project `cuda` of vitest.config.ts puts on the library path, or a real one.
 *
 * There is a simulated GPU for each of several models. Cases take turns on them, and the simulator runs each launch under
 * one of several scheduling seeds: so every group of cases sees every model and every seed, at the price of one run.
 * `npm run test:cuda:full` runs every case on every pair of them.
 */
import { afterAll, describe, it } from 'vitest';
import { type CudaOptions, Device } from '../../lib/index.js';
import type { NamedDevice } from './devices.js';
import { announceSkip } from './skip.js';

/** `PAGEWARP_REAL_GPU=1`: tests run on the machine's own GPU, not on simulated ones. */
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

/** The GPUs that cases take turns on: each simulated one, or the first real one. */
export function gpuIndices(): number[] {
  const gpus = Device.list().filter(({ kind }) => kind === 'cuda');
  const count = isSimulated ? gpus.length : 1;
  if (count > 1) {
    announceSkip(
      `each case runs on one of ${count} simulated GPUs, its launches under one scheduling seed each; npm run test:cuda:full`,
    );
  }
  return Array.from({ length: count }, (_, i) => i);
}

/** The first (simulated) GPU, closed after the file's tests. */
export function cudaDevice(options: CudaOptions = {}): Device {
  const device = Device.cuda(0, options);
  afterAll(() => device.dispose());
  return device;
}

/** Every GPU of gpuIndices(), closed after the file's tests. */
export function cudaDevices(): NamedDevice[] {
  return gpuIndices().map((index) => {
    const device = Device.cuda(index);
    afterAll(() => device.dispose());
    return { name: device.name, device };
  });
}

/** Gives one of `values` after the other, over and over. */
export function inTurn<T>(values: readonly T[]): () => T {
  let next = 0;
  return () => values[next++ % values.length] as T;
}

/** Opens one GPU after the other; close what it gives. */
export function cudaInTurn(): () => Device {
  const next = inTurn(gpuIndices());
  return () => Device.cuda(next());
}
