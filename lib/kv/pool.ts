// SPDX-License-Identifier: Apache-2.0
import { PagewarpError } from '../errors.js';
import { PrefixIndex } from './prefixes.js';

/**
 * Pages of a fixed pool: a free list and a reference count per page. Knows nothing of sequences or of memory. Pages whose content
 * is known are free like others when nobody refers to them, but are taken last, the longest unused first, and can be had back
 * until then.
 */
export class PagePool {
  readonly pages: number;
  /** Pages that were given back; the last one is taken first. */
  readonly #returned: Int32Array;
  readonly #references: Int32Array;
  #returnedCount = 0;
  /** Free pages whose content is known, in the order in which they were given back. */
  readonly #kept = new Set<number>();
  readonly #prefixes: PrefixIndex;
  /** Pages below this one have been taken before. */
  #fresh = 0;
  #shared = 0;

  /** @throws PagewarpError ERR_OUT_OF_MEMORY */
  constructor(pages: number, pageSize: number) {
    this.pages = pages;
    this.#prefixes = new PrefixIndex(pageSize);
    try {
      this.#returned = new Int32Array(pages);
      this.#references = new Int32Array(pages);
    } catch (error) {
      const message = `could not allocate the reference counts of ${pages} pages`;
      throw new PagewarpError('ERR_OUT_OF_MEMORY', message, { pages }, { cause: error });
    }
  }

  get free(): number {
    return this.#returnedCount + this.#kept.size + this.pages - this.#fresh;
  }

  get used(): number {
    return this.#fresh - this.#returnedCount - this.#kept.size;
  }

  /** Pages that more than one sequence refers to. */
  get shared(): number {
    return this.#shared;
  }

  /** Free pages whose content is known. */
  get kept(): number {
    return this.#kept.size;
  }

  isShared(page: number): boolean {
    return this.references(page) > 1;
  }

  references(page: number): number {
    return this.#references[page] as number;
  }

  /** @throws PagewarpError ERR_CACHE_EXHAUSTED unless `count` pages are free */
  require(count: number): void {
    if (count <= this.free) return;
    throw new PagewarpError(
      'ERR_CACHE_EXHAUSTED',
      `the KV cache needs ${count} more ${count === 1 ? 'page' : 'pages'}, but only ${this.free} of its ${this.pages} are free`,
      { needed: count, free: this.free, pages: this.pages },
    );
  }

  /** A free page, with one reference. */
  take(): number {
    this.require(1);
    const page = this.#takeFree();
    this.#references[page] = 1;
    return page;
  }

  /** One reference more to a page in use, or one that is kept. */
  retain(page: number): void {
    const references = this.references(page) + 1;
    this.#references[page] = references;
    if (references === 1) this.#kept.delete(page);
    if (references === 2) this.#shared++;
  }

  release(page: number): void {
    const references = this.references(page) - 1;
    this.#references[page] = references;
    if (references === 1) this.#shared--;
    if (references > 0) return;
    if (this.#prefixes.has(page)) this.#kept.add(page);
    else this.#returned[this.#returnedCount++] = page;
  }

  /** The pages of the longest known beginning of a text; see {@link PrefixIndex}. */
  find(kind: string, tokens: readonly number[]): number[] {
    return this.#prefixes.find(kind, tokens);
  }

  /** From now on it is known which text the full ones of these pages hold. */
  publish(kind: string, tokens: readonly number[], pages: readonly number[]): void {
    for (const page of this.#prefixes.add(kind, tokens, pages)) {
      if (this.#kept.delete(page)) this.#returned[this.#returnedCount++] = page;
    }
  }

  /** A page in use is about to hold something else. */
  withdraw(page: number): void {
    this.#prefixes.forget(page);
  }

  #takeFree(): number {
    if (this.#returnedCount > 0) return this.#returned[--this.#returnedCount] as number;
    if (this.#fresh < this.pages) return this.#fresh++;
    const [longestUnused] = this.#kept;
    this.#kept.delete(longestUnused as number);
    this.#prefixes.forget(longestUnused as number);
    return longestUnused as number;
  }
}
