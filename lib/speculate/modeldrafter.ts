// SPDX-License-Identifier: Apache-2.0
import { disposed, invalidArgument } from '../errors.js';
import { lateNumber } from '../kv/late.js';
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
  mostOfTree,
  noDraft,
  type VerifiedChain,
} from './drafter.js';
import type { DraftModelOptions } from './draftmodel.js';
import { type DraftRunner, DraftSequence, type HeadRows } from './draftsequence.js';
import { childrenOf, type Expansion, rootExpansion, shapeLevels } from './levels.js';
import { SampledSource } from './sampledsource.js';
import { TreeGrowth, type TreeShape } from './tree.js';

/** A generation that is drafted for. */
interface Served {
  target: DraftTarget;
  sequence: DraftSequence;
}

/**
 * Drafts level by level with a runner that has a cache of its own. Those that draft with the same runner at the same time do that in
 * the same steps.
 */
export class ModelDrafter implements Drafter {
  readonly #model: DraftRunner;
  readonly #options: Required<DraftModelOptions>;
  #served: Served | undefined;
  /** Of sampled drafts. */
  #source: SampledSource | undefined;
  /** The last enqueued draft, and the point where it is complete. */
  #enqueued: Tensor<'i32'> | undefined;
  #drafted: Event | undefined;

  constructor(model: DraftRunner, options: Required<DraftModelOptions>) {
    this.#model = model;
    this.#options = options;
  }

  reset(target?: DraftTarget): void {
    this.#release();
    if (!target) return;
    const { runner } = this.#model.parts();
    if (runner.config.vocabulary !== target.vocabulary) {
      throw invalidArgument(
        'the draft model',
        `of a vocabulary of ${runner.config.vocabulary} tokens`,
        `of the target's, ${target.vocabulary}`,
      );
    }
    const isSampled = this.#isSampled(target);
    if (isSampled && runner.stream.device !== target.runner.stream.device) {
      throw invalidArgument('the draft model', 'on another device', "on the target's device, for sampled drafts");
    }
    this.#served = { target, sequence: new DraftSequence(this.#model, this.head) };
    if (isSampled) this.#source = new SampledSource(runner.stream, target, this.mostRows);
  }

  /** Rows computed for one draft, at most: its nodes, and their root. */
  protected get mostRows(): number {
    return this.#options.maxDraft + 1;
  }

  /** What the runner's rows need beside their tokens. */
  protected get head(): HeadRows | undefined {
    return undefined;
  }

  draft(context: ArrayLike<number>, maxTokens: number, worth = 0): Promise<Draft> {
    return this.#together((served) => this.#grow(served, context, maxTokens, worth));
  }

