// SPDX-License-Identifier: Apache-2.0
import { invalidArgument, PagewarpError } from '../errors.js';
import { supports } from '../ops/supports.js';
import type { MatrixFormat } from '../quant/format.js';
import { type CpuOptions, Device, type DeviceInfo } from '../tensor/device.js';

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

/** What a model asks of a device. */
export interface ModelNeeds {
  headDim: number;
  /** Of its weights. */
  formats: readonly MatrixFormat[];
}

/**
 * Finds a device. `auto` takes the first GPU that works and has kernels for the model, else the CPU, and says why; an explicit
 * choice that cannot be had is an error, never another device.
 * @throws PagewarpError ERR_DEVICE_UNAVAILABLE with the driver's reason, ERR_INVALID_ARGUMENT
 */
export function chooseDevice(option: DeviceOption = 'auto', needs?: ModelNeeds): DeviceChoice {
  if (option instanceof Device) return { device: option, reason: 'given by the caller', owned: false };
  if (option === 'cpu') return { device: Device.cpu(), reason: 'asked for', owned: true };
  if (typeof option === 'object' && option !== null) {
    return { device: Device.cpu(option), reason: 'asked for', owned: true };
  }
  if (option !== 'auto' && option !== 'cuda') {
    throw invalidArgument('device', option, "'auto', 'cpu', 'cuda', CPU options or a Device");
  }
  const gpus = Device.list().filter((info) => info.kind === 'cuda');
  const reasons: string[] = [];
  for (const gpu of gpus) {
    const against = reasonAgainst(gpu, option === 'auto' ? needs : undefined);
    if (against === undefined) {
      const reason = option === 'cuda' ? 'asked for' : `${gpu.name}, the first usable GPU`;
      return { device: Device.cuda(gpu.index), reason, owned: true };
    }
    reasons.push(`${gpu.name}: ${against}`);
  }
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

/** Why a GPU will not do; undefined when it will. */
function reasonAgainst(gpu: DeviceInfo, needs: ModelNeeds | undefined): string | undefined {
  if (gpu.reason !== null) return gpu.reason;
  if (!needs) return undefined;
  const { headDim } = needs;
  if (!supports('cuda', 'attention', { headDim })) return `no kernels for head dimension ${headDim}`;
  const lacking = needs.formats.filter((format) => !supports('cuda', 'packMatrix', { format }));
  return lacking.length > 0 ? `no kernels for ${lacking.join(', ')} weights` : undefined;
}
