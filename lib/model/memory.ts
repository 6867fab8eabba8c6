// SPDX-License-Identifier: Apache-2.0
import { cacheRowBytes, type StoredCacheDType } from '../kv/layer.js';
import { Activations } from './buffers.js';
import type { LlamaConfig } from './config.js';
import type { ModelSource } from './source.js';
import type { StepLimits } from './step.js';

/** Memory that a loaded model takes, in bytes. */
export interface MemoryEstimate {
  /** Packed weights: about the size of the file's tensors. */
  weights: number;
  cache: number;
  activations: number;
  total: number;
}

export interface CacheShape {
  /** Tokens that the cache holds, of all sequences together. */
  cacheTokens: number;
  cacheDType: StoredCacheDType;
}

/** Bytes of keys and values of one token in all layers. */
function cacheBytesPerToken(config: LlamaConfig, dtype: StoredCacheDType): number {
  return 2 * config.layers * config.kvHeads * cacheRowBytes(dtype, config.headDim);
}

/** What a model of this shape will take. */
export function memoryOf(source: ModelSource, shape: CacheShape, limits: StepLimits): MemoryEstimate {
  const { config, tensorBytes: weights } = source;
  const cache = shape.cacheTokens * cacheBytesPerToken(config, shape.cacheDType);
  const activations = Activations.bytes(config, limits.rows, limits.outputs);
  return { weights, cache, activations, total: weights + cache + activations };
}
