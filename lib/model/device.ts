// SPDX-License-Identifier: Apache-2.0
import { invalidArgument, PagewarpError } from '../errors.js';
import { type CpuOptions, Device } from '../tensor/device.js';

/** Where a model runs: chosen for you, a kind, a CPU with options, or a device that you own. */
export type DeviceOption = 'auto' | 'cpu' | 'cuda' | CpuOptions | Device;

/** A device and the reason for it. */
export interface DeviceChoice {
  device: Device;
  /** Why this one: what was asked for, or what the others lack. */
  reason: string;
  /** Was the device made here, so that the model disposes it? */
  owned: boolean;
}

/**
 * Finds a device. `auto` takes the first GPU that works, else the CPU, and says why; an explicit choice that cannot be had is
 * an error, never another device.
 * @throws PagewarpError ERR_DEVICE_UNAVAILABLE with the driver's reason, ERR_INVALID_ARGUMENT
 */
export function chooseDevice(option: DeviceOption = 'auto'): DeviceChoice {
  if (option instanceof Device) return { device: option, reason: 'given by the caller', owned: false };
  if (option === 'cpu') return { device: Device.cpu(), reason: 'asked for', owned: true };
  if (typeof option === 'object' && option !== null) {
    return { device: Device.cpu(option), reason: 'asked for', owned: true };
  }
  if (option !== 'auto' && option !== 'cuda') {
    throw invalidArgument('device', option, "'auto', 'cpu', 'cuda', CPU options or a Device");
  }
  const gpus = Device.list().filter((info) => info.kind === 'cuda');
  const reasons = gpus.map((info) => `${info.name}: ${info.reason ?? 'usable, but models do not run on it yet'}`);
  if (option === 'cuda') {
    throw new PagewarpError('ERR_DEVICE_UNAVAILABLE', `no usable CUDA device (${reasons.join('; ')})`, { reasons });
  }
  const device = Device.cpu();
  return {
    device,
    reason: `the CPU (${device.isa}), since there is no usable GPU (${reasons.join('; ')})`,
    owned: true,
  };
}
