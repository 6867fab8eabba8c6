// SPDX-License-Identifier: Apache-2.0
/** Seeded inputs. The values depend on nothing but the options: Philox in exact arithmetic, so C++ can make the same. */
import { type Device, type DType, philox, Tensor, uniformF32 } from '../../lib/index.js';

export interface RandomOptions {
  seed: number | bigint;
  /** Separates tensors of one seed. */
  stream?: number | bigint;
  /**
   * `normal`: the sum of four uniforms, mean 0 and deviation 1, within ±3.47. `uniform`: [-1, 1).
   * `gumbel`: the standard Gumbel distribution. `integer`: whole numbers of [low, high).
   */
  distribution?: 'normal' | 'uniform' | 'gumbel' | 'integer';
  /** Factor of values that are no integers. */
  scale?: number;
  low?: number;
  high?: number;
}

/** `count` values, rounded to f32. */
export function randomNumbers(count: number, options: RandomOptions): Float32Array {
  const { seed, stream = 0, distribution = 'normal', scale = 1, low = 0, high = 2 } = options;
  const values = new Float32Array(count);
  const perDraw = distribution === 'normal' ? 2 : 4;
  for (let i = 0; i < count; i += perDraw) {
    const words = philox(seed, stream, i / perDraw);
    for (let j = 0; j < perDraw && i + j < count; j++) {
      if (distribution === 'normal') {
        const a = words[2 * j] as number;
        const b = words[2 * j + 1] as number;
        const sum = (a & 0xffff) + (a >>> 16) + (b & 0xffff) + (b >>> 16);
        values[i + j] = scale * Math.sqrt(3) * ((sum + 2) / 65536 - 2);
      } else {
        const u = uniformF32(words[j] as number);
        if (distribution === 'uniform') values[i + j] = scale * (2 * u - 1);
        else if (distribution === 'gumbel') values[i + j] = -scale * Math.log(-Math.log(u + 2 ** -25));
        else values[i + j] = low + Math.floor(u * (high - low));
      }
    }
  }
  return values;
}

/** A tensor of random values, converted to `dtype`. Integer dtypes get `integer` values unless told otherwise. */
export function randomTensor<D extends DType>(
  device: Device,
  shape: readonly number[],
  dtype: D,
  options: RandomOptions,
): Tensor<D> {
  const integral = dtype !== 'f32' && dtype !== 'f16' && dtype !== 'bf16';
  const distribution = options.distribution ?? (integral ? 'integer' : 'normal');
  const count = shape.reduce((product, length) => product * length, 1);
  return Tensor.from(device, Array.from(randomNumbers(count, { ...options, distribution })), shape, dtype);
}
