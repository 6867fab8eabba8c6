// SPDX-License-Identifier: Apache-2.0
import { checkObject } from '../errors.js';
import { cacheHeadDim, nativeKvLayer } from '../kv/layer.js';
import { native } from '../native.js';
import type { Stream } from '../tensor/stream.js';
import type { Tensor } from '../tensor/tensor.js';
import { checkFloatOutput, checkShape, checkTensor } from './check.js';
import { type KvSource, resolveKvLayer } from './kvcache.js';

export type KeyBoundsOptions = KvSource & {
  /** [count]: pages to look at, each once; -1 for none. */
  pages: Tensor<'i32'>;
  /** [count]: how many tokens each holds, from its first slot on; see `CacheBatch.touchedPages`. */
  tokens: Tensor<'i32'>;
  /** [pages of the pool, kvHeads, headDim]: the least of each page's keys, column by column. Other pages' rows stay. */
  low: Tensor<'f32'>;
  /** Same shape: the greatest. */
  high: Tensor<'f32'>;
};

/**
 * What the keys of pages lie between, for choosing the pages that a query attends to (Quest; Tang et al., 2024): the sum
 * over columns of max(q * low, q * high) is an upper bound of a page's dot products. Keys are taken as attention reads
 * them, dequantised; a column with a NaN has NaN for its bounds, a page without tokens Infinity and -Infinity. A page
 * outside the pool, or more tokens than a page has, is skipped and reported at the stream's next synchronisation.
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function keyBounds(stream: Stream, options: KeyBoundsOptions): void {
  checkObject('options', options);
  const layer = resolveKvLayer(options, stream);
  const { pages, tokens, low, high } = options;
  const [poolPages, , kvHeads] = layer.k.shape as [number, number, number];
  checkTensor('pages', pages, stream, ['i32']);
  checkShape('pages', pages, ['count'], 'a list of pages');
  checkTensor('tokens', tokens, stream, ['i32']);
  checkShape('tokens', tokens, pages.shape, 'one number per page');
  for (const [name, bounds] of [
    ['low', low],
    ['high', high],
  ] as const) {
    checkTensor(name, bounds, stream, ['f32']);
    checkFloatOutput(name, bounds, stream);
    checkShape(name, bounds, [poolPages, kvHeads, cacheHeadDim(layer)], 'one row per page and kv head');
  }
  native().keyBounds(stream.native, pages.native, tokens.native, low.native, high.native, ...nativeKvLayer(layer));
}
