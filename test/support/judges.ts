// SPDX-License-Identifier: Apache-2.0
/** What a shared test body (test/bodies) runs on: every backend is judged by the same cases against the same reference. */
import { Device } from '../../lib/index.js';
import { cudaDevices, inTurn, isSimulated } from './cuda.js';
import { sampleSize } from './grid.js';
import { availableIsas } from './isa.js';
import { announceSkip } from './skip.js';

/** One device under test. */
export interface Judged {
  name: string;
  run<T>(body: (device: Device) => Promise<T>): Promise<T>;
}

export interface Judges {
  /** Devices for a case; few or none for large ones. */
  devices(large?: boolean): Judged[];
  /** The cases that this backend runs; `affordable` are those of a simulated one. */
  select<T>(cases: T[], what: string, affordable?: (cases: T[]) => T[]): T[];
}

export function cpu(options: Parameters<typeof Device.cpu>[0]): Judged {
  return {
    name: JSON.stringify(options),
    run: async (body) => {
      using device = Device.cpu(options);
      return await body(device);
    },
  };
}

/** The float64 contract of every op. */
export const reference: Judged = cpu({ isa: 'reference', threads: 1 });

/** All instruction sets, with one and two threads; only the best for large cases. */
export const cpuJudges: Judges = {
  devices(large) {
    const isas = availableIsas();
    if (large) return isas.slice(-1).map((isa) => cpu({ isa, threads: 2 }));
    return isas.flatMap((isa) => [1, 2].map((threads) => cpu({ isa, threads })));
  },
  select: (cases) => cases,
};

/**
 * The best instruction set, so that the backends' results can be compared, and the GPU. `PAGEWARP_REAL_GPU=1`, a real one,
 * runs all cases; simulated ones, in turn, every `stride`-th of those that are not large, which says how many that leaves out.
 */
export function cudaJudges(stride = 1): Judges {
  const next = inTurn(cudaDevices());
  const gpu: Judged = { name: 'cuda', run: (body) => body(next().device) };
  return {
    devices: () => [...cpuJudges.devices(true), gpu],
    select(cases, what, affordable) {
      if (!isSimulated) return cases;
      const usual = (all: typeof cases): typeof cases =>
        all
          .filter((one) => (one as { large?: boolean }).large !== true)
          .filter((_, i) => i % Math.ceil(stride / sampleSize) === 0);
      const kept = (affordable ?? usual)(cases);
      const left = cases.length - kept.length;
      if (left > 0) announceSkip(`${what} on the simulated GPU: ${left} of ${cases.length} cases`);
      return kept;
    },
  };
}
