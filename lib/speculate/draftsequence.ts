// SPDX-License-Identifier: Apache-2.0
import type { PendingChain } from '../kv/late.js';
import type { KvSequence } from '../kv/sequence.js';
import type { LlamaRunner } from '../model/llama.js';
import type { StepOptions } from '../model/step.js';
import type { Stream } from '../tensor/stream.js';
import type { Tensor } from '../tensor/tensor.js';
import type { JointMember } from './jointsteps.js';
import type { Expansion } from './levels.js';
import { type DraftRows, ModelSteps } from './modelsteps.js';

/** What drafts: a model, or the part of one that an EAGLE head is. */
export interface DraftRunner {
  parts(): { runner: LlamaRunner; contextLength: number };
}

/** What a head wants of its rows besides their tokens. */
export interface HeadRows {
  /** For the tokens `begin` to `end` of the context. */
  contextStep(begin: number, end: number): Pick<StepOptions, 'features' | 'inputs'>;
  /** For nodes. @param rows those that they were drawn from, of the rows computed for this draft */
  nodeStep(rows: readonly number[]): Pick<StepOptions, 'features' | 'inputs'>;
  /** A step has been enqueued whose last rows are rows `begin` and following computed for this draft. */
  computed(features: Tensor<'f32'>, begin: number): void;
}

/** Enqueues what reads the logits of some rows, before they are gone. */
type Use<T> = (logits: Tensor<'f32'>) => T;

/** The sequence of one generation in the model that drafts for it: its context, and behind that the nodes of the draft. */
export class DraftSequence implements Disposable {
  readonly #model: DraftRunner;
  readonly #stream: Stream;
  readonly #kv: KvSequence;
  readonly #member: JointMember<DraftRows>;
  readonly #head: HeadRows | undefined;
  /** Tokens whose keys and values are the first ones; and of those after these, drafted, how many the host does not know yet. */
  readonly #cached: number[] = [];
  #unknown = 0;
  /** A chain behind a context that is not known yet, being that of another chain which is being verified. */
  #following: { readonly pending: PendingChain; readonly begin: number; nodes: number } | undefined;

  /** @throws PagewarpError ERR_DISPOSED */
  constructor(model: DraftRunner, head: HeadRows | undefined) {
    const { runner } = model.parts();
    this.#model = model;
    this.#stream = runner.stream;
    this.#kv = runner.cache.sequence();
    this.#member = ModelSteps.of(runner).join();
    this.#head = head;
  }

  /** Has its generation ended? */
  get isDisposed(): boolean {
    return this.#kv.isDisposed;
  }

  /** Makes a draft, at the same time as others that draft with this model. */
  together<T>(make: () => Promise<T>): Promise<T> {
    return this.#member.draft(make);
  }

