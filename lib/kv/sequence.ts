// SPDX-License-Identifier: Apache-2.0
import { checkList, disposed, invalidArgument } from '../errors.js';
import type { Stream } from '../tensor/stream.js';
import type { PagedKvCache } from './cache.js';
import type { PagePool } from './pool.js';

/**
 * A sequence of tokens in a {@link PagedKvCache}: its page table and length. Pages are shared with forks and copied when
 * one of them is about to be written. Every change either happens completely or, when the cache has no free page left, not
 * at all.
 *
 * Copies and moves are commands on the given stream; all work on one cache belongs on one stream (or is ordered by events),
 * since a page that one sequence drops may be another's a moment later.
 */
export class KvSequence implements Disposable {
  readonly cache: PagedKvCache;
  readonly #pool: PagePool;
  readonly #pages: number[] = [];
  #length = 0;
  #generation = 0;
  #disposed = false;

  /** @internal Use {@link PagedKvCache.sequence} or {@link KvSequence.fork}. */
  constructor(cache: PagedKvCache, pool: PagePool) {
    this.cache = cache;
    this.#pool = pool;
  }

  /** Tokens, those reserved but not yet written included. */
  get length(): number {
    return this.#length;
  }

  /** The page table. */
  get pages(): readonly number[] {
    return this.#pages;
  }

  /** Changes whenever the page table or the length does. */
  get generation(): number {
    return this.#generation;
  }

  get isDisposed(): boolean {
    return this.#disposed;
  }

