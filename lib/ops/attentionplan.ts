// SPDX-License-Identifier: Apache-2.0
import {
  checkInstance,
  checkList,
  checkObject,
  invalidArgument,
  PagewarpError,
  shapeMismatch,
  unsupported,
} from '../errors.js';
import type { CacheBatch, PageTable } from '../kv/batch.js';
import { type NativeAttentionPlan, type NativePlanInputs, native } from '../native.js';
import type { Device } from '../tensor/device.js';
import { Resource } from '../tensor/resource.js';
import type { Replaceable } from '../tensor/stream.js';
import { checkInteger } from './check.js';
import type { CustomMask, TreeMask } from './treemask.js';
import { hasWideTree, visibleBits, visibleInTrees, wordsPerNode } from './visiblerows.js';

/** The largest number that a plan takes: native code has 32 bits for it. */
const most = 2 ** 31 - 1;

/** Tokens that see each other in both directions, such as an image within a causal prompt: keys `begin` to `end`. */
export interface AttentionSegment {
  sequence: number;
  begin: number;
  end: number;
}

/** Keys at the beginning of sequences `first` to `end` (exclusive) that lie in the same pages for all of these. */
export interface SharedPrefix {
  first: number;
  end: number;
  keys: number;
}

interface PlanOptions {
  /** Query heads; a multiple of the kv heads. */
  heads: number;
  /** Default `causal`: bottom-right aligned, so that a sequence's last row sees all of its keys. */
  mask?: 'causal' | 'none' | TreeMask | CustomMask;
  /** A row sees only the last `window` keys up to its own (and the sinks). Default: all. */
  window?: number;
  /** First keys of a sequence that a window never hides (StreamingLLM; Xiao et al., 2024). Default 0. */
  sinkTokens?: number;
  segments?: readonly AttentionSegment[];
  /**
   * A prefix of so many keys that all sequences share, or several with the sequences that share each, in their order. It is
   * read once for the rows of all its sequences, and joined with the rest of each (cascade inference; Ye et al., 2024). The
   * sequences' page tables must begin with the same pages. Not with a custom mask.
   *
   * On a GPU that is once for every 128 packed rows (query rows times the query heads of a kv head), which is what the
   * registers of a multiprocessor have room for. Where the prefix fits the second-level cache, all but the first time it is
   * read from there.
   */
  sharedPrefix?: number | readonly SharedPrefix[];
  /**
   * How keys are split among workers. `auto` fills the workers; `none` and a number of keys make each row's result
   * independent of the rest of the batch, bit for bit; a number on the CPU also of the sequence's other rows. A list has one
   * for each sequence (not with a shared prefix): parts of prompts, which want `none`, beside tokens that are decoded.
   * Default `auto`.
   */
  split?: 'auto' | 'none' | number | readonly ('none' | number)[];
  /** What the plan is for; it runs elsewhere as well, but slower. Default: the device of the batch, else a CPU. */
  device?: Device;
  /** Threads or multiprocessors to split for. Default: those of `device`, else 1. */
  workers?: number;
}

/** A batch of a cache, or lengths and a page table of the caller's own. */
export type AttentionPlanOptions = PlanOptions &
  ({ batch: CacheBatch } | { queryLengths: ArrayLike<number>; pageTable: PageTable });

/**
 * How one batch of attention is cut into work: made on the host, used in every layer. Immutable. A command list captured
 * with a plan can be replayed with a newer one: see {@link AttentionPlan.checkReplaces}.
 */
export class AttentionPlan extends Resource<NativeAttentionPlan> implements Replaceable {
  /** Query rows of all sequences together. */
  readonly rows: number;
  readonly heads: number;
  readonly pageTable: PageTable;
  /** The batch that it was made from, if any. */
  readonly batch: CacheBatch | undefined;
  /** Pieces of work, each to be done for every kv head. */
  readonly items: number;
  /** Row tiles whose keys were split, to be joined afterwards. */
  readonly merges: number;
  /** What partial results take; 0 when nothing is split. */
  readonly workspaceBytes: number;
  /** Are there trees of more nodes than a word of a row's mask has? @internal for `attention`, which has no ALiBi for them */
  readonly hasWideTrees: boolean;
  /** Which kernels it takes on a GPU, as a set of bits: a graph that was captured with the same ones serves it. */
  readonly kernels: number;

