// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from 'vitest/config';

/** One project per layer of tests. Groups run one after the other, so that no two of them compete for the cores. */
const project = (
  name: string,
  groupOrder: number,
  include: string[],
  options: { globalSetup?: string; timeoutSeconds: number; maxWorkers?: number },
) => ({
  test: {
    name,
    include,
    pool: 'forks' as const,
    sequence: { groupOrder },
    maxWorkers: options.maxWorkers ?? 2,
    testTimeout: options.timeoutSeconds * 1000,
    hookTimeout: options.timeoutSeconds * 1000,
    ...(options.globalSetup ? { globalSetup: options.globalSetup } : {}),
  },
});

export default defineConfig({
  test: {
    projects: [
      project('unit', 0, ['test/unit/**/*.test.ts'], { timeoutSeconds: 60 }),
      project('device', 1, ['test/device/**/*.test.ts'], { timeoutSeconds: 300 }),
      project('gpusim', 2, ['test/gpusim/tests/**/*.test.ts'], {
        timeoutSeconds: 300,
        globalSetup: 'test/gpusim/tests/global-setup.ts',
      }),
      project('package', 3, ['test/package/**/*.test.ts'], {
        timeoutSeconds: 900,
        maxWorkers: 1,
        globalSetup: 'test/package/setup.ts',
      }),
    ],
  },
});