  /** @throws PagewarpError ERR_DISPOSED */
  requireAlive(): void {
    if (this.#disposed || this.cache.isDisposed) throw disposed('KvSequence');
  }

  /** The place of a token in the pools: page * pageSize + offset. */
  slot(position: number): number {
    const { pageSize } = this.cache;
    return (this.#pages[Math.floor(position / pageSize)] as number) * pageSize + (position % pageSize);
  }

  /**
   * Makes room for `tokens` more. A last page that is partly filled and shared is copied first.
   * @returns the position of the first new token
   * @throws PagewarpError ERR_CACHE_EXHAUSTED, and nothing has changed; ERR_INVALID_ARGUMENT, ERR_DISPOSED
   */
  reserve(tokens: number, stream: Stream = this.cache.device.defaultStream): number {
    this.requireAlive();
    if (!Number.isInteger(tokens) || tokens < 0) throw invalidArgument('tokens', tokens, 'a non-negative integer');
    const begin = this.#length;
    if (tokens === 0) return begin;
    const wanted = Math.ceil((begin + tokens) / this.cache.pageSize);
    const added = wanted - this.#pages.length;
    this.#makeWritable(begin, begin + tokens, Math.max(0, added), stream);
    for (let i = 0; i < added; i++) this.#pages.push(this.#pool.take());
    this.#length += tokens;
    this.#generation++;
    return begin;
  }

  /** A sequence with the same tokens; all pages are shared. Costs no page until one of the two is written to. */
  fork(): KvSequence {
    this.requireAlive();
    const fork = new KvSequence(this.cache, this.#pool);
    for (const page of this.#pages) {
      this.#pool.retain(page);
      fork.#pages.push(page);
    }
    fork.#length = this.#length;
    return fork;
  }

  /**
   * Takes over the pages of the longest beginning of `tokens` that a sequence has {@link publish}ed, as far as they are still
   * there. The sequence must be empty.
   * @param kind of the same name as was published: what was computed in another way does not count
   * @param multiple the number of tokens taken over is a multiple of this one and of the page size
   * @returns that number
   * @internal
   */
  adopt(kind: string, tokens: readonly number[], multiple: number): number {
    this.requireAlive();
    const { pageSize } = this.cache;
    const found = this.#pool.find(kind, tokens);
    while ((found.length * pageSize) % multiple !== 0) found.pop();
    for (const page of found) this.#pool.retain(page);
    this.#pages.push(...found);
    this.#length = found.length * pageSize;
    this.#generation++;
    return this.#length;
  }

  /**
   * Lets sequences that begin with these tokens, the sequence's first, have its full pages of them: now, and when it has been
   * disposed, until the pool needs the pages.
   * @internal
   */
  publish(kind: string, tokens: readonly number[]): void {
    this.requireAlive();
    this.#pool.publish(kind, tokens, this.#pages);
  }

  /**
   * Drops all tokens from position `length` on; the cost is proportional to what is dropped.
   * @throws PagewarpError ERR_INVALID_ARGUMENT unless 0 <= length <= this.length
   */
  truncate(length: number): void {
    this.requireAlive();
    if (!Number.isInteger(length) || length < 0 || length > this.#length) {
      throw invalidArgument('length', length, `an integer from 0 to the sequence's length, ${this.#length}`);
    }
    if (length === this.#length) return;
    this.#drop(Math.ceil(length / this.cache.pageSize));
    this.#length = length;
    this.#generation++;
  }

  /**
   * After verification of a draft tree: of the last `treeLength` tokens keeps those at the indices `path` (rising, counted
   * from the tree's first token), moved together, and drops the rest. A chain that was accepted up to some token moves
   * nothing.
   * @throws PagewarpError ERR_CACHE_EXHAUSTED (a fork shares the pages to be written, and there is no page for a copy) with
   *   nothing changed; ERR_INVALID_ARGUMENT
   */
  keep(path: readonly number[], treeLength: number, stream: Stream = this.cache.device.defaultStream): void {
    this.requireAlive();
    if (!Number.isInteger(treeLength) || treeLength < 0 || treeLength > this.#length) {
      throw invalidArgument('treeLength', treeLength, `an integer from 0 to the sequence's length, ${this.#length}`);
    }
    checkList('path', path);
    const rising = path.every((node, i) => Number.isInteger(node) && node > (path[i - 1] ?? -1) && node < treeLength);
    if (!rising) throw invalidArgument('path', [...path], `rising indices from 0 to ${treeLength - 1}`);
    const base = this.#length - treeLength;
    const firstMoved = path.findIndex((node, i) => node !== i);
    if (firstMoved >= 0) {
      this.#makeWritable(base + firstMoved, base + path.length, 0, stream);
      const moved = path.slice(firstMoved);
      this.cache.moveSlots(
        moved.map((node) => this.slot(base + node)),
        moved.map((_, i) => this.slot(base + firstMoved + i)),
        stream,
      );
      this.#generation++;
    }
    this.truncate(base + path.length);
  }

  /** Gives all pages back. Harmless when repeated. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#generation++;
    this.#drop(0);
    this.#length = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Gives back all pages but the first `kept`, the last one first: kept prefixes are given up from their ends. */
  #drop(kept: number): void {
    while (this.#pages.length > kept) this.#pool.release(this.#pages.pop() as number);
  }

  /**
   * Before positions `begin` to `end` are written: copies the pages of them that are shared, and lets nobody adopt the others.
   * @param added pages that are needed besides
   */
  #makeWritable(begin: number, end: number, added: number, stream: Stream): void {
    const { pageSize } = this.cache;
    const pages = Math.min(Math.ceil(end / pageSize), this.#pages.length);
    const shared: number[] = [];
    const owned: number[] = [];
    for (let i = Math.floor(begin / pageSize); i < pages; i++) {
      if (this.#pool.isShared(this.#pages[i] as number)) shared.push(i);
      else owned.push(this.#pages[i] as number);
    }
    this.#pool.require(added + shared.length);
    this.#copyOnWrite(shared, stream);
    for (const page of owned) this.#pool.withdraw(page);
  }

  #copyOnWrite(indices: readonly number[], stream: Stream): void {
    if (indices.length === 0) return;
    const from = indices.map((i) => this.#pages[i] as number);
    const to = indices.map(() => this.#pool.take());
    try {
      this.cache.copyPages(from, to, stream);
    } catch (error) {
      for (const page of to) this.#pool.release(page);
      throw error;
    }
    for (const [n, i] of indices.entries()) {
      this.#pool.release(this.#pages[i] as number);
      this.#pages[i] = to[n] as number;
    }
  }
}
