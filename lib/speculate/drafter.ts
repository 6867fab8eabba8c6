// SPDX-License-Identifier: Apache-2.0
import type { DraftSource } from '../ops/verify.js';

/** Tokens that a drafter expects to come next. */
export interface Draft {
  /** In order; empty when the drafter has no idea. */
  tokens: readonly number[];
  /** What {@link verify} must know of their origin. Default: deterministic. */
  source?: DraftSource;
}

/**
 * Guesses a sequence's next tokens, to be verified by the target model in one pass. One drafter serves one sequence. Any guess
 * is safe: verification keeps the output's distribution; a bad guess only costs time.
 *
 * Drafters compose: one may ask others in turn, or refine what another drafted.
 */
export interface Drafter extends Disposable {
  /**
   * Proposes up to `maxTokens` tokens to follow `context`.
   * @param context every token committed so far, prompt included; extends the context of the call before, or `reset` was
   *   called in between
   */
  draft(context: ArrayLike<number>, maxTokens: number): Draft | Promise<Draft>;
  /** Tells how the last draft fared: so many of its tokens were verified, so many of them accepted. */
  observe(verified: number, accepted: number): void;
  /** Forgets the sequence. */
  reset(): void;
  /** Frees what the drafter holds. */
  dispose(): void;
}
