// SPDX-License-Identifier: Apache-2.0
/** What backends differ in: one table, asked before anything is enqueued. */
import { invalidArgument, unsupported } from '../errors.js';
import { type CacheDType, isStored, storedCacheDTypes } from '../kv/layer.js';
import { formatInfo, type MatrixFormat } from '../quant/format.js';
import type { Device } from '../tensor/device.js';
import type { Stream } from '../tensor/stream.js';

/** What an op is asked for, as far as backends differ in it. */
export interface OpConfigs {
  attention: { headDim: number };
  /** A `PagedKvCache`, and what reads and writes it. */
  kvCache: { dtype: CacheDType };
  /** Making a weight matrix: what can be made has `linear` and `embedding`. */
  packMatrix: { format: MatrixFormat };
  /** A matrix used where it lies in a mapped file. */
  viewMatrix: { format: MatrixFormat };
  /** A linear layer over activations rounded to 8-bit integers. */
  linearInt8: { format: MatrixFormat };
  /** A gated linear layer in one kernel; without, the gate is a kernel of its own. @param rows of each half */
  linearGate: { format: MatrixFormat; rows: number };
}

export type PartialOp = keyof OpConfigs;

/** An op's limits on a backend: does it have a kernel, and what it has kernels for, in words. */
interface Limit<Config> {
  has(config: Config): boolean;
  supported: string;
}

type Limits = { [Op in PartialOp]?: Limit<OpConfigs[Op]> };

const isPacked = ({ format }: { format: MatrixFormat }): boolean => formatInfo(format).blockColumns > 1;

/** What the integer tensor cores of CUDA devices multiply: codes of 4 or 8 bits that are numbers. */
const integerFormats: ReadonlySet<MatrixFormat> = new Set([
  'q4_0',
  'q4_1',
  'q4_k',
  'q5_0',
  'q8_0',
  'iq4_nl',
  'int4_zp',
  'int4_g16',
]);

const kvCache: Limit<OpConfigs['kvCache']> = { has: ({ dtype }) => isStored(dtype), supported: storedCacheDTypes };

/** Ops that are not here, or not for a backend, take everything that their own documentation allows. */
const table: Record<Device['kind'], Limits> = {
  cpu: {
    kvCache,
    linearInt8: { has: isPacked, supported: 'packed formats' },
    linearGate: { has: () => false, supported: 'CUDA devices' },
  },
  cuda: {
    kvCache,
    attention: { has: ({ headDim }) => headDim <= 256, supported: 'head dimensions up to 256 on CUDA' },
    viewMatrix: { has: () => false, supported: 'CPU devices; fromGguf copies the weights' },
    linearInt8: {
      has: ({ format }) => integerFormats.has(format),
      supported: `${[...integerFormats].join(', ')} on CUDA`,
    },
    linearGate: {
      has: (config) => isPacked(config) && config.rows % 64 === 0,
      supported: 'packed formats, halves that are multiples of 64 rows',
    },
  },
};

/**
 * Does a backend have kernels for this? Without a kernel, the op throws ERR_UNSUPPORTED where it is called.
 * @param where a device, or a kind of device
 * @param op one of the ops in which backends differ; all others run everywhere
 */
export function supports<Op extends PartialOp>(where: Device | Device['kind'], op: Op, config: OpConfigs[Op]): boolean {
  const kind = typeof where === 'string' ? where : where?.kind;
  if (!Object.hasOwn(table, kind)) throw invalidArgument('where', where, "a Device, 'cpu' or 'cuda'");
  return table[kind][op]?.has(config) ?? true;
}

/** @throws PagewarpError ERR_UNSUPPORTED naming what is supported */
export function requireSupport<Op extends PartialOp>(where: Device | Stream, op: Op, config: OpConfigs[Op]): void {
  const { kind } = 'kind' in where ? where : where.device;
  const limit: Limit<OpConfigs[Op]> | undefined = table[kind][op];
  if (!limit || limit.has(config)) return;
  const details = Object.entries(config).map(([name, value]) => `${name} ${value}`);
  throw unsupported([op, ...details].join(' with '), limit.supported);
}