  /**
   * Drops what is cached beyond the common prefix with `context`, whose last token is computed anew in any case.
   * @returns tokens that are cached; undefined where the model's context or its cache has no room for so many nodes
   */
  begin(context: ArrayLike<number>, nodes: number, deepest: number): number | undefined {
    const { runner, contextLength } = this.#model.parts();
    this.#unknown = 0;
    this.#following = undefined;
    let common = 0;
    const most = Math.min(this.#cached.length, context.length - 1);
    while (common < most && this.#cached[common] === context[common]) common++;
    this.#cached.length = common;
    this.#kv.truncate(common);
    const needed = context.length - common + nodes + runner.cache.pageSize;
    const hasRoom = context.length + deepest <= contextLength && runner.cache.freeTokens >= needed;
    return hasRoom ? common : undefined;
  }

  /**
   * Drafted tokens are known now, and what came of them.
   * @param emitted the accepted ones, and one more
   */
  learn(tokens: readonly number[], emitted: readonly number[]): void {
    const following = this.#following;
    if (!following) {
      this.#cached.push(...tokens.slice(0, this.#unknown));
      this.#unknown = 0;
      return;
    }
    const rejected = following.pending.drafted - (emitted.length - 1);
    this.#kv.truncate(this.#kv.length - rejected);
    this.#cached.push(...emitted);
    this.#unknown = following.nodes;
    this.#following = undefined;
  }

  /** Nobody will tell what the chain came to that {@link follow} began. */
  withdraw(): void {
    if (this.#following) this.#following.nodes = 0;
  }

  /**
   * Computes the last two tokens of the context that a chain of this sequence will have led to: the one before the last is new, too,
   * if all of the chain is accepted.
   * @param base tokens of the context that the chain follows
   * @param ids [2]
   * @param nodes that are to follow
   * @returns as {@link feed}
   */
  async follow<T>(
    pending: PendingChain,
    base: number,
    ids: Tensor<'i32'>,
    nodes: number,
    use: Use<T>,
  ): Promise<Awaited<T> | undefined> {
    const { runner, contextLength } = this.#model.parts();
    const begin = base + pending.drafted + 1;
    // Its last node has not been computed.
    if (this.#cached.length !== base || this.#kv.length !== begin - 2) return undefined;
    const hasRoom = begin + nodes <= contextLength && runner.cache.freeTokens >= 2 + nodes + runner.cache.pageSize;
    if (!hasRoom) return undefined;
    return this.#step({ ids, count: 2, outputs: 1, late: { pending, end: begin } }, 0, (logits) => {
      this.#following = { pending, begin, nodes: 0 };
      return use(logits);
    });
  }

  /**
   * Computes the context from `begin` on.
   * @param use of the logits after its last token
   * @returns what that returns; undefined where other sequences have taken the room, or the generation has ended
   */
  feed<T>(context: ArrayLike<number>, begin: number, use: Use<T>): Promise<Awaited<T> | undefined> {
    const { runner } = this.#model.parts();
    const most = Math.min(runner.chunk, runner.maxRows);
    const tokensOf = (from: number, to: number): Int32Array =>
      Int32Array.from({ length: to - from }, (_, i) => context[from + i] as number);
    let at = begin;
    for (; context.length - at > most; at += most) {
      const ids = tokensOf(at, at + most);
      this.#kv.reserve(most, runner.stream);
      const step = this.#head?.contextStep(at, at + most);
      runner.forward(runner.cache.batch([{ sequence: this.#kv, queryLength: most }]), ids, 0, step);
      step?.inputs?.dispose();
      this.#cached.push(...ids);
    }
    const ids = tokensOf(at, context.length);
    const head = this.#head?.contextStep(at, context.length);
    return this.#step({ ids, count: ids.length, outputs: 1, head }, 0, (logits) => {
      this.#cached.push(...ids);
      return use(logits);
    });
  }

  /** Computes a node of a chain, whose token only the device has. */
  continue<T>(token: Tensor<'i32'>, node: number, use: Use<T>): Promise<Awaited<T> | undefined> {
    const following = this.#following;
    const head = this.#head?.nodeStep([node]);
    const late = following && { pending: following.pending, end: following.begin + node + 1 };
    return this.#step({ ids: token, count: 1, outputs: 1, head, late }, node + 1, (logits) => {
      if (following) following.nodes++;
      else this.#unknown++;
      return use(logits);
    });
  }

  /**
   * Computes the chosen nodes.
   * @param before rows of this draft that are in the cache already
   * @param base tokens of the context
   * @param linear all of these rows are a chain
   * @param ids the nodes' tokens, where only the device knows them
   */
  expand<T>(
    nodes: readonly Expansion[],
    before: number,
    base: number,
    linear: boolean,
    use: Use<T>,
    ids: Int32Array | Tensor<'i32'> = Int32Array.from(nodes, ({ token }) => token),
  ): Promise<Awaited<T> | undefined> {
    // Row 0 of a draft is the root, which is the last token of the context: row i > 0 is token base + i - 1.
    const tree = {
      positions: Int32Array.from(nodes, ({ depth }) => base + depth - 1),
      visible: nodes.map(({ path }, row) => ({
        prefix: base,
        others: [...path.slice(1).map((at) => base + at - 1), base + before + row],
      })),
    };
    const head = this.#head?.nodeStep(nodes.map(({ path }) => path.at(-1) as number));
    const rows = { ids, count: nodes.length, outputs: nodes.length, head, ...(linear ? {} : tree) };
    return this.#step(rows, before + 1, (logits) => {
      if (linear) this.#cached.push((nodes[0] as Expansion).token);
      return use(logits);
    });
  }

  dispose(): void {
    // Where the verification that was followed has failed there was no token to go on from; that is its own error, and nobody else's.
    if (this.#following) this.#stream.synchronize().catch(() => {});
    this.#member.dispose();
    this.#kv.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #step<T>(rows: Omit<DraftRows<T>, 'kv' | 'use'>, begin: number, use: Use<T>): Promise<Awaited<T> | undefined> {
    return this.#member.step({
      ...rows,
      kv: this.#kv,
      use: (logits, features) => {
        if (features) this.#head?.computed(features, begin);
        return use(logits);
      },
    });
  }
}