  /** @internal Use {@link planAttention}. */
  constructor(options: AttentionPlanOptions) {
    const made = native().planAttention(planInputs(options));
    super(made.handle);
    this.rows = made.rows;
    this.heads = options.heads;
    this.pageTable = pageTableOf(options);
    this.batch = 'batch' in options ? options.batch : undefined;
    this.items = made.items;
    this.merges = made.merges;
    this.workspaceBytes = made.workspaceBytes;
    this.kernels = made.kernels;
    this.hasWideTrees = isTree(options.mask) && hasWideTree(options.mask);
  }

  /**
   * A newer plan can stand in for the captured one when it is for the same cache and heads and for at most as many rows as the
   * captured queries have; the outputs of rows beyond its own become zero.
   * @param rows of the captured queries
   * @throws PagewarpError ERR_STALE_PLAN
   */
  checkReplaces(captured: Replaceable, rows: number): void {
    if (!(captured instanceof AttentionPlan)) throw stale('the captured object is no attention plan');
    const fixed = ['pageSize', 'pages', 'kvHeads', 'headDim'] as const;
    const different = fixed.find((name) => this.pageTable[name] !== captured.pageTable[name]);
    if (different) {
      throw stale(
        `it was made for ${different} ${this.pageTable[different]}, the captured one for ${captured.pageTable[different]}`,
      );
    }
    if (this.heads !== captured.heads)
      throw stale(`it was made for ${this.heads} heads, the captured one for ${captured.heads}`);
    if (this.hasWideTrees && !captured.hasWideTrees)
      throw stale('it has trees of more than 64 nodes, and the captured one has none'); // there may be ALiBi
    if (this.rows > rows) throw stale(`it has ${this.rows} rows, the captured queries only ${rows}`);
    this.requireFresh();
  }

  /** @throws PagewarpError ERR_STALE_PLAN when a sequence of its batch has changed since, ERR_DISPOSED */
  requireFresh(): void {
    void this.native;
    this.checkFresh();
  }

  /** @throws PagewarpError ERR_STALE_PLAN when a sequence of its batch has changed since */
  checkFresh(): void {
    this.batch?.requireFresh();
  }
}

/**
 * Plans the attention of a batch: which rows see which keys, and who works on what.
 * @throws PagewarpError ERR_INVALID_ARGUMENT for lengths, page tables or masks that do not fit together, ERR_STALE_PLAN for a
 *   batch whose sequences have changed
 */
export function planAttention(options: AttentionPlanOptions): AttentionPlan {
  return new AttentionPlan(options);
}

/** The `workspaceBytes` that a plan would have, without making it. The pages themselves need not be known yet. */
export function attentionWorkspaceBytes(options: AttentionPlanOptions): number {
  return native().attentionWorkspaceBytes(planInputs(options));
}

function stale(why: string): PagewarpError {
  return new PagewarpError('ERR_STALE_PLAN', `the plan cannot stand in for the captured one: ${why}`);
}

function pageTableOf(options: AttentionPlanOptions): PageTable {
  return 'batch' in options ? options.batch.pageTable : options.pageTable;
}

function planInputs(options: AttentionPlanOptions): NativePlanInputs {
  checkObject('options', options);
  if ('batch' in options) checkObject('batch', options.batch);
  else checkObject('pageTable', options.pageTable);
  const { heads, mask = 'causal', window, sinkTokens = 0, segments = [], sharedPrefix = [], split = 'auto' } = options;
  if ('batch' in options) options.batch.requireFresh();
  const table = pageTableOf(options);
  const queryLengths = integers('queryLengths', 'batch' in options ? options.batch.queryLengths : options.queryLengths);
  const kvLengths = integers('pageTable.lengths', table.lengths);
  const device = options.device ?? ('batch' in options ? options.batch.cache.device : undefined);
  const workers = options.workers ?? device?.threads ?? 1;
  checkObjects('segments', segments);
  if (typeof sharedPrefix !== 'number') checkObjects('sharedPrefix', sharedPrefix);
  if (window !== undefined) checkInteger('window', window, 1, most);
  const splits = isList(split) ? splitsOf(split, queryLengths.length) : undefined;
  for (const [name, value] of Object.entries({ heads, sinkTokens, workers })) checkInteger(name, value, 0, most);
  for (const name of ['pageSize', 'pages', 'kvHeads', 'headDim'] as const)
    checkInteger(`pageTable.${name}`, table[name], 0, most);
  return {
    queryLengths,
    kvLengths,
    pageBegin: integers('pageTable.indptr', table.indptr),
    pages: integers('pageTable.indices', table.indices),
    heads,
    kvHeads: table.kvHeads,
    headDim: table.headDim,
    pageSize: table.pageSize,
    pagesInPool: table.pages,
    causal: mask !== 'none',
    window: window ?? 0,
    sinkTokens,
    gpu: device?.kind === 'cuda',
    workers,
    split: isList(split) || split === 'auto' ? 0 : splitCode('split', split),
    ...(splits ? { splits } : {}),
    segments: integers(
      'segments',
      segments.flatMap(({ sequence, begin, end }) => [sequence, begin, end]),
    ),
    prefixes: integers(
      'sharedPrefix',
      (typeof sharedPrefix === 'number'
        ? [{ first: 0, end: queryLengths.length, keys: sharedPrefix }]
        : sharedPrefix
      ).flatMap(({ first, end, keys }) => [first, end, keys]),
    ),
    ...maskInputs(options, queryLengths, kvLengths),
  };
}

