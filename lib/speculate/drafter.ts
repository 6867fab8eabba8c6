// SPDX-License-Identifier: Apache-2.0
import type { PendingChain } from '../kv/late.js';
import type { KvSequence } from '../kv/sequence.js';
import type { LlamaRunner } from '../model/llama.js';
import type { DraftSource } from '../ops/verify.js';
import type { Event } from '../tensor/stream.js';
import type { Tensor } from '../tensor/tensor.js';

/** Tokens that a drafter expects to come next: a chain, or a tree of alternatives. */
export interface Draft {
  /** The nodes; empty when the drafter has no idea. */
  tokens: readonly number[];
  /** Of each node its parent, an earlier node, or -1 for the last token of the context. Default: a chain. */
  parents?: readonly number[];
  /** What {@link verify} must know of their origin. Default: deterministic. */
  source?: DraftSource;
}

/**
 * A draft of a size that was decided beforehand, whose tokens only the device knows yet: commands enqueued already put them
 * there.
 */
export interface EnqueuedDraft {
  /** [nodes], contiguous, for commands of the target's stream until the drafter is asked again; the caller disposes it. */
  readonly enqueued: Tensor<'i32'>;
  readonly parents?: readonly number[];
  readonly source?: DraftSource;
  /** Says that nobody will verify it. */
  readonly withdraw?: () => void;
}

/** A chain that is being verified, for who drafts what follows it before the host knows what comes of it. */
export interface VerifiedChain extends PendingChain {
  /** [1 + drafted]: the last token of the context, and those that were drafted. */
  readonly tokens: Tensor<'i32'>;
  /** Were these drawn by chance? */
  readonly isSampled: boolean;
  /** [1]: the token after those that are accepted. */
  readonly last: Tensor<'i32'>;
  /** The context that it follows. */
  readonly context: ArrayLike<number>;
  /** What put these there is on the target's stream, before this. */
  readonly verified: Event;
}

/** Takes the target's features: what its output layer reads, of which draft heads make their guesses. @internal */
export interface FeatureSink {
  /**
   * Called as a step of the target is enqueued.
   * @param features [rows, dim], valid until the next step is enqueued
   * @param position of the first row in the sequence; the others follow it, or are nodes of a draft
   */
  take(features: Tensor<'f32'>, position: number): void;
}

/** How a draft fared, or a step without one. */
export interface DraftOutcome {
  draft: Draft;
  /** The accepted nodes, from the root down. */
  path: readonly number[];
  /** What was emitted: the accepted tokens, and one more. */
  tokens: readonly number[];
  /**
   * [nodes + 1, topTokens]: the target's most probable tokens after the context and after each node, accepted or not, most
   * probable first. For drafters with `topTokens`.
   */
  top?: Int32Array;
}

/** The generation that a drafter serves. */
export interface DraftTarget {
  /** Tokens of the target's vocabulary. */
  readonly vocabulary: number;
  /** How tokens are drawn. Temperature 0 is greedy. */
  readonly sampling: {
    readonly temperature: number;
    readonly topK: number;
    readonly topP: number;
    readonly minP: number;
  };
  readonly seed: bigint;
  /** The target model itself and its cache, for drafters that run a part of it. @internal */
  readonly runner: LlamaRunner;
  /** @internal */
  readonly kv: KvSequence;
}

/**
 * Guesses a sequence's next tokens, to be verified by the target model in one pass. One drafter serves one generation at a
 * time. Any guess is safe: verification keeps the output's distribution; a bad guess only costs time. (A drafter that draws
 * by chance and says so in `source` must not drop a token because of what it drew; it may stop before drawing.)
 *
 * Drafters compose: see {@link firstOf} and {@link merged}.
 */
export interface Drafter extends Disposable {
  /** So many of the target's most probable tokens are to be reported after every row. Default 0. */
  readonly topTokens?: number;
  /** For drafters that want the target's features. @internal */
  readonly features?: FeatureSink | undefined;
  /**
   * Proposes up to `maxTokens` nodes to follow `context`. Of a tree for a model that was not loaded for more than 64, the nodes from
   * the 64th on are left out; one that is drawn by chance must have none of these.
   * @param context every token committed so far, prompt included; extends the context of the call before, or `reset` was
   *   called in between
   * @param worth a node is worth its cost when the chance that it will be accepted is above this. Default 0
   */
  draft(context: ArrayLike<number>, maxTokens: number, worth?: number): Draft | Promise<Draft>;
  /**
   * Like `draft`, but the host does not wait for the device between one token and the next: how sure the drafter is cannot count.
   * @param depth of a chain, at most
   * @returns undefined when it cannot; `draft` will do
   * @internal
   */
  enqueue?(
    context: ArrayLike<number>,
    maxTokens: number,
    worth: number,
    depth: number,
  ): EnqueuedDraft | Draft | undefined | Promise<EnqueuedDraft | Draft | undefined>;
  /**
   * Like `enqueue`, for the context that a chain leads to which is being verified. Its outcome is told afterwards.
   * @returns undefined when it cannot, or had better wait
   * @internal
   */
  follow?(
    chain: VerifiedChain,
    maxTokens: number,
    worth: number,
    depth: number,
  ): Promise<EnqueuedDraft | undefined> | undefined;
  /** Tells how the last draft, or a step without one, went. */
  observe(outcome: DraftOutcome): void;
  /** Forgets the sequence. With `target`, a generation begins; without, one has ended. @throws PagewarpError when the drafter cannot serve it */
  reset(target?: DraftTarget): void;
  /** Frees what the drafter holds. */
  dispose(): void;
}

/** Nodes that a draft may have where a model was not loaded for more. */
export const usualDraft = 64;

/** Nodes that a draft may have at most: what a model may be loaded for (`maxDraft` of `load`). */
export const largestDraft = 256;

/** Nodes of a tree whose mask is a word per row, the last token's bit included: so that they are computed as decoding would. */
const mostByWord = 63;

/** Nodes that a tree may have at most: where a model was not loaded for larger ones, they are not to need other masks. */
export function mostOfTree({ maxOutputs }: LlamaRunner): number {
  return maxOutputs - 1 > usualDraft ? maxOutputs - 1 : mostByWord;
}

/** A draft of nothing. */
export const noDraft: Draft = { tokens: [] };

/** Nodes of a draft. */
export function sizeOf(draft: Draft | EnqueuedDraft): number {
  return 'enqueued' in draft ? (draft.enqueued.shape[0] as number) : draft.tokens.length;
}

/** The parent of each node of a draft. */
export function parentsOf(draft: Draft | EnqueuedDraft): readonly number[] {
  return draft.parents ?? Array.from({ length: sizeOf(draft) }, (_, i) => i - 1);
}

/** The first `count` nodes: still a tree, since parents come first. */
export function truncated(draft: Draft, count: number): Draft {
  if (draft.tokens.length <= count) return draft;
  const tokens = draft.tokens.slice(0, count);
  return { ...draft, tokens, ...(draft.parents ? { parents: draft.parents.slice(0, count) } : {}) };
}
