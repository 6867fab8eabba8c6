// SPDX-License-Identifier: Apache-2.0
import { type CpuIsa, Device } from '../../lib/index.js';
import { announceSkip } from './skip.js';

const all = ['portable', 'avx2', 'avx512', 'amx'] as const satisfies readonly CpuIsa[];

/**
 * The instruction sets that this machine can run, each of which tests force in turn; only the one that
 * `PAGEWARP_CPU_ISA` names when that is set. `reference` is never among them: it is what they are compared with. For all but
 * linear layers `amx` is the code of `avx512`, which is therefore left out beside it.
 */
export function availableIsas(): CpuIsa[] {
  const isas = linearIsas();
  return isas.filter((isa) => isa !== 'avx512' || !isas.includes('amx'));
}

/** availableIsas(), and `avx512` in any case. */
function linearIsas(): CpuIsa[] {
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
  await onDevices(availableIsas(), body, threadCounts);
}

/** The same with all that linear layers tell apart. */
export async function onEveryLinearCpu(
  body: (device: Device, name: string) => void | Promise<void>,
  threadCounts: readonly number[] = [1, 2],
): Promise<void> {
  await onDevices(linearIsas(), body, threadCounts);
}

async function onDevices(
  isas: readonly CpuIsa[],
  body: (device: Device, name: string) => void | Promise<void>,
  threadCounts: readonly number[],
): Promise<void> {
  for (const isa of isas) {
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
