// SPDX-License-Identifier: Apache-2.0
import { PagewarpError } from '../errors.js';

/** Pages of a fixed pool: a free list and a reference count per page. Knows nothing of sequences or of memory. */
export class PagePool {
  readonly pages: number;
  /** Pages that were given back; the last one is taken first. */
  readonly #returned: Int32Array;
  readonly #references: Int32Array;
  #returnedCount = 0;
  /** Pages below this one have been taken before. */
  #fresh = 0;
  #shared = 0;

  /** @throws PagewarpError ERR_OUT_OF_MEMORY */
  constructor(pages: number) {
    this.pages = pages;
    try {
      this.#returned = new Int32Array(pages);
      this.#references = new Int32Array(pages);
    } catch (error) {
      const message = `could not allocate the reference counts of ${pages} pages`;
      throw new PagewarpError('ERR_OUT_OF_MEMORY', message, { pages }, { cause: error });
    }
  }

  get free(): number {
    return this.#returnedCount + this.pages - this.#fresh;
  }

  get used(): number {
    return this.#fresh - this.#returnedCount;
  }

  /** Pages that more than one sequence refers to. */
  get shared(): number {
    return this.#shared;
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
    const page = this.#returnedCount > 0 ? (this.#returned[--this.#returnedCount] as number) : this.#fresh++;
    this.#references[page] = 1;
    return page;
  }

  retain(page: number): void {
    const references = this.references(page) + 1;
    this.#references[page] = references;
    if (references === 2) this.#shared++;
  }

  release(page: number): void {
    const references = this.references(page) - 1;
    this.#references[page] = references;
    if (references === 1) this.#shared--;
    if (references > 0) return;
    this.#returned[this.#returnedCount++] = page;
  }
}
