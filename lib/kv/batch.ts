// SPDX-License-Identifier: Apache-2.0
import { checkList, checkObject, invalidArgument, PagewarpError } from '../errors.js';
import { checkInteger } from '../ops/check.js';
import type { PagedKvCache } from './cache.js';
import type { KvSequence } from './sequence.js';

/**
 * Where the keys of a batch of sequences lie, in compressed sparse rows: sequence s has pages
 * indices[indptr[s]] ... indices[indptr[s + 1] - 1], in order; its key j lies in its page floor(j / pageSize).
 *
 * Any list of pages is a legal row. A row that names only some pages of a sequence, the last one partly filled, gives page
 * selection (Quest, Tang et al., 2024); one row per block of queries gives block-sparse prefill.
 */
export interface PageTable {
  /** Keys of each sequence. */
  lengths: Int32Array;
  /** [sequences + 1] */
  indptr: Int32Array;
  indices: Int32Array;
  pageSize: number;
  /** Pages of the pool. */
  pages: number;
  kvHeads: number;
  headDim: number;
}

/** A sequence's part in a batch: its last `queryLength` tokens are the rows. */
export interface BatchEntry {
  sequence: KvSequence;
  queryLength: number;
  /** As if it had only its first so many tokens. Default: all that it has. */
  length?: number;
}

/** What a step over some sequences of a cache needs, as typed arrays. Stale once one of the sequences has changed. */
export class CacheBatch {
  readonly cache: PagedKvCache;
  readonly queryLengths: Int32Array;
  readonly pageTable: PageTable;
  /** [rows]: the slot of each row's token, for `appendKv`. */
  readonly slots: Int32Array;
  /** [rows]: the position of each row's token in its sequence. */
  readonly positions: Int32Array;
  readonly #sequences: readonly KvSequence[];
  readonly #lengths: Int32Array;
  readonly #generations: readonly number[];

  /** @internal Use {@link PagedKvCache.batch}. */
  constructor(cache: PagedKvCache, entries: readonly BatchEntry[]) {
    this.cache = cache;
    checkList('entries', entries);
    for (const [i, entry] of entries.entries()) {
      checkObject(`entries[${i}]`, entry);
      checkObject(`entries[${i}].sequence`, entry.sequence);
    }
    this.#sequences = entries.map((entry) => entry.sequence);
    for (const [i, { sequence, queryLength, length = sequence.length }] of entries.entries()) {
      if (sequence.cache !== cache)
        throw invalidArgument(`entries[${i}].sequence`, 'of another cache', 'a sequence of this cache');
      sequence.requireAlive();
      checkInteger(`entries[${i}].length`, length, 0, sequence.length, ", the sequence's length");
      checkInteger(`entries[${i}].queryLength`, queryLength, 0, length, ', what the sequence has');
    }
    this.#lengths = Int32Array.from(entries, ({ sequence, length = sequence.length }) => length);
    this.#generations = this.#sequences.map((sequence) => sequence.generation);
    this.queryLengths = Int32Array.from(entries, (entry) => entry.queryLength);
    this.pageTable = this.#makePageTable();
    const rows = this.queryLengths.reduce((sum, n) => sum + n, 0);
    this.slots = new Int32Array(rows);
    this.positions = new Int32Array(rows);
    let row = 0;
    for (const { sequence, queryLength, length = sequence.length } of entries) {
      for (let position = length - queryLength; position < length; position++, row++) {
        this.slots[row] = sequence.slot(position);
        this.positions[row] = position;
      }
    }
  }

  /** Rows of all sequences together. */
  get rows(): number {
    return this.slots.length;
  }

  /** The pages that the rows' tokens lie in, each once, and how many tokens these then hold: for `keyBounds`. */
  touchedPages(): { pages: Int32Array; tokens: Int32Array } {
    const { pageSize, indptr, indices, lengths } = this.pageTable;
    const found = new Map<number, number>();
    for (const [s, queries] of this.queryLengths.entries()) {
      const length = lengths[s] as number;
      for (let i = Math.floor((length - queries) / pageSize); queries > 0 && i * pageSize < length; i++) {
        const page = indices[(indptr[s] as number) + i] as number;
        found.set(page, Math.max(found.get(page) ?? 0, Math.min(pageSize, length - i * pageSize)));
      }
    }
    return { pages: Int32Array.from(found.keys()), tokens: Int32Array.from(found.values()) };
  }

  /** Has any of the sequences changed since? */
  get isStale(): boolean {
    return this.#sequences.some((sequence, i) => sequence.generation !== this.#generations[i]);
  }

  /** @throws PagewarpError ERR_STALE_PLAN */
  requireFresh(): void {
    if (!this.isStale) return;
    const index = this.#sequences.findIndex((sequence, i) => sequence.generation !== this.#generations[i]);
    throw new PagewarpError(
      'ERR_STALE_PLAN',
      `sequence ${index} of the batch has changed since the plan was made; make a new batch and plan`,
      { sequence: index },
    );
  }

  #makePageTable(): PageTable {
    const { pageSize, pages, kvHeads, headDim } = this.cache;
    const lengths = this.#lengths;
    const indptr = new Int32Array(lengths.length + 1);
    for (const [i, length] of lengths.entries()) indptr[i + 1] = (indptr[i] as number) + Math.ceil(length / pageSize);
    const indices = new Int32Array(indptr[lengths.length] as number);
    for (const [i, sequence] of this.#sequences.entries()) {
      const begin = indptr[i] as number;
      for (let at = begin; at < (indptr[i + 1] as number); at++) indices[at] = sequence.pages[at - begin] as number;
    }
    return { lengths, indptr, indices, pageSize, pages, kvHeads, headDim };
  }
}
