// SPDX-License-Identifier: Apache-2.0
import { disposed, invalidArgument } from '../errors.js';
import type { KvSequence } from '../kv/sequence.js';
import type { LlamaRunner, StepOptions } from '../model/llama.js';
import type { LanguageModel } from '../model/model.js';
import { drawCandidates } from '../ops/candidates.js';
import { checkNumber } from '../ops/check.js';
import { packSampling } from '../ops/sampling.js';
import type { CustomMask } from '../ops/treemask.js';
import { Tensor } from '../tensor/tensor.js';
import { type Draft, type Drafter, type DraftOutcome, type DraftTarget, noDraft } from './drafter.js';
import { TreeGrowth, type TreeShape } from './tree.js';

export interface DraftModelOptions {
  /**
   * `chain`: one guess after the other. `dynamic`, the default: the tree of the most probable continuations, as large as they
   * are worth it. A shape, from {@link treeOfPaths} or {@link optimalTree}: always that tree.
   */
  tree?: 'chain' | 'dynamic' | TreeShape;
  /** Most nodes, 1 to 63. Default 24. */
  maxDraft?: number;
  /** Deepest node of `chain` and `dynamic`. Default 8. */
  depth?: number;
  /** Most children of a node, and nodes expanded per level, of `dynamic`. Default 4. */
  width?: number;
  /**
   * Draw the drafts by chance, without replacement, from the draft model's distribution (they are then verified by rejection).
   * Default false: the most probable tokens, so that the output is that of plain sampling. Greedy generations ignore it. The two
   * models must be on one device.
   */
  sampled?: boolean;
  /**
   * A node is drafted when its chance is above this, at least: the fallback of BiLD (Kim et al., 2023). Default 0: what its
   * generation finds worthwhile.
   */
  confidence?: number;
}

/**
 * Drafts with a smaller model of the same vocabulary (Leviathan et al., 2023), a chain or a tree: growing by what the draft
 * model finds probable (EAGLE-2, SpecExec; sampled: DySpec), or of a fixed shape (SpecInfer, Sequoia). The draft model must
 * outlive the drafter, which has a sequence in its cache; where that is full, nothing is drafted.
 * @throws PagewarpError ERR_INVALID_ARGUMENT; when a generation begins also for another vocabulary or device
 */
export function draftModel(model: LanguageModel, options: DraftModelOptions = {}): Drafter {
  return new ModelDrafter(model, resolveDraftOptions(options));
}

/** @throws PagewarpError ERR_INVALID_ARGUMENT naming the option */
export function resolveDraftOptions(options: DraftModelOptions): Required<DraftModelOptions> {
  const { tree = 'dynamic', maxDraft = 24, depth = 8, width = 4, sampled = false, confidence = 0 } = options;
  const integer = (name: string, value: number, most: number): void =>
    checkNumber(name, value, `an integer from 1 to ${most}`, (n) => Number.isInteger(n) && n >= 1 && n <= most);
  integer('maxDraft', maxDraft, 63);
  integer('depth', depth, 63);
  integer('width', width, 16);
  checkNumber('confidence', confidence, 'a number from 0 to 1', (x) => x >= 0 && x <= 1);
  if (typeof tree === 'string' && tree !== 'chain' && tree !== 'dynamic') {
    throw invalidArgument('tree', tree, "'chain', 'dynamic' or a shape");
  }
  if (typeof tree !== 'string') for (const [node, parent] of tree.entries()) checkParent(parent, node);
  return { tree, maxDraft, depth, width: tree === 'chain' ? 1 : width, sampled, confidence };
}

function checkParent(parent: number, node: number): void {
  if (!Number.isInteger(parent) || parent < -1 || parent >= node || node > 62) {
    throw invalidArgument(`tree[${node}]`, parent, '-1 or an earlier node, at most 63 nodes');
  }
}

/** A node whose children are drawn in this level. */
export interface Expansion {
  /** Index among the candidates; -1: the root. */
  node: number;
  /** Node of the shape, if the tree has one. */
  place: number;
  token: number;
  depth: number;
  chance: number;
  /** The expanded nodes from the root down to itself, as indices of the rows computed for this draft. */
  path: number[];
}

