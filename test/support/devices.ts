// SPDX-License-Identifier: Apache-2.0
import { afterAll } from 'vitest';
import { Device } from '../../lib/index.js';
import { availableIsas } from './isa.js';

export interface NamedDevice {
  name: string;
  device: Device;
}

/** Devices of every instruction set that this machine has, with one and two threads; closed after the file's tests. */
export function everyCpu(threadCounts: readonly number[] = [1, 2]): NamedDevice[] {
  const devices = availableIsas().flatMap((isa) =>
    threadCounts.map((threads) => ({ name: `${isa}, ${threads} threads`, device: Device.cpu({ isa, threads }) })),
  );
  afterAll(() => {
    for (const { device } of devices) device.dispose();
  });
  return devices;
}

/** The best instruction set, on two threads. */
export function bestCpu(): NamedDevice {
  const device = Device.cpu({ threads: 2 });
  afterAll(() => device.dispose());
  return { name: `${device.isa}`, device };
}

/** The float64 contract of every op. */
export function referenceCpu(): Device {
  const device = Device.cpu({ isa: 'reference', threads: 1 });
  afterAll(() => device.dispose());
  return device;
}
