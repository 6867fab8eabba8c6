// SPDX-License-Identifier: Apache-2.0
/** The cache that tests of attention plans share. */
import { appendKv, type KvSequence, Tensor } from '../../lib/index.js';
import { randomTensor } from './random.js';

/** Query heads. */
export const heads = 8;
/** Of a cache. */
export const shape = { layers: 1, kvHeads: 2, headDim: 32, pageSize: 16, pages: 64, dtype: 'f32' } as const;

/** Appends random keys and values of so many tokens. */
export function grow(sequence: KvSequence, tokens: number, seed: number): void {
  const { cache } = sequence;
  const begin = sequence.reserve(tokens);
  using k = randomTensor(cache.device, [tokens, cache.kvHeads, cache.headDim], 'f32', { seed, stream: 1 });
  using v = randomTensor(cache.device, [tokens, cache.kvHeads, cache.headDim], 'f32', { seed, stream: 2 });
  using slots = Tensor.from(
    cache.device,
    Array.from({ length: tokens }, (_, i) => sequence.slot(begin + i)),
    undefined,
    'i32',
  );
  appendKv(cache.device.defaultStream, { k, v, slots, cache, layer: 0 });
}