  enqueue(
    context: ArrayLike<number>,
    maxTokens: number,
    _worth: number,
    depth: number,
  ): Promise<EnqueuedDraft | Draft | undefined> | undefined {
    const { tree, confidence, maxDraft } = this.#options;
    const target = this.#served?.target;
    if (!target) throw disposed('draft model drafter');
    const { stream, config } = this.#model.parts().runner;
    if (tree === 'dynamic' || confidence > 0 || stream.device !== target.runner.stream.device) return undefined;
    const isShape = typeof tree !== 'string';
    // Where sampling has few tokens to draw from, or the shape has more branches than tokens, places stay empty.
    const most = Math.min(maxTokens, maxDraft, mostOfTree(target.runner));
    if (isShape && (this.#source || tree.length > Math.min(most, config.vocabulary))) return undefined;
    const count = isShape ? tree.length : Math.min(most, this.#options.depth, depth);
    return count < 1 ? undefined : this.#together((served) => this.#enqueue(served, context, count));
  }

  follow(
    chain: VerifiedChain,
    maxTokens: number,
    _worth: number,
    depth: number,
  ): Promise<EnqueuedDraft | undefined> | undefined {
    const { tree, confidence, maxDraft } = this.#options;
    const target = this.#served?.target;
    if (!target) throw disposed('draft model drafter');
    const isChain = tree === 'chain' && confidence === 0 && !this.head;
    if (!isChain || this.#model.parts().runner.stream.device !== target.runner.stream.device) return undefined;
    const count = Math.min(maxTokens, maxDraft, this.#options.depth, depth);
    return count < 1 ? undefined : this.#together((served) => this.#follow(served, chain, count));
  }

  observe({ draft, tokens }: DraftOutcome): void {
    this.#served?.sequence.learn(draft.tokens, tokens);
  }

  dispose(): void {
    this.#release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #isSampled({ sampling }: DraftTarget): boolean {
    return this.#options.sampled && sampling.temperature > 0;
  }

  /** Drafts at the same time as others that draft with this model. */
  async #together<T>(make: (served: Served) => Promise<T>): Promise<T> {
    const served = this.#served;
    if (!served) throw disposed('draft model drafter');
    return served.sequence.together(() => make(served));
  }

  async #grow(
    { target, sequence }: Served,
    context: ArrayLike<number>,
    maxTokens: number,
    worth: number,
  ): Promise<Draft> {
    const { tree, confidence } = this.#options;
    const nodes = Math.min(maxTokens, this.#options.maxDraft, mostOfTree(target.runner));
    const deepest = typeof tree === 'string' ? Math.min(nodes, this.#options.depth) : nodes;
    const common = sequence.begin(context, nodes, deepest);
    if (common === undefined) return noDraft;

    const growth = new TreeGrowth();
    const drawnFrom: number[] = []; // of each candidate, the row of the kept logits
    let level: Expansion[] = [rootExpansion];
    let rows = 0; // of the kept logits
    let linear = true; // the rows in the cache after the context are a chain
    const draw = (logits: Tensor<'f32'>): Promise<Expansion[]> =>
      this.#draw(target, logits, level, rows, context.length - 1, growth, drawnFrom);
    let offered = await sequence.feed(context, common, draw);
    while (offered) {
      rows += level.length;
      level = this.#choose(offered, growth, worth, deepest, nodes - (rows - 1));
      if (level.length === 0) break;
      linear &&= level.length === 1 && (level[0] as Expansion).path.length === rows;
      offered = await sequence.expand(level, rows - 1, context.length, linear, draw);
    }
    if (sequence.isDisposed) return noDraft;
    const { draft, chosen } = growth.best(nodes, typeof tree === 'string' ? Math.max(worth, confidence) : 0);
    const from = chosen.map((candidate) => drawnFrom[candidate] as number);
    return this.#source?.ofTree(draft, from, rows) ?? draft;
  }

  async #enqueue(
    { target, sequence }: Served,
    context: ArrayLike<number>,
    count: number,
  ): Promise<EnqueuedDraft | Draft | undefined> {
    const { tree } = this.#options;
    const common = sequence.begin(context, count, count);
    if (common === undefined) return undefined;
    using place = this.#placeFor(count);
    const isShape = typeof tree !== 'string';
    const made = isShape
      ? await this.#enqueueShape(sequence, tree, context, common, place)
      : await this.#enqueueChain(sequence, target, context, common, place);
    if (sequence.isDisposed) return noDraft;
    if (made === 0) return undefined;
    this.#letTargetWait(target);
    return isShape ? { enqueued: place.slice(0, 0, made), parents: tree } : this.#chainOf(place, made);
  }

  #enqueueChain(
    sequence: DraftSequence,
    target: DraftTarget,
    context: ArrayLike<number>,
    common: number,
    out: Tensor<'i32'>,
  ): Promise<number> {
    const offset = (node: number): number => context.length - 1 + node;
    return this.#continueChain(sequence, target, out, offset, (draw) => sequence.feed(context, common, draw));
  }

  /**
   * @param offset of the random numbers for a node
   * @param begin computes the context, and draws the first node
   * @returns nodes that were drafted: fewer than there is place for where the cache has no room for them
   */
  async #continueChain(
    sequence: DraftSequence,
    target: DraftTarget,
    out: Tensor<'i32'>,
    offset: (node: number) => number | Tensor<'i32'> | undefined,
    begin: (draw: (logits: Tensor<'f32'>) => true) => Promise<true | undefined>,
  ): Promise<number> {
    const count = out.shape[0] as number;
    let node = 0;
    const draw = (logits: Tensor<'f32'>): true => {
      using token = out.slice(0, node, node + 1);
      const at = offset(node);
      this.#drawNext(target, logits, node, at, token);
      if (at instanceof Tensor) at.dispose();
      return true;
    };
    let isDrawn = await begin(draw);
    while (isDrawn) {
      node++;
      if (node === count) break;
      using token = out.slice(0, node - 1, node);
      isDrawn = await sequence.continue(token, node - 1, draw);
    }
    return node;
  }

  /** Where the tokens of the last enqueued draft go. */
  #placeFor(count: number): Tensor<'i32'> {
    this.#enqueued ??= Tensor.empty(this.#model.parts().runner.stream.device, [this.#options.maxDraft], 'i32');
    return this.#enqueued.slice(0, 0, count);
  }

  #chainOf(place: Tensor<'i32'>, made: number): EnqueuedDraft {
    const enqueued = place.slice(0, 0, made);
    return { enqueued, ...(this.#source ? { source: this.#source.ofChain(made) } : {}) };
  }

  /** What the target's stream does from now on comes after what has been drafted. */
  #letTargetWait(target: DraftTarget): void {
    const { stream } = this.#model.parts().runner;
    if (stream === target.runner.stream) return;
    this.#drafted = stream.record(this.#drafted);
    target.runner.stream.wait(this.#drafted);
  }

  async #follow({ target, sequence }: Served, chain: VerifiedChain, count: number): Promise<EnqueuedDraft | undefined> {
    const { stream } = this.#model.parts().runner;
    const base = chain.context.length;
    if (stream !== target.runner.stream) stream.wait(chain.verified);
    using ids = Tensor.empty(stream.device, [2], 'i32');
    using before = ids.asStrided([1, 1], [1, 1]);
    using last = ids.slice(0, 1, 2);
    using column = chain.tokens.reshape(chain.drafted + 1, 1);
    gatherRows(stream, { x: column, indices: chain.accepted, out: before });
    last.copyFrom(chain.last, stream);
    using place = this.#placeFor(count);
    const offset = (node: number): Tensor<'i32'> | undefined => this.#source && lateNumber(stream, base + node, chain);
    const made = await this.#continueChain(sequence, target, place, offset, (draw) =>
      sequence.follow(chain, base, ids, count, draw),
    );
    if (sequence.isDisposed || made === 0) return undefined;
    this.#letTargetWait(target);
    return { ...this.#chainOf(place, made), withdraw: () => sequence.withdraw() };
  }

  /**
   * The most probable tokens of every level go side by side, and nodes are picked from there.
   * @returns nodes that were drafted: those of the tree, or none where the cache has no room for them
   */
  async #enqueueShape(
    sequence: DraftSequence,
    tree: TreeShape,
    context: ArrayLike<number>,
    common: number,
    out: Tensor<'i32'>,
  ): Promise<number> {
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
    for (const { nodes, count, first } of levels) {
      const draw = (logits: Tensor<'f32'>): true => {
        const drawn = drawCandidates(stream, { logits, count, kind: 'top' });
        using here = found.slice(0, first, first + nodes.length * count);
        using ids = drawn.ids.reshape(nodes.length * count, 1);
        here.copyFrom(ids, stream);
        drawn.ids.dispose();
        drawn.logprobs.dispose();
        return true;
      };
      let isDrawn: true | undefined;
      if (first === 0) {
        isDrawn = await sequence.feed(context, common, draw);
      } else {
        using ids = Tensor.empty(stream.device, [nodes.length], 'i32');
        pick(
          nodes.map(({ place }) => picks[place] as number),
          ids,
        );
        isDrawn = await sequence.expand(nodes, rows - 1, context.length, false, draw, ids);
      }
      if (!isDrawn) return 0;
      rows += nodes.length;
    }
    pick(picks, out);
    return tree.length;
  }

