// SPDX-License-Identifier: Apache-2.0
/** What bench/cuda measures, one kernel at a time: how a case says what it is and what it needs. */
import {
  type Device,
  type FloatDType,
  ropeFrequencies,
  ropeFrequencyTensor,
  ropeTable,
  Tensor,
} from '../../lib/index.js';
import { tiledNumbers } from '../../test/support/tile.js';

export interface Kernel {
  enqueue(): void;
  /** Runs it once: what it computes. */
  result(): Promise<ArrayLike<number>>;
}

/** A kernel with its inputs on a device. */
export type Prepared = Kernel & Disposable;

export interface KernelCase {
  name: string;
  /** Bytes of its inputs and outputs, each once. */
  bytes: number;
  /** Multiplications and additions; 0 where they are not what it is about. */
  operations: number;
  /** Largest difference between the results of two devices, relative to their root mean square; 0: the same tokens. */
  tolerance: number;
  /** It cannot be captured: its time is that of launches one by one. */
  isDirect?: true;
  prepare(device: Device): Prepared;
}

export type Owned = Disposable[];

/** A prepared kernel from what `make` builds; it owns what `make` adds to `owned`. */
export function prepared(make: (owned: Owned) => Kernel): Prepared {
  const owned: Owned = [];
  return {
    ...make(owned),
    [Symbol.dispose]() {
      for (const one of owned.reverse()) one[Symbol.dispose]();
    },
  };
}

/** A kernel that leaves its result in `out`. */
export function running(enqueue: () => void, out: Tensor): Kernel {
  const result = (): Promise<number[]> => {
    enqueue();
    return out.readNumbers();
  };
  return { enqueue, result };
}

export function keep<T extends Disposable>(owned: Owned, one: T): T {
  owned.push(one);
  return one;
}

export function numbers(device: Device, shape: readonly number[], dtype: FloatDType, seed: number): Tensor<FloatDType> {
  const count = shape.reduce((product, length) => product * length, 1);
  const exact = Tensor.from(device, tiledNumbers(count, { seed }), shape, 'f32');
  if (dtype === 'f32') return exact;
  using _ = exact;
  return exact.to(dtype);
}

/** Heads of the measured model: 32, in groups of 4, of 128 columns. */
export const [heads, kvHeads, headDim] = [32, 8, 128];

/** How the heads of so many tokens, the first of a sequence, are turned. */
export function ropeTableFor(device: Device, owned: Owned, rows: number): Tensor<'f32'> {
  const each = Int32Array.from({ length: rows }, (_, i) => i);
  using positions = Tensor.from(device, each, [rows], 'i32');
  using frequencies = ropeFrequencyTensor(device, ropeFrequencies({ rotaryDim: headDim, theta: 500000 }));
  return keep(owned, ropeTable(device.defaultStream, { positions, frequencies }));
}
