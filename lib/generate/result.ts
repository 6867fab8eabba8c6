// SPDX-License-Identifier: Apache-2.0
import type { DrawnLogprob } from './sampler.js';

/** A piece of output, as soon as it is known. */
export interface GenerateChunk {
  /** May be empty: a token can be part of a character, or text may be held back that could begin a stop string. */
  text: string;
  tokens: number[];
  /** One per token, with the `logprobs` option. */
  logprobs?: DrawnLogprob[];
}

/** Why a generation ended: a stop token or string, its length, or because its consumer went away. */
export type FinishReason = 'stop' | 'length' | 'cancelled';

export interface Usage {
  promptTokens: number;
  completionTokens: number;
  /** Prompt tokens that were in the model's cache already: the sequence's own, or else those of an earlier prompt that begins alike. */
  cachedTokens: number;
}

/** Wall-clock times. Rates are tokens per second; a rate without any time is 0. */
export interface Timings {
  /** Seconds from the start to the first token. */
  timeToFirstToken: number;
  /** Computed prompt tokens over the time to the first token. */
  prefillRate: number;
  /** Tokens after the first over the time since. */
  decodeRate: number;
  /** Seconds in all. */
  total: number;
}

export interface SpeculationStatistics {
  /** Passes of the target model that verified a draft. */
  passes: number;
  /** Those of them in steps that other generations had a part in. */
  sharedPasses: number;
  /** Steps without a draft: there was none, or drafts did not pay. */
  plainSteps: number;
  /** Nodes. */
  drafted: number;
  accepted: number;
  /** accepted / drafted */
  acceptanceRate: number;
  /** Accepted drafted tokens per pass: the convention of Leviathan et al. without the token that the target adds. */
  meanAcceptedLength: number;
  /** Tokens emitted per pass, the target's own included: "tau" of EAGLE and Medusa. */
  meanEmittedLength: number;
  /** Seconds that passes waited for their drafts. Those that a pass drafts and verifies at once, chains, take none. */
  draftTime: number;
  /**
   * Seconds that plain steps, as fast as those measured, would have taken longer for the same tokens; negative when they
   * would have been faster. With adaptive speculation, which measures them.
   */
  timeSaved?: number;
}

export interface GenerateResult {
  text: string;
  tokens: number[];
  finishReason: FinishReason;
  /** The stop string or token that ended it. */
  stop?: string | number;
  /** Repeats the draw. */
  seed: bigint;
  usage: Usage;
  timings: Timings;
  /** With a drafter. */
  speculation?: SpeculationStatistics;
}

/** Counts what a generation does. */
export class Recorder {
  readonly #start: number = performance.now();
  #first: number | undefined;
  #end: number | undefined;
  promptTokens = 0;
  cachedTokens = 0;
  readonly tokens: number[] = [];
  text = '';
  speculation: { readonly statistics: SpeculationStatistics } | undefined;
  finishReason: FinishReason = 'cancelled';
  stop: string | number | undefined;

  /** A token has arrived from the device. */
  arrived(): void {
    this.#end = performance.now();
    this.#first ??= this.#end;
  }

  result(seed: bigint): GenerateResult {
    const now = performance.now();
    const toFirst = ((this.#first ?? now) - this.#start) / 1000;
    const decoding = ((this.#end ?? now) - (this.#first ?? now)) / 1000;
    const rate = (count: number, seconds: number): number => (seconds > 0 && count > 0 ? count / seconds : 0);
    const { promptTokens, cachedTokens, tokens } = this;
    return {
      text: this.text,
      tokens,
      finishReason: this.finishReason,
      ...(this.stop === undefined ? {} : { stop: this.stop }),
      seed,
      usage: { promptTokens, completionTokens: tokens.length, cachedTokens },
      timings: {
        timeToFirstToken: toFirst,
        prefillRate: rate(promptTokens - cachedTokens, toFirst),
        decodeRate: rate(tokens.length - 1, decoding),
        total: (now - this.#start) / 1000,
      },
      ...(this.speculation ? { speculation: this.speculation.statistics } : {}),
    };
  }
}
