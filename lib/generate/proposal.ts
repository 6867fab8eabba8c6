// SPDX-License-Identifier: Apache-2.0
import type { LatePlace } from '../kv/late.js';
import type { VerifyResult, VerifyRule } from '../ops/verify.js';
import { type Draft, type EnqueuedDraft, noDraft, sizeOf, truncated } from '../speculate/drafter.js';
import type { Tensor } from '../tensor/tensor.js';
import { gainsOf, type Offer } from './goodput.js';
import type { Drawn } from './sampler.js';

/** What a generation wants to have verified in its next step. */
export interface Proposal {
  draft: Draft | EnqueuedDraft;
  rule: VerifyRule;
  /** The token drawn last, which the draft follows; undefined: only the device knows it. */
  last: number | undefined;
  /** Where the draft follows a chain that is being verified. */
  late?: LatePlace;
  /**
   * Chance that a level has an accepted token, when the one above it has: the scheduler may leave nodes out. undefined: the draft is
   * verified as it is, as long as the cache has room.
   */
  acceptance: number | undefined;
  /** Sees the logits of the rows, as their step is enqueued. */
  onLogits?: (logits: Tensor<'f32'>) => void;
  /** Enqueues what reads the verdict, which is valid until this returns. A step may be verified without: where nothing was left of it. */
  onVerdict?: (verdict: VerifyResult) => void;
}

/** What came of it. */
export interface Verified {
  /** The accepted tokens, and one more. */
  drawn: Drawn[];
  /** As much of the draft as was verified. */
  draft: Draft;
  /** Its nodes that were accepted. */
  path: readonly number[];
}

/** What a step may gain by a proposal. */
export function offerOf({ draft, acceptance = 0 }: Proposal): Offer {
  return { gains: gainsOf(sizeOf(draft), acceptance, draft.parents), isWhole: isWhole(draft) };
}

/** At most `count` nodes of a proposal, which its draft's owner keeps. */
export function cutProposal(proposal: Proposal, count: number): Proposal {
  const { draft } = proposal;
  if (sizeOf(draft) <= count) return proposal;
  return { ...proposal, draft: isWhole(draft) || count < 1 ? noDraft : truncated(draft as Draft, count) };
}

/** What only the device knows, and what was drawn by chance with all that belongs to it, is not cut. */
function isWhole(draft: Draft | EnqueuedDraft): boolean {
  return 'enqueued' in draft || draft.source?.kind === 'sampled';
}
