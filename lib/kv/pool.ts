// SPDX-License-Identifier: Apache-2.0
import { PagewarpError } from '../errors.js';

/** Pages of a fixed pool: a free list and a reference count per page. Knows nothing of sequences or of memory. */
export class PagePool {
  readonly pages: number;
  readonly #free: Int32Array;
  readonly #references: Int32Array;
  #freeCount: number;
  #shared = 0;

  constructor(pages: number) {
    this.pages = pages;
    // Taken from the end: page 0 first.
    this.#free = Int32Array.from({ length: pages }, (_, i) => pages - 1 - i);
    this.#references = new Int32Array(pages);
    this.#freeCount = pages;
  }

  get free(): number {
    return this.#freeCount;
  }

  get used(): number {
    return this.pages - this.#freeCount;
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
    if (count <= this.#freeCount) return;
    throw new PagewarpError(
      'ERR_CACHE_EXHAUSTED',
      `the KV cache needs ${count} more ${count === 1 ? 'page' : 'pages'}, but only ${this.#freeCount} of its ${this.pages} are free`,
      { needed: count, free: this.#freeCount, pages: this.pages },
    );
  }

  /** A free page, with one reference. */
  take(): number {
    this.require(1);
    this.#freeCount--;
    const page = this.#free[this.#freeCount] as number;
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
    this.#free[this.#freeCount] = page;
    this.#freeCount++;
  }
}
