// SPDX-License-Identifier: Apache-2.0
import { disposed, invalidArgument } from '../../errors.js';
import type { LlamaRunner } from '../../model/llama.js';
import { drawCandidates } from '../../ops/candidates.js';
import { embedding, gatherRows } from '../../ops/embedding.js';
import type { Stream } from '../../tensor/stream.js';
import { Tensor } from '../../tensor/tensor.js';
import { type Draft, type Drafter, type DraftOutcome, type DraftTarget, noDraft } from '../drafter.js';
import { TreeGrowth } from '../tree.js';
import { FeatureStore } from './features.js';
import { type ResidualHead, runHead } from './residualhead.js';

/** The heads of Medusa and Hydra: head i guesses the token i + 2 places after the one that the features belong to. */
export interface ResidualHeads {
  readonly heads: readonly ResidualHead[];
  /** Do heads also see the tokens between (Hydra)? */
  readonly grounded: boolean;
  readonly dim: number;
  /** [64, dim], all 1. */
  readonly ones: Tensor<'f32'>;
  /** Of the model that they were made for. */
  readonly runner: LlamaRunner;
}

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

interface Candidates {
  ids: Int32Array;
  logprobs: Float32Array;
}

/** Heads read the features of their own model only. @throws PagewarpError ERR_INVALID_ARGUMENT */
export function requireRunner(runner: LlamaRunner, target: DraftTarget): void {
  if (runner !== target.runner) throw invalidArgument('speculate', 'draft heads of another model', "this model's own");
}

/** Drafts the tree of the most probable continuations by heads on the target's features. */
export class ResidualDrafter implements Drafter {
  readonly #heads: ResidualHeads;
  readonly #options: HeadDraftOptions;
  #target: DraftTarget | undefined;
  #features: FeatureStore | undefined;

  constructor(heads: ResidualHeads, options: HeadDraftOptions) {
    this.#heads = heads;
    this.#options = options;
  }

  get features(): FeatureStore | undefined {
    return this.#features;
  }

  reset(target?: DraftTarget): void {
    this.dispose();
    if (!target) return;
    requireRunner(this.#heads.runner, target);
    const { stream, maxOutputs } = target.runner;
    this.#target = target;
    this.#features = new FeatureStore(stream, this.#heads.dim, 1, maxOutputs);
  }

  async draft(context: ArrayLike<number>, maxTokens: number, worth = 0): Promise<Draft> {
    const target = this.#target;
    if (!target) throw disposed('draft heads');
    using features = this.#features?.view(context.length - 2, context.length - 1);
    if (!features) return noDraft;
    const nodes = Math.min(maxTokens, this.#options.maxDraft);
    const least = Math.max(worth, this.#options.confidence);
    const growth = new TreeGrowth();
    const root = { index: -1, token: context[context.length - 1] as number, chance: 1, row: 0 };
    if (this.#heads.grounded) await this.#growGrounded(target, features, root, least, growth);
    else await this.#growIndependent(target, features, root, least, growth, nodes);
    if (this.#target !== target) return noDraft; // that generation has ended meanwhile
    return growth.best(nodes, least).draft;
  }

  observe(outcome: DraftOutcome): void {
    this.#features?.observe(outcome);
  }

  dispose(): void {
    this.#features?.dispose();
    this.#features = undefined;
    this.#target = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Medusa: what a head says does not depend on the tokens before, so all heads run at once. */
  async #growIndependent(
    target: DraftTarget,
    features: Tensor<'f32'>,
    root: Node,
    least: number,
    growth: TreeGrowth,
    most: number,
  ): Promise<void> {
    const heads = this.#heads.heads.slice(0, this.#options.depth);
    const { stream, config } = target.runner;
    using logits = Tensor.empty(stream.device, [heads.length, config.vocabulary], 'f32');
    using one = this.#heads.ones.slice(0, 0, 1);
    for (const [i, head] of heads.entries()) {
      using row = logits.slice(0, i, i + 1);
      runHead(stream, head, features, one, row);
    }
    const candidates = await this.#candidates(target, logits);
    let level = [root];
    for (let depth = 0; depth < heads.length && level.length > 0; depth++) {
      level = best(
        this.#offer(level, () => depth, candidates, least, growth),
        most,
      );
    }
  }

  /** Hydra: each head reads the features and the tokens down to the one that it continues, side by side. */
  async #growGrounded(
    target: DraftTarget,
    features: Tensor<'f32'>,
    root: Node,
    least: number,
    growth: TreeGrowth,
  ): Promise<void> {
    const { stream, config } = target.runner;
    let level = [root];
    let inputs = features.to('f32', stream);
    for (const head of this.#heads.heads.slice(0, this.#options.depth)) {
      const next = this.#extended(target, inputs, level);
      inputs.dispose();
      inputs = next;
      using logits = Tensor.empty(stream.device, [level.length, config.vocabulary], 'f32');
      using one = this.#heads.ones.slice(0, 0, level.length);
      runHead(stream, head, inputs, one, logits);
      const candidates = await this.#candidates(target, logits);
      if (this.#target !== target) break;
      level = best(
        this.#offer(level, (row) => row, candidates, least, growth),
        this.#options.width,
      );
      if (level.length === 0) break;
    }
    inputs.dispose();
  }

  /** [nodes, features + dim]: of each node the row that it was drawn from, and its own embedding. */
  #extended(target: DraftTarget, inputs: Tensor<'f32'>, level: readonly Node[]): Tensor<'f32'> {
    const { stream, weights } = target.runner;
    const { device }: Stream = stream;
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

  async #candidates(target: DraftTarget, logits: Tensor<'f32'>): Promise<Candidates> {
    const { stream } = target.runner;
    const { temperature, topK, topP, minP } = target.sampling;
    const filters = temperature > 0 ? { temperature, topK, topP, minP } : {};
    const drawn = drawCandidates(stream, { logits, count: this.#options.width, kind: 'top', ...filters });
    const reads = Promise.all([drawn.ids.read(stream), drawn.logprobs.read(stream)]);
    drawn.ids.dispose();
    drawn.logprobs.dispose();
    const [ids, logprobs] = await reads;
    return { ids, logprobs };
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
