// SPDX-License-Identifier: Apache-2.0
import { type EnqueuedDraft, sizeOf, type VerifiedChain } from '../speculate/drafter.js';
import type { Event, Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import type { Proposal, Verified } from './proposal.js';

/** A draft that is to be verified. */
export interface Prepared {
  readonly proposal: Proposal;
  /** The most probable tokens after each row, for a drafter that wants them. */
  readonly top: () => Promise<{ top?: Int32Array }>;
  /** For what may follow before the host knows what comes of it. */
  readonly chain: ChainInFlight | undefined;
}

/** A draft that is being verified. */
export class Flight {
  readonly prepared: Prepared;
  /** What comes of it, with what its drafter wants to know besides. */
  readonly outcome: Promise<{ verified: Verified; top?: Int32Array }>;
  #landed = 0;

  constructor(prepared: Prepared, verifying: Promise<Verified>) {
    this.prepared = prepared;
    this.outcome = verifying.then(async (verified) => {
      const top = await prepared.top();
      this.#landed = performance.now();
      return { verified, ...top };
    });
    this.outcome.catch(() => {}); // whoever reads the text may take long until asking what comes of it
  }

  /** When all of that was known. */
  get landed(): number {
    return this.#landed;
  }
}

/** What the device keeps of a chain that is verified, for what follows it. */
export class ChainInFlight implements VerifiedChain {
  readonly accepted: Tensor<'i32'>;
  readonly tokens: Tensor<'i32'>;
  /** The same draft, where nobody who drafts what follows it writes. */
  readonly draft: EnqueuedDraft;
  readonly last: Tensor<'i32'>;
  readonly context: ArrayLike<number>;
  readonly verified: Event;
  readonly #stream: Stream;
  #isEnqueued = false;

  /**
   * @param last where the token drawn last is now, and will be when the chain has been verified
   * @param verified to be recorded then
   */
  constructor(stream: Stream, draft: EnqueuedDraft, last: Tensor<'i32'>, context: ArrayLike<number>, verified: Event) {
    this.#stream = stream;
    this.last = last;
    this.context = context;
    this.verified = verified;
    this.accepted = Tensor.empty(stream.device, [1], 'i32');
    this.tokens = Tensor.empty(stream.device, [1 + sizeOf(draft)], 'i32');
    using first = this.tokens.slice(0, 0, 1);
    first.copyFrom(last, stream);
    const enqueued = this.tokens.slice(0, 1, 1 + sizeOf(draft));
    enqueued.copyFrom(draft.enqueued, stream);
    this.draft = { ...draft, enqueued };
  }

  get isSampled(): boolean {
    return this.draft.source?.kind === 'sampled';
  }

  get drafted(): number {
    return (this.tokens.shape[0] as number) - 1;
  }

  /** Has its verification been enqueued? */
  get isEnqueued(): boolean {
    return this.#isEnqueued;
  }

  readonly onVerdict: NonNullable<Proposal['onVerdict']> = ({ acceptedLengths }) => {
    this.accepted.copyFrom(acceptedLengths, this.#stream);
    this.#stream.record(this.verified);
    this.#isEnqueued = true;
  };

  dispose(): void {
    for (const tensor of [this.accepted, this.tokens, this.draft.enqueued]) tensor.dispose();
  }
}