/** What drafts: a model, or the part of one that an EAGLE head is. */
export interface DraftRunner {
  parts(): { runner: LlamaRunner; contextLength: number };
}

/** Drafts level by level with a runner that has a cache of its own. */
export class ModelDrafter implements Drafter {
  readonly #model: DraftRunner;
  readonly #options: Required<DraftModelOptions>;
  #target: DraftTarget | undefined;
  #kv: KvSequence | undefined;
  /** Tokens whose keys and values are the sequence's first ones. */
  #cached: number[] = [];
  /** The logits that drafts were drawn from, and what else lives until the next draft. */
  #kept: Tensor<'f32'> | undefined;
  #parameters: Tensor<'f32'> | undefined;
  #rows: Tensor<'i32'> | undefined;

  constructor(model: DraftRunner, options: Required<DraftModelOptions>) {
    this.#model = model;
    this.#options = options;
  }

  reset(target?: DraftTarget): void {
    this.#release();
    this.#target = target;
    if (!target) return;
    const { runner } = this.#model.parts();
    if (runner.config.vocabulary !== target.vocabulary) {
      throw invalidArgument(
        'the draft model',
        `of a vocabulary of ${runner.config.vocabulary} tokens`,
        `of the target's, ${target.vocabulary}`,
      );
    }
    if (this.#isSampled && runner.stream.device !== target.runner.stream.device) {
      throw invalidArgument('the draft model', 'on another device', "on the target's device, for sampled drafts");
    }
    this.#kv = runner.cache.sequence();
  }

  /** The runner's options for the tokens `begin` to `end` of the context. */
  protected contextStep(_begin: number, _end: number): StepOptions {
    return {};
  }

  /** The runner's options for nodes. @param rows those that they were drawn from, of the rows computed for this draft */
  protected nodeStep(_rows: readonly number[]): StepOptions {
    return {};
  }

  /** Called when a step of `rows` has been enqueued, the last of which are rows `begin` to `end` computed for this draft. */
  protected computed(_rows: number, _begin: number, _end: number): void {}

