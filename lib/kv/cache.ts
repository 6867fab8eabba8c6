// SPDX-License-Identifier: Apache-2.0
import { checkInstance, checkObject, disposed, invalidArgument } from '../errors.js';
import { native } from '../native.js';
import { Device } from '../tensor/device.js';
import type { DType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { type BatchEntry, CacheBatch } from './batch.js';
import {
  type CacheDType,
  cacheRowBytes,
  checkCacheDType,
  type KvLayer,
  nativeKvLayer,
  type PoolDType,
  poolOf,
  type StoredCacheDType,
} from './layer.js';
import { PagePool } from './pool.js';
import { KvSequence } from './sequence.js';

export interface PagedKvCacheOptions {
  layers: number;
  kvHeads: number;
  headDim: number;
  /** Tokens of a page. Default 16. */
  pageSize?: number;
  /** Pages of the pool: the cache holds pages * pageSize tokens. */
  pages: number;
  /** Default `f16`. `i4` takes even head dimensions. */
  dtype?: CacheDType;
  /**
   * Order within a page: `HND` [kvHeads, pageSize, headDim] keeps a head's tokens together, `NHD` [pageSize, kvHeads,
   * headDim] a token's heads. Tensors are seen as [pages, pageSize, kvHeads, headDim] either way. Default `HND`.
   */
  layout?: 'NHD' | 'HND';
}

/** Occupancy of a {@link PagedKvCache}. */
export interface CacheStatistics {
  pages: number;
  used: number;
  free: number;
  /** Pages that more than one sequence refers to. */
  shared: number;
  /** Free pages that still hold the beginning of a text, until they are needed. */
  kept: number;
  /** Bytes of the pools. */
  bytes: number;
}

/**
 * Keys and values of many sequences in a fixed pool of pages (PagedAttention; Kwon et al., 2023). Page tables, reference
 * counts and copy on write live here, in TypeScript; `appendKv` and `attention` touch the elements.
 */
export class PagedKvCache implements Disposable {
  readonly device: Device;
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly pageSize: number;
  readonly pages: number;
  readonly dtype: StoredCacheDType;
  readonly layout: 'NHD' | 'HND';
  readonly #pool: PagePool;
  /** All layers: [layers, pages, pageSize, kvHeads, headDim], scales without the last dimension. */
  readonly #all: KvLayer;
  readonly #layers: KvLayer[];
  readonly #tensors: Tensor[] = [];
  #disposed = false;

  /** @throws PagewarpError ERR_INVALID_ARGUMENT, ERR_UNSUPPORTED (a dtype that no backend stores yet), ERR_OUT_OF_MEMORY */
  constructor(device: Device, options: PagedKvCacheOptions) {
    checkInstance('device', device, Device);
    checkObject('options', options);
    const { layers, kvHeads, headDim, pageSize = 16, pages, dtype = 'f16', layout = 'HND' } = options;
    for (const [name, value] of Object.entries({ layers, kvHeads, headDim, pageSize, pages })) {
      if (!Number.isInteger(value) || value < 1) throw invalidArgument(name, value, 'a positive integer');
    }
    if (pages * pageSize >= 2 ** 31)
      throw invalidArgument('pages * pageSize', pages * pageSize, 'less than 2^31 slots');
    if (layout !== 'NHD' && layout !== 'HND') throw invalidArgument('layout', layout, 'NHD or HND');
    this.dtype = checkCacheDType(dtype);
    const { packed } = poolOf(this.dtype);
    if (headDim % packed !== 0) throw invalidArgument('headDim', headDim, `a multiple of ${packed} with ${dtype}`);
    this.device = device;
    this.layers = layers;
    this.kvHeads = kvHeads;
    this.headDim = headDim;
    this.pageSize = pageSize;
    this.pages = pages;
    this.layout = layout;
    this.#pool = new PagePool(pages, pageSize);
    try {
      this.#all = this.#makePools();
      this.#layers = Array.from({ length: layers }, (_, i) => this.#layerView(i));
    } catch (error) {
      this.#disposeTensors();
      throw error;
    }
  }

  get isDisposed(): boolean {
    return this.#disposed;
  }

  /** Bytes of the pools. */
  get bytes(): number {
    const perToken = this.kvHeads * cacheRowBytes(this.dtype, this.headDim);
    return 2 * this.layers * this.pages * this.pageSize * perToken;
  }

  /** Tokens that the free pages have room for. */
  get freeTokens(): number {
    return this.#pool.free * this.pageSize;
  }

  statistics(): CacheStatistics {
    return {
      pages: this.pages,
      used: this.#pool.used,
      free: this.#pool.free,
      shared: this.#pool.shared,
      kept: this.#pool.kept,
      bytes: this.bytes,
    };
  }

  /** The pools of one layer, as views that belong to the cache. */
  layer(index: number): KvLayer {
    this.#requireAlive();
    const layer = this.#layers[index];
    if (!layer) throw invalidArgument('layer', index, `an integer from 0 to ${this.layers - 1}`);
    return layer;
  }

  /** A new, empty sequence. */
  sequence(): KvSequence {
    this.#requireAlive();
    return new KvSequence(this, this.#pool);
  }

  /**
   * Page tables, slots and positions for a step over the last `queryLength` tokens of each sequence.
   * @throws PagewarpError ERR_INVALID_ARGUMENT, ERR_DISPOSED
   */
  batch(entries: readonly BatchEntry[]): CacheBatch {
    this.#requireAlive();
    return new CacheBatch(this, entries);
  }

  /** Copies whole pages in all layers. @internal for {@link KvSequence}; page tables are not touched. */
  copyPages(from: readonly number[], to: readonly number[], stream: Stream): void {
    this.#requireWritable(stream);
    native().copyPages(stream.native, ...nativeKvLayer(this.#all), Int32Array.from(from), Int32Array.from(to));
  }

  /** Moves tokens in all layers, in order. @internal for {@link KvSequence}. */
  moveSlots(from: readonly number[], to: readonly number[], stream: Stream): void {
    this.#requireWritable(stream);
    native().moveSlots(
      stream.native,
      ...nativeKvLayer(this.#all),
      BigInt64Array.from(from, BigInt),
      BigInt64Array.from(to, BigInt),
    );
  }

  /** Drops the pools once queued commands have run. Sequences of the cache become unusable. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#disposeTensors();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #makePools(): KvLayer {
    const { layers, pages, pageSize, kvHeads, headDim, layout } = this;
    const inner = layout === 'HND' ? [kvHeads, pageSize] : [pageSize, kvHeads];
    const pool = <D extends PoolDType>(dtype: D, tail: number[]): Tensor<D> => {
      // A page that is copied when a fork writes to it may not be full. On a CPU untouched memory stays untaken.
      const make = this.device.kind === 'cuda' ? Tensor.zeros : Tensor.empty;
      const made = this.#own(make(this.device, [layers, pages, ...inner, ...tail], dtype));
      return layout === 'HND' ? this.#own(made.transpose(2, 3)) : made;
    };
    const { dtype, packed, scaled } = poolOf(this.dtype);
    const data = (): Tensor => pool(dtype, [headDim / packed]) as Tensor;
    const scale = (): Tensor<'f32'> | undefined => (scaled ? pool('f32', []) : undefined);
    return { type: this.dtype, k: data(), v: data(), kScale: scale(), vScale: scale() };
  }

  #layerView(index: number): KvLayer {
    const { type, k, v, kScale, vScale } = this.#all as KvLayer & { type: StoredCacheDType };
    const view = <D extends DType>(tensor: Tensor<D>): Tensor<D> => this.#own(tensor.select(0, index));
    return { type, k: view(k), v: view(v), kScale: kScale && view(kScale), vScale: vScale && view(vScale) };
  }

  #own<D extends DType>(tensor: Tensor<D>): Tensor<D> {
    this.#tensors.push(tensor as unknown as Tensor);
    return tensor;
  }

  #disposeTensors(): void {
    for (const tensor of this.#tensors) tensor.dispose();
  }

  #requireAlive(): void {
    if (this.#disposed) throw disposed('PagedKvCache');
  }

  #requireWritable(stream: Stream): void {
    this.#requireAlive();
    if (stream.device !== this.device)
      throw invalidArgument('stream', 'of another device', "a stream of the cache's device");
    if (stream.isCapturing)
      throw invalidArgument('stream', 'capturing', 'not capturing: pages are copied once, not at every replay');
  }
}
