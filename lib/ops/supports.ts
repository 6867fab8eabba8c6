// SPDX-License-Identifier: Apache-2.0
/** What backends differ in: one table, asked before anything is enqueued. */
import { unsupported } from '../errors.js';
import type { MatrixFormat } from '../quant/format.js';
import type { Device } from '../tensor/device.js';
import type { Stream } from '../tensor/stream.js';

/** What an op is asked for, as far as backends differ in it. */
export interface OpConfigs {
  attention: { headDim: number };
  /** Making a weight matrix: what can be made has `linear` and `embedding`. */
  packMatrix: { format: MatrixFormat };
  /** A matrix used where it lies in a mapped file. */
  viewMatrix: { format: MatrixFormat };
}

export type PartialOp = keyof OpConfigs;

/** An op's limits on a backend: does it have a kernel, and what it has kernels for, in words. */
interface Limit<Config> {
  has(config: Config): boolean;
  supported: string;
}

type Limits = { [Op in PartialOp]?: Limit<OpConfigs[Op]> };

/** Ops that are not here, or not for a backend, take everything that their own documentation allows. */
const table: Record<Device['kind'], Limits> = {
  cpu: {},
  cuda: {
    attention: { has: ({ headDim }) => headDim <= 256, supported: 'head dimensions up to 256 on CUDA' },
    packMatrix: { has: ({ format }) => format !== 'q5_1', supported: 'all formats but q5_1 on CUDA' },
    viewMatrix: { has: () => false, supported: 'CPU devices; fromGguf copies the weights' },
  },
};

/**
 * Does a backend have kernels for this? Without a kernel, the op throws ERR_UNSUPPORTED where it is called.
 * @param where a device, or a kind of device
 * @param op one of the ops in which backends differ; all others run everywhere
 */
export function supports<Op extends PartialOp>(where: Device | Device['kind'], op: Op, config: OpConfigs[Op]): boolean {
  return table[typeof where === 'string' ? where : where.kind][op]?.has(config) ?? true;
}

/** @throws PagewarpError ERR_UNSUPPORTED naming what is supported */
export function requireSupport<Op extends PartialOp>(where: Device | Stream, op: Op, config: OpConfigs[Op]): void {
  const { kind } = 'kind' in where ? where : where.device;
  const limit: Limit<OpConfigs[Op]> | undefined = table[kind][op];
  if (!limit || limit.has(config)) return;
  const details = Object.entries(config).map(([name, value]) => `${name} ${value}`);
  throw unsupported([op, ...details].join(' with '), limit.supported);
}
