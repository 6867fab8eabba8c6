// SPDX-License-Identifier: Apache-2.0
import { disposed, invalidArgument } from '../../errors.js';
import type { LlamaRunner } from '../../model/llama.js';
import { embedding, gatherRows } from '../../ops/embedding.js';
import { Tensor } from '../../tensor/tensor.js';
import { type Candidates, readCandidates } from '../candidates.js';
import { type Draft, type Drafter, type DraftOutcome, type DraftTarget, noDraft } from '../drafter.js';
import type { JointMember } from '../jointsteps.js';
import { TreeGrowth } from '../tree.js';
import { FeatureStore } from './features.js';
import { type HeadRows, HeadSteps } from './headsteps.js';
import type { ResidualHeads } from './residualhead.js';

export interface HeadDraftOptions {
  /** Most nodes of a draft. */
  maxDraft: number;
  /** Most children of a node, and with grounded heads nodes expanded per level. */
  width: number;
  /** Deepest node. */
  depth: number;
  /** A node is drafted when its chance is above this, at least. */
  confidence: number;
}

/** A node that may be expanded. */
interface Node {
  /** Index among the candidates; -1: the last token. */
  index: number;
  token: number;
  chance: number;
  /** Row of the level that it was drawn from. */
  row: number;
}

/** A generation that is drafted for. */
interface Served {
  target: DraftTarget;
  member: JointMember<HeadRows>;
  features: FeatureStore;
}

/** Heads read the features of their own model only. @throws PagewarpError ERR_INVALID_ARGUMENT */
export function requireRunner(runner: LlamaRunner, target: DraftTarget): void {
  if (runner !== target.runner) throw invalidArgument('speculate', 'draft heads of another model', "this model's own");
}

/**
 * Drafts the tree of the most probable continuations by heads on the target's features. Those that draft with the same heads at the
 * same time do that in the same steps of these.
 */
export class ResidualDrafter implements Drafter {
  readonly #heads: ResidualHeads;
  readonly #options: HeadDraftOptions;
  #served: Served | undefined;

  constructor(heads: ResidualHeads, options: HeadDraftOptions) {
    this.#heads = heads;
    this.#options = options;
  }

  get features(): FeatureStore | undefined {
    return this.#served?.features;
  }

  reset(target?: DraftTarget): void {
    this.dispose();
    if (!target) return;
    requireRunner(this.#heads.runner, target);
    const { stream, maxOutputs } = target.runner;
    const features = new FeatureStore(stream, this.#heads.dim, 1, maxOutputs);
    this.#served = { target, member: HeadSteps.of(this.#heads).join(), features };
  }

  async draft(context: ArrayLike<number>, maxTokens: number, worth = 0): Promise<Draft> {
    const served = this.#served;
    if (!served) throw disposed('draft heads');
    using features = served.features.view(context.length - 2, context.length - 1);
    if (!features) return noDraft;
    const nodes = Math.min(maxTokens, this.#options.maxDraft);
    const least = Math.max(worth, this.#options.confidence);
    const growth = new TreeGrowth();
    const root = { index: -1, token: context[context.length - 1] as number, chance: 1, row: 0 };
    await served.member.draft(() =>
      this.#heads.grounded
        ? this.#growGrounded(served, features, root, least, growth)
        : this.#growIndependent(served, features, root, least, growth, nodes),
    );
    if (this.#served !== served) return noDraft; // that generation has ended meanwhile
    return growth.best(nodes, least).draft;
  }

  observe(outcome: DraftOutcome): void {
    this.features?.observe(outcome);
  }

  dispose(): void {
    this.#served?.member.dispose();
    this.#served?.features.dispose();
    this.#served = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Medusa: what a head says does not depend on the tokens before, so all heads run at once. */
  async #growIndependent(
    served: Served,
    features: Tensor<'f32'>,
    root: Node,
    least: number,
    growth: TreeGrowth,
    most: number,
  ): Promise<void> {
    const end = Math.min(this.#heads.heads.length, this.#options.depth);
    const candidates = await this.#candidates(served, { first: 0, end, inputs: features, count: 1 });
    if (!candidates) return;
    let level = [root];
    for (let depth = 0; depth < end && level.length > 0; depth++) {
      level = best(
        this.#offer(level, () => depth, candidates, least, growth),
        most,
      );
    }
  }

  /** Hydra: each head reads the features and the tokens down to the one that it continues, side by side. */
  async #growGrounded(
    served: Served,
    features: Tensor<'f32'>,
    root: Node,
    least: number,
    growth: TreeGrowth,
  ): Promise<void> {
    const end = Math.min(this.#heads.heads.length, this.#options.depth);
    let level = [root];
    let inputs = features.slice(0, 0, 1);
    try {
      for (let head = 0; head < end && level.length > 0; head++) {
        const next = this.#extended(served.target, inputs, level);
        inputs.dispose();
        inputs = next;
        const rows = { first: head, end: head + 1, inputs, count: level.length };
        const candidates = await this.#candidates(served, rows);
        if (!candidates || this.#served !== served) break;
        level = best(
          this.#offer(level, (row) => row, candidates, least, growth),
          this.#options.width,
        );
      }
    } finally {
      inputs.dispose();
    }
  }

  /** [nodes, features + dim]: of each node the row that it was drawn from, and its own embedding. */
  #extended({ runner }: DraftTarget, inputs: Tensor<'f32'>, level: readonly Node[]): Tensor<'f32'> {
    const { stream, weights } = runner;
    const { device } = stream;
    const width = inputs.shape[1] as number;
    const vector = (values: readonly number[]): Tensor<'i32'> => {
      const tensor = Tensor.empty(device, [values.length], 'i32');
      tensor.write(values, stream);
      return tensor;
    };
    using rows = vector(level.map(({ row }) => row));
    using ids = vector(level.map(({ token }) => token));
    using above = gatherRows(stream, { x: inputs, indices: rows });
    using own = embedding(stream, { ids, weight: weights.embedding });
    const extended = Tensor.empty(device, [level.length, width + this.#heads.dim], 'f32');
    using left = extended.slice(1, 0, width);
    using right = extended.slice(1, width, width + this.#heads.dim);
    left.copyFrom(above, stream);
    right.copyFrom(own, stream);
    return extended;
  }

  /** What heads hold for probable. undefined: the generation has ended. */
  #candidates({ target, member }: Served, rows: Omit<HeadRows, 'use'>): Promise<Candidates | undefined> {
    const { runner, sampling } = target;
    const use = (logits: Tensor<'f32'>) => readCandidates(runner.stream, logits, this.#options.width, sampling);
    return member.step({ ...rows, use });
  }

  /** Offers the children of a level's nodes. @param rowOf the row of the candidates for the node of a row */
  #offer(
    level: readonly Node[],
    rowOf: (row: number) => number,
    { ids, logprobs }: Candidates,
    least: number,
    growth: TreeGrowth,
  ): Node[] {
    const { width } = this.#options;
    const offered: Node[] = [];
    for (const [row, { index: parent, chance: above }] of level.entries()) {
      for (let rank = 0; rank < width; rank++) {
        const at = rowOf(row) * width + rank;
        const token = ids[at] as number;
        if (token < 0) break;
        const chance = Math.min(above, above * Math.exp(logprobs[at] as number)); // rounding must not put it before its parent
        if (chance <= least) break;
        offered.push({ index: growth.offer({ token, parent, priority: chance, chance }), token, chance, row });
      }
    }
    return offered;
  }
}

/** The `count` most probable nodes. */
function best(nodes: Node[], count: number): Node[] {
  return nodes.sort((a, b) => b.chance - a.chance).slice(0, count);
}
