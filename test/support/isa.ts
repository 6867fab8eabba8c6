// SPDX-License-Identifier: Apache-2.0
import { type CpuIsa, Device } from '../../lib/index.js';
import { announceSkip } from './skip.js';

const all = ['portable', 'avx2', 'avx512'] as const satisfies readonly CpuIsa[];

/**
 * The instruction sets that this machine can run, each of which tests force in turn; only the one that
 * `PAGEWARP_CPU_ISA` names when that is set. `reference` is never among them: it is what they are compared with.
 */
export function availableIsas(): CpuIsa[] {
  const forced = process.env['PAGEWARP_CPU_ISA'] as CpuIsa | undefined;
  const features = Device.list().find((device) => device.kind === 'cpu')?.features ?? [];
  return all.filter((isa) => {
    if (forced !== undefined && forced !== isa) return false;
    return features.includes(isa) || !announceSkip(`instruction set ${isa}: this processor does not have it`);
  });
}

/** Runs `body` with a device of every available instruction set and each number of threads, one after the other. */
export async function onEveryCpu(
  body: (device: Device, name: string) => void | Promise<void>,
  threadCounts: readonly number[] = [1, 2],
): Promise<void> {
  for (const isa of availableIsas()) {
    for (const threads of threadCounts) {
      const device = Device.cpu({ isa, threads });
      try {
        await body(device, `${isa}, ${threads} thread${threads === 1 ? '' : 's'}`);
      } finally {
        device.dispose();
      }
    }
  }
}