  async draft(context: ArrayLike<number>, maxTokens: number, worth = 0): Promise<Draft> {
    const target = this.#target;
    if (!target || !this.#kv) throw disposed('draft model drafter');
    const { runner, contextLength } = this.#model.parts();
    const { tree, confidence } = this.#options;
    const nodes = Math.min(maxTokens, this.#options.maxDraft);
    const deepest = typeof tree === 'string' ? Math.min(nodes, this.#options.depth) : nodes;
    const common = this.#forgetOthers(context);
    const needed = context.length - common + nodes + runner.cache.pageSize;
    if (context.length + deepest > contextLength || runner.cache.freeTokens < needed) return noDraft;

    const growth = new TreeGrowth();
    const drawnFrom: number[] = []; // of each candidate, the row of the kept logits
    let logits = this.#feed(context, common);
    let level: Expansion[] = [{ node: -1, place: -1, token: -1, depth: 0, chance: 1, path: [] }];
    let rows = 0; // of the kept logits
    let linear = true; // the rows in the cache after the context are a chain
    for (;;) {
      const offered = await this.#draw(logits, level, rows, context.length - 1, growth, drawnFrom);
      if (this.#target !== target) return noDraft; // that generation has ended meanwhile
      rows += level.length;
      const next = this.#choose(offered, growth, worth, deepest, nodes - (rows - 1));
      if (next.length === 0) break;
      linear &&= next.length === 1 && (next[0] as Expansion).path.length === rows;
      logits = this.#expand(next, rows - 1, context.length, linear);
      if (linear) this.#cached.push((next[0] as Expansion).token);
      level = next;
    }
    const { draft, chosen } = growth.best(nodes, typeof tree === 'string' ? Math.max(worth, confidence) : 0);
    return this.#isSampled ? this.#withSource(draft, chosen, drawnFrom, rows) : draft;
  }

  observe(_outcome: DraftOutcome): void {}

  dispose(): void {
    this.#release();
    this.#target = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  get #isSampled(): boolean {
    return this.#options.sampled && (this.#target?.sampling.temperature ?? 0) > 0;
  }

  /** Drops what is cached beyond the common prefix with `context`; its last token is computed anew in any case. */
  #forgetOthers(context: ArrayLike<number>): number {
    let common = 0;
    const most = Math.min(this.#cached.length, context.length - 1);
    while (common < most && this.#cached[common] === context[common]) common++;
    this.#cached.length = common;
    this.#kv?.truncate(common);
    return common;
  }

  /** Computes the context from `begin` on; the logits after its last token. */
  #feed(context: ArrayLike<number>, begin: number): Tensor<'f32'> {
    const { runner } = this.#model.parts();
    const kv = this.#kv as KvSequence;
    for (let at = begin; ; ) {
      const end = Math.min(context.length, at + Math.min(runner.chunk, runner.maxRows));
      const ids = Int32Array.from({ length: end - at }, (_, i) => context[at + i] as number);
      kv.reserve(ids.length, runner.stream);
      const last = end === context.length;
      const batch = runner.cache.batch([{ sequence: kv, queryLength: ids.length }]);
      const step = this.contextStep(at, end);
      const logits = runner.forward(batch, ids, last ? 1 : 0, step);
      step.inputs?.dispose();
      this.#cached.push(...ids);
      if (last) {
        this.computed(ids.length, 0, 1);
        return logits;
      }
      at = end;
    }
  }

  /** Draws the children of a level's nodes and offers them; returns what was offered, as the next level could expand it. */
  async #draw(
    logits: Tensor<'f32'>,
    level: readonly Expansion[],
    rows: number,
    position: number,
    growth: TreeGrowth,
    drawnFrom: number[],
  ): Promise<Expansion[]> {
    const { runner } = this.#model.parts();
    const { stream } = runner;
    const target = this.#target as DraftTarget;
    const { temperature, topK, topP, minP } = target.sampling;
    const sampled = this.#isSampled;
    const { tree, width } = this.#options;
    const places = level.map(({ place }) => this.#childPlaces(place));
    const count = typeof tree === 'string' ? width : Math.max(...places.map((list) => list.length));
    using branches = Tensor.empty(stream.device, [level.length], 'i32');
    branches.write(
      Int32Array.from(level, ({ node }) => node + 1),
      stream,
    );
    const drawn = drawCandidates(stream, {
      logits,
      count,
      kind: sampled ? 'distinct' : 'top',
      branches,
      // The probabilities that the target draws with; greedy ones say nothing of how sure the model is.
      ...(temperature > 0 ? { temperature, topK, topP, minP } : {}),
      seed: target.seed,
      offset: level.map(({ depth }) => position + depth),
    });
    if (sampled) this.#keep(logits, rows);
    const reads = Promise.all([drawn.ids.read(stream), drawn.logprobs.read(stream)]);
    drawn.ids.dispose();
    drawn.logprobs.dispose();
    const [ids, logprobs] = await reads;
    const offered: Expansion[] = [];
    for (const [row, { node, depth, chance, path }] of level.entries()) {
      let undrawn = 1;
      const wanted = typeof tree === 'string' ? count : (places[row] as number[]).length;
      for (let rank = 0; rank < wanted; rank++) {
        const token = ids[row * count + rank] as number;
        if (token < 0) break;
        const q = Math.exp(logprobs[row * count + rank] as number);
        // Sampled: the chance that this place is judged does not depend on what was drawn for it.
        const priority = sampled ? chance * undrawn : chance * q;
        undrawn = Math.max(0, undrawn - q);
        const accepted = Math.min(priority, chance * q); // rounding must not put a child before its parent
        const index = growth.offer({ token, parent: node, priority, chance: accepted });
        drawnFrom.push(rows + row);
        const place = (places[row] as number[])[rank] ?? -1;
        offered.push({ node: index, place, token, depth: depth + 1, chance: accepted, path: [...path, rows + row] });
      }
    }
    return offered;
  }

  /** Which nodes are expanded next, `most` of them at most; a shape's level is expanded as a whole or not at all. */
  #choose(
    offered: readonly Expansion[],
    growth: TreeGrowth,
    worth: number,
    deepest: number,
    most: number,
  ): Expansion[] {
    const { tree, width, confidence } = this.#options;
    if (typeof tree !== 'string') {
      const inner = offered.filter(({ place }) => this.#childPlaces(place).length > 0);
      return inner.length <= most ? inner : [];
    }
    const least = Math.max(worth, confidence);
    return offered
      .filter(({ node, chance, depth }) => {
        return depth < deepest && chance > least && (growth.nodes[node]?.priority as number) > least;
      })
      .sort((a, b) => b.chance - a.chance)
      .slice(0, Math.min(width, most));
  }

  /** Nodes of the shape below `place`. */
  #childPlaces(place: number): number[] {
    const { tree } = this.#options;
    if (typeof tree === 'string') return [];
    return tree.flatMap((parent, node) => (parent === place ? [node] : []));
  }

  /** Computes the chosen nodes. @param before rows of this draft that are in the cache already */
  #expand(next: readonly Expansion[], before: number, base: number, linear: boolean): Tensor<'f32'> {
    const { runner } = this.#model.parts();
    const kv = this.#kv as KvSequence;
    kv.reserve(next.length, runner.stream);
    const batch = runner.cache.batch([{ sequence: kv, queryLength: next.length }]);
    const ids = Int32Array.from(next, ({ token }) => token);
    const step = this.nodeStep(next.map(({ path }) => path.at(-1) as number));
    if (!linear) {
      // Row 0 of a draft is the root, which is the last token of the context: row i > 0 is token base + i - 1.
      const keys = next.map(({ path }, row) => [...path.slice(1).map((at) => base + at - 1), base + before + row]);
      step.positions = Int32Array.from(next, ({ depth }) => base + depth - 1);
      step.mask = maskOf(base, kv.length, keys);
    }
    const logits = runner.forward(batch, ids, next.length, step);
    step.inputs?.dispose();
    this.computed(next.length, before + 1, before + 1 + next.length);
    return logits;
  }

  #keep(logits: Tensor<'f32'>, at: number): void {
    const { runner } = this.#model.parts();
    const { vocabulary } = runner.config;
    this.#kept ??= Tensor.empty(runner.stream.device, [64, vocabulary], 'f32');
    const rows = logits.shape[0] as number;
    using place = this.#kept.slice(0, at, at + rows);
    place.copyFrom(logits, runner.stream);
  }

  #withSource(draft: Draft, chosen: readonly number[], drawnFrom: readonly number[], rows: number): Draft {
    if (draft.tokens.length === 0) return draft;
    const { stream } = this.#model.parts().runner;
    const { temperature, topK, topP, minP } = (this.#target as DraftTarget).sampling;
    this.#rows?.dispose();
    const indices = Int32Array.from(chosen, (candidate) => drawnFrom[candidate] as number);
    this.#rows = Tensor.empty(stream.device, [indices.length], 'i32');
    this.#rows.write(indices, stream);
    this.#parameters ??= packSampling(stream, 1, { temperature, topK, topP, minP });
    const logits = (this.#kept as Tensor<'f32'>).slice(0, 0, rows);
    return {
      ...draft,
      source: { kind: 'sampled', logits, rows: this.#rows, parameters: this.#parameters, distinct: true },
    };
  }

  #release(): void {
    this.#kv?.dispose();
    this.#kept?.dispose();
    this.#parameters?.dispose();
    this.#rows?.dispose();
    this.#kv = undefined;
    this.#kept = undefined;
    this.#parameters = undefined;
    this.#rows = undefined;
    this.#cached = [];
  }
}

/** Rows that see the first `base` keys, and some of those after it. */
function maskOf(base: number, keys: number, visible: readonly (readonly number[])[]): CustomMask {
  const bits = new Uint8Array(Math.ceil((visible.length * keys) / 8));
  const set = (bit: number): void => {
    bits[bit >> 3] = (bits[bit >> 3] as number) | (1 << (bit & 7));
  };
  for (const [row, list] of visible.entries()) {
    for (let key = 0; key < base; key++) set(row * keys + key);
    for (const key of list) set(row * keys + key);
  }
  return { kind: 'custom', bits };
}