/** kSplitNever, or a number of keys. */
function splitCode(name: string, split: 'none' | number): number {
  if (split === 'none') return -1;
  checkInteger(name, split, 1, most);
  return split;
}

function isList<T>(value: T | readonly ('none' | number)[]): value is readonly ('none' | number)[] {
  return Array.isArray(value);
}

function splitsOf(splits: readonly ('none' | number)[], sequences: number): Int32Array {
  if (splits.length !== sequences) throw shapeMismatch('split', [splits.length], [sequences], 'one per sequence');
  return Int32Array.from(splits, (split, i) => splitCode(`split[${i}]`, split));
}

function isTree(mask: PlanOptions['mask']): mask is TreeMask {
  return typeof mask === 'object' && mask?.kind === 'tree';
}

/** The mask, and what it says of windows instead of the options. */
function maskInputs(options: PlanOptions, queryLengths: Int32Array, kvLengths: Int32Array): Partial<NativePlanInputs> {
  const { mask, window, sinkTokens, segments = [], sharedPrefix = [] } = options;
  if (mask === undefined || mask === 'causal' || mask === 'none') return {};
  const kind = mask?.kind;
  if (kind !== 'tree' && kind !== 'custom') {
    throw invalidArgument('mask', mask, "'causal', 'none', of treeMask(), or { kind: 'custom', bits }");
  }
  if (mask.kind === 'custom') {
    checkInstance('mask.bits', mask.bits, Uint8Array);
    return { customBits: mask.bits };
  }
  checkTrees(mask, queryLengths);
  if (hasWideTree(mask)) {
    if (segments.length > 0) throw unsupported('segments with trees of more than 64 nodes', 'one of the two');
    if (sharedPrefix !== 0 && (typeof sharedPrefix === 'number' || sharedPrefix.length > 0))
      throw unsupported('a shared prefix with trees of more than 64 nodes', 'one of the two');
    const { bits } = visibleBits(visibleInTrees(mask, queryLengths, kvLengths, window, sinkTokens));
    return { customBits: bits, window: 0, sinkTokens: 0 };
  }
  const rows = queryLengths.reduce((sum, n) => sum + n, 0);
  const treeMasks = new BigUint64Array(rows);
  const treeLengths = Int32Array.from(mask.trees, (tree) => tree.length);
  let row = 0;
  for (const [s, tree] of mask.trees.entries()) {
    treeMasks.set(tree, row);
    row += queryLengths[s] as number;
  }
  return { treeMasks, treeLengths };
}

function checkTrees({ trees }: TreeMask, queryLengths: Int32Array): void {
  checkList('mask.trees', trees);
  if (trees.length !== queryLengths.length) {
    throw shapeMismatch('mask.trees', [trees.length], [queryLengths.length], 'one tree per sequence, empty for none');
  }
  for (const [s, tree] of trees.entries()) {
    const queries = queryLengths[s] as number;
    checkInstance(`mask.trees[${s}]`, tree, BigUint64Array);
    const words = queries * wordsPerNode(queries);
    if (tree.length > 0 && tree.length !== words)
      throw shapeMismatch(`mask.trees[${s}]`, [tree.length], [words], 'each node is a query row');
  }
}

function checkObjects(name: string, list: readonly object[]): void {
  checkList(name, list);
  for (const [i, item] of list.entries()) checkObject(`${name}[${i}]`, item);
}

/** As i32, without wrapping anything around. */
function integers(name: string, values: ArrayLike<number>): Int32Array {
  if (values instanceof Int32Array) return values;
  checkList(name, values);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (!Number.isInteger(value) || Math.abs(value) >= 2 ** 31)
      throw invalidArgument(`${name}[${i}]`, value, 'a 32-bit integer');
  }
  return Int32Array.from(values);
}
