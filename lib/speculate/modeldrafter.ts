// SPDX-License-Identifier: Apache-2.0
import { disposed, invalidArgument } from '../errors.js';
import type { KvSequence } from '../kv/sequence.js';
import type { LlamaRunner } from '../model/llama.js';
import type { StepOptions } from '../model/step.js';
import { drawCandidates } from '../ops/candidates.js';
import { gatherRows } from '../ops/embedding.js';
import { argmax, sample } from '../ops/sample.js';
import type { Event } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import {
  type Draft,
  type Drafter,
  type DraftOutcome,
  type DraftTarget,
  type EnqueuedDraft,
  noDraft,
} from './drafter.js';
import type { DraftModelOptions } from './draftmodel.js';
import { childrenOf, type Expansion, maskOf, rootExpansion, shapeLevels } from './levels.js';
import { SampledSource } from './sampledsource.js';
import { TreeGrowth, type TreeShape } from './tree.js';

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
  /** Of sampled drafts. */
  #source: SampledSource | undefined;
  /** The last enqueued draft; its tokens in the cache, not known to the host yet; and the point where it is complete. */
  #enqueued: Tensor<'i32'> | undefined;
  #unknown = 0;
  #drafted: Event | undefined;

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
    if (this.#isSampled) this.#source = new SampledSource(runner.stream, target);
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
    const { tree, confidence } = this.#options;
    const nodes = Math.min(maxTokens, this.#options.maxDraft);
    const deepest = typeof tree === 'string' ? Math.min(nodes, this.#options.depth) : nodes;
    const common = this.#forgetOthers(context);
    if (!this.#hasRoom(context.length, common, nodes, deepest)) return noDraft;

    const growth = new TreeGrowth();
    const drawnFrom: number[] = []; // of each candidate, the row of the kept logits
    let logits = this.#feed(context, common);
    let level: Expansion[] = [rootExpansion];
    let rows = 0; // of the kept logits
    let linear = true; // the rows in the cache after the context are a chain
    for (;;) {
      const offered = await this.#draw(logits, level, rows, context.length - 1, growth, drawnFrom);
      if (this.#target !== target) return noDraft; // that generation has ended meanwhile
      rows += level.length;
      const next = this.#choose(offered, growth, worth, deepest, nodes - (rows - 1));
      // Other sequences of the draft model may have taken pages meanwhile.
      if (next.length === 0 || next.length > this.#model.parts().runner.cache.freeTokens) break;
      linear &&= next.length === 1 && (next[0] as Expansion).path.length === rows;
      logits = this.#expand(next, rows - 1, context.length, linear);
      if (linear) this.#cached.push((next[0] as Expansion).token);
      level = next;
    }
    const { draft, chosen } = growth.best(nodes, typeof tree === 'string' ? Math.max(worth, confidence) : 0);
    const from = chosen.map((candidate) => drawnFrom[candidate] as number);
    return this.#source?.ofTree(draft, from, rows) ?? draft;
  }

  enqueue(context: ArrayLike<number>, maxTokens: number, _worth: number, depth: number): EnqueuedDraft | undefined {
    const target = this.#target;
    if (!target || !this.#kv) throw disposed('draft model drafter');
    const { tree, confidence, maxDraft } = this.#options;
    const { stream, config } = this.#model.parts().runner;
    if (tree === 'dynamic' || confidence > 0 || stream.device !== target.runner.stream.device) return undefined;
    const isShape = typeof tree !== 'string';
    // Where sampling has few tokens to draw from, or the shape has more branches than tokens, places stay empty.
    if (isShape && (this.#isSampled || tree.length > Math.min(maxTokens, maxDraft, config.vocabulary)))
      return undefined;
    const count = isShape ? tree.length : Math.min(maxTokens, maxDraft, this.#options.depth, depth);
    const common = this.#forgetOthers(context);
    if (count < 1 || !this.#hasRoom(context.length, common, count, count)) return undefined;
    this.#enqueued ??= Tensor.empty(stream.device, [maxDraft], 'i32');
    const enqueued = this.#enqueued.slice(0, 0, count);
    if (isShape) this.#enqueueShape(tree, context, common, enqueued);
    else this.#enqueueChain(count, context, common, enqueued);
    if (stream !== target.runner.stream) {
      this.#drafted = stream.record(this.#drafted);
      target.runner.stream.wait(this.#drafted);
    }
    if (isShape) return { enqueued, parents: tree };
    return { enqueued, ...(this.#source ? { source: this.#source.ofChain(count) } : {}) };
  }

  observe({ draft }: DraftOutcome): void {
    this.#cached.push(...draft.tokens.slice(0, this.#unknown));
    this.#unknown = 0;
  }

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

  /** Is there room for so many nodes, in the model's context and in its cache? @param common tokens that are cached */
  #hasRoom(contextTokens: number, common: number, nodes: number, deepest: number): boolean {
    const { runner, contextLength } = this.#model.parts();
    const needed = contextTokens - common + nodes + runner.cache.pageSize;
    return contextTokens + deepest <= contextLength && runner.cache.freeTokens >= needed;
  }

  /** Drops what is cached beyond the common prefix with `context`; its last token is computed anew in any case. */
  #forgetOthers(context: ArrayLike<number>): number {
    this.#unknown = 0;
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

  #enqueueChain(count: number, context: ArrayLike<number>, common: number, out: Tensor<'i32'>): void {
    let logits = this.#feed(context, common);
    for (let node = 0; ; node++) {
      using token = out.slice(0, node, node + 1);
      this.#drawNext(logits, node, context.length - 1 + node, token);
      if (node + 1 === count) break;
      logits = this.#continue(token, node);
    }
    this.#unknown = count - 1;
  }

  /** The most probable tokens of every level go side by side, and nodes are picked from there. */
  #enqueueShape(tree: TreeShape, context: ArrayLike<number>, common: number, out: Tensor<'i32'>): void {
    const { stream } = this.#model.parts().runner;
    const { levels, picks, candidates } = shapeLevels(tree);
    using found = Tensor.empty(stream.device, [candidates, 1], 'i32');
    const pick = (places: readonly number[], tokens: Tensor<'i32'>): void => {
      using indices = Tensor.empty(stream.device, [places.length], 'i32');
      indices.write(places, stream);
      using column = tokens.reshape(places.length, 1);
      gatherRows(stream, { x: found, indices, out: column });
    };
    let rows = 0;
    let logits = this.#feed(context, common);
    for (const { nodes, count, first } of levels) {
      if (first > 0) {
        using ids = Tensor.empty(stream.device, [nodes.length], 'i32');
        pick(
          nodes.map(({ place }) => picks[place] as number),
          ids,
        );
        logits = this.#expand(nodes, rows - 1, context.length, false, ids);
      }
      rows += nodes.length;
      const drawn = drawCandidates(stream, { logits, count, kind: 'top' });
      using here = found.slice(0, first, first + nodes.length * count);
      using ids = drawn.ids.reshape(nodes.length * count, 1);
      here.copyFrom(ids, stream);
      drawn.ids.dispose();
      drawn.logprobs.dispose();
    }
    pick(picks, out);
  }

  /** Draws a node of a chain on the device. */
  #drawNext(logits: Tensor<'f32'>, node: number, offset: number, out: Tensor<'i32'>): void {
    const { stream } = this.#model.parts().runner;
    if (!this.#source) {
      argmax(stream, { logits, out });
      return;
    }
    this.#source.keep(logits, node);
    const { seed } = this.#target as DraftTarget;
    sample(stream, { logits, parameters: this.#source.parameters, seed, offset, out });
  }

  /** Computes a node of a chain, whose token the device has. */
  #continue(token: Tensor<'i32'>, node: number): Tensor<'f32'> {
    const { runner } = this.#model.parts();
    const kv = this.#kv as KvSequence;
    kv.reserve(1, runner.stream);
    const step = this.nodeStep([node]);
    const logits = runner.forward(runner.cache.batch([{ sequence: kv, queryLength: 1 }]), token, 1, step);
    step.inputs?.dispose();
    this.computed(1, node + 1, node + 2);
    return logits;
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
    const places = level.map(({ place }) => (typeof tree === 'string' ? [] : childrenOf(tree, place)));
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
    this.#source?.keep(logits, rows);
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
      const inner = offered.filter(({ place }) => childrenOf(tree, place).length > 0);
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

  /**
   * Computes the chosen nodes.
   * @param before rows of this draft that are in the cache already
   * @param ids the nodes' tokens, where only the device knows them
   */
  #expand(
    next: readonly Expansion[],
    before: number,
    base: number,
    linear: boolean,
    ids: Int32Array | Tensor<'i32'> = Int32Array.from(next, ({ token }) => token),
  ): Tensor<'f32'> {
    const { runner } = this.#model.parts();
    const kv = this.#kv as KvSequence;
    kv.reserve(next.length, runner.stream);
    const batch = runner.cache.batch([{ sequence: kv, queryLength: next.length }]);
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

  #release(): void {
    this.#kv?.dispose();
    this.#source?.dispose();
    this.#enqueued?.dispose();
    this.#drafted?.dispose();
    this.#kv = undefined;
    this.#source = undefined;
    this.#enqueued = undefined;
    this.#drafted = undefined;
    this.#unknown = 0;
    this.#cached = [];
  }
}
