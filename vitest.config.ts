// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** One project per layer of tests. Groups run one after the other, so that no two of them compete for the cores. */
const project = (
  name: string,
  groupOrder: number,
  include: string[],
  options: {
    globalSetup?: string;
    timeoutSeconds: number;
    maxWorkers?: number;
    /** Default true: a process for each file. false: one for many, which imports the library once. */
    isolate?: boolean;
    env?: Record<string, string>;
  },
) => ({
  test: {
    name,
    include,
    setupFiles: ['test/support/equality.ts'],
    pool: 'forks' as const,
    sequence: { groupOrder },
    maxWorkers: options.maxWorkers ?? 2,
    isolate: options.isolate ?? true,
    testTimeout: options.timeoutSeconds * 1000,
    hookTimeout: options.timeoutSeconds * 1000,
    ...(options.globalSetup ? { globalSetup: options.globalSetup } : {}),
    ...(options.env ? { env: options.env } : {}),
  },
});

/**
 * The simulator in place of the driver, with two GPUs, launches under several scheduling seeds, every check on. The loader
 * reads the library path when a worker's process starts.
 * `PAGEWARP_REAL_GPU=1` runs the same tests on the machine's own GPU.
 */
const simulator = process.env['GPUSIM_BUILD'] ?? fileURLToPath(new URL('build/gpusim', import.meta.url));
const simulatedGpu =
  process.env['PAGEWARP_REAL_GPU'] === '1'
    ? {}
    : {
        LD_LIBRARY_PATH: [simulator, process.env['LD_LIBRARY_PATH']].filter(Boolean).join(':'),
        GPUSIM_DEVICE: process.env['GPUSIM_DEVICE'] ?? 'small,small89',
        GPUSIM_SEED: process.env['GPUSIM_SEED'] ?? '0,1,2',
        GPUSIM_CHECK: 'all',
        GPUSIM_STRICT: '1',
      };

export default defineConfig({
  test: {
    projects: [
      project('unit', 0, ['test/unit/**/*.test.ts'], { timeoutSeconds: 60, isolate: false }),
      project('device', 1, ['test/device/**/*.test.ts'], {
        timeoutSeconds: 300,
        isolate: false,
        globalSetup: 'test/device/setup.ts',
      }),
      project('gpusim', 2, ['test/gpusim/tests/**/*.test.ts'], {
        timeoutSeconds: 300,
        globalSetup: 'test/gpusim/tests/global-setup.ts',
      }),
      project('cuda', 3, ['test/cuda/**/*.test.ts'], {
        timeoutSeconds: 300,
        globalSetup: 'test/cuda/setup.ts',
        env: simulatedGpu,
      }),
      project('package', 4, ['test/package/**/*.test.ts'], {
        timeoutSeconds: 900,
        maxWorkers: 1,
        globalSetup: 'test/package/setup.ts',
      }),
    ],
  },
});