  /** Draws a node of a chain on the device. */
  #drawNext(
    { seed }: DraftTarget,
    logits: Tensor<'f32'>,
    node: number,
    offset: number | Tensor<'i32'> | undefined,
    out: Tensor<'i32'>,
  ): void {
    const { stream } = this.#model.parts().runner;
    if (!this.#source) {
      argmax(stream, { logits, out });
      return;
    }
    this.#source.keep(logits, node);
    sample(stream, { logits, parameters: this.#source.parameters, seed, offset: offset ?? 0, out });
  }

  /** Draws the children of a level's nodes and offers them; returns what was offered, as the next level could expand it. */
  async #draw(
    target: DraftTarget,
    logits: Tensor<'f32'>,
    level: readonly Expansion[],
    rows: number,
    position: number,
    growth: TreeGrowth,
    drawnFrom: number[],
  ): Promise<Expansion[]> {
    const { runner } = this.#model.parts();
    const { stream } = runner;
    const { temperature, topK, topP, minP } = target.sampling;
    const sampled = this.#isSampled(target);
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

  #release(): void {
    this.#served?.sequence.dispose();
    this.#source?.dispose();
    this.#enqueued?.dispose();
    this.#drafted?.dispose();
    this.#served = undefined;
    this.#source = undefined;
    this.#enqueued = undefined;
    this.#drafted = undefined;
  }
}
