// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto';
import { checkObject, checkSignal, invalidArgument, unsupported } from '../errors.js';
import type { TokenSequence } from '../model/sequence.js';
import { checkInteger } from '../ops/check.js';
import { checkSampling } from '../ops/sampling.js';
import { checkRule, type VerifyRule } from '../ops/verify.js';
import type { Drafter } from '../speculate/drafter.js';

/** How a token is drawn. The order of the filters is that of {@link sample}. */
export interface TokenSampling {
  /** 0, the default, is greedy. */
  temperature?: number;
  /** Default 0: all. */
  topK?: number;
  /** Default 1: all. */
  topP?: number;
  /** Default 0: all. */
  minP?: number;
  /** Default 1: off. */
  repetitionPenalty?: number;
  /** Default 0: off. */
  presencePenalty?: number;
  /** Default 0: off. */
  frequencyPenalty?: number;
  /** Makes sampling repeatable. Default: random; the result says which. */
  seed?: number | bigint;
}

export interface GenerateOptions extends TokenSampling {
  /** Most tokens to generate. Default: what the context has room for. */
  maxTokens?: number;
  /** Generation stops before any of these strings, and after any of these token ids. */
  stop?: string | number | readonly (string | number)[];
  /** Go on after the model's own end tokens. Default false. */
  ignoreEnd?: boolean;
  /** Log-probabilities of the tokens, and of this many most probable ones beside each (0 to 1024). */
  logprobs?: number;
  /**
   * Guesses the next tokens, to be verified several at once: the output's distribution stays what it is, and greedy output the
   * same. `auto`, the default: drafts from the text itself, and with the draft model of `load`'s `draft` where there is one,
   * as far as that pays; tokens are those of plain sampling with the same seed. A drafter of one's own serves this generation
   * alone meanwhile: another one that is given it ends with ERR_INVALID_ARGUMENT. With `logprobs` above 0, `auto` is `off`.
   *
   * Drafts of generations that run at the same time are verified in the same steps. What adaptive ones draft is decided for all of
   * them together: rows go where they are expected to give most, and as many as give the most tokens per time, none where steps
   * have so many rows already that each further one costs what it gives (SmartSpec; Liu et al., 2024). One that is not adaptive
   * drafts what it would alone.
   */
  speculate?: Drafter | 'auto' | 'off';
  /**
   * Most tokens drafted at once, 1 to what the model was loaded for (`maxDraft` of {@link load}; 64 unless said otherwise, trees then
   * 63). Default: that, so that it is what the drafter likes.
   */
  maxDraft?: number;
  /**
   * Measure whether and how far speculation pays, and do as much of it. Default true. false: always as much as the drafter
   * proposes, so that the output with a sampling drafter and a seed is repeatable.
   */
  adaptive?: boolean;
  /**
   * How drafts are judged. Default: `match` for deterministic ones (the output is that of plain sampling, token for token),
   * `rejection` for sampled ones.
   */
  verification?: VerifyRule;
  /** Continue this sequence, whose cached tokens are not computed again; prompt and output are appended to it. */
  sequence?: TokenSequence;
  /** Ends the generation: the iterator throws the signal's reason. */
  signal?: AbortSignal;
}

export interface ResolvedOptions {
  sampling: Required<Omit<TokenSampling, 'seed'>>;
  seed: bigint;
  maxTokens: number;
  stopStrings: string[];
  stopTokens: Set<number>;
  logprobs: number | undefined;
  drafter: Drafter | undefined;
  /** Was the drafter made for this generation? */
  ownsDrafter: boolean;
  maxDraft: number;
  adaptive: boolean;
  verification: VerifyRule | undefined;
  signal: AbortSignal | undefined;
}

/**
 * Checks the options and fills in what was left out.
 * @param mostDrafted nodes that one step can verify
 * @param automatic makes the drafter of `auto`
 * @throws PagewarpError ERR_INVALID_ARGUMENT naming the option, ERR_UNSUPPORTED for a combination that does not exist
 */
export function resolveOptions(
  options: GenerateOptions,
  endTokens: readonly number[],
  mostDrafted: number,
  automatic: () => Drafter,
): ResolvedOptions {
  checkObject('options', options);
  const { maxTokens = Number.POSITIVE_INFINITY, logprobs, speculate = 'auto', maxDraft = mostDrafted } = options;
  const { adaptive = true, verification } = options;
  if (maxTokens !== Number.POSITIVE_INFINITY) checkInteger('maxTokens', maxTokens, 1, 2 ** 31 - 1);
  if (logprobs !== undefined) checkInteger('logprobs', logprobs, 0, 1024);
  checkInteger('maxDraft', maxDraft, 1, mostDrafted, ', as the model was loaded with maxDraft');
  checkSignal(options.signal);
  if (typeof adaptive !== 'boolean') throw invalidArgument('adaptive', adaptive, 'true or false');
  const given = typeof speculate === 'object' && speculate !== null;
  if (given ? typeof speculate.draft !== 'function' : speculate !== 'off' && speculate !== 'auto') {
    throw invalidArgument('speculate', speculate, "'auto', 'off' or a drafter such as promptLookup()");
  }
  if (given && logprobs) {
    throw unsupported('the most probable tokens beside speculated ones', 'logprobs: 0 with speculation');
  }
  if (verification !== undefined) checkRule('verification', verification);
  const { stopStrings, stopTokens } = resolveStops(options.stop ?? []);
  if (!options.ignoreEnd) for (const token of endTokens) stopTokens.add(token);
  const { temperature = 0, topK = 0, topP = 1, minP = 0 } = options;
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = options;
  const sampling = { temperature, topK, topP, minP, repetitionPenalty, presencePenalty, frequencyPenalty };
  checkSampling(sampling);
  return {
    sampling,
    seed: resolveSeed(options.seed),
    maxTokens,
    stopStrings,
    stopTokens,
    logprobs,
    drafter: given ? speculate : speculate === 'auto' && !logprobs && maxTokens > 1 ? automatic() : undefined,
    ownsDrafter: !given,
    maxDraft,
    adaptive,
    verification,
    signal: options.signal,
  };
}

function resolveStops(stop: NonNullable<GenerateOptions['stop']>): { stopStrings: string[]; stopTokens: Set<number> } {
  const stopStrings: string[] = [];
  const stopTokens = new Set<number>();
  for (const item of Array.isArray(stop) ? stop : [stop]) {
    if (typeof item === 'string' && item !== '') stopStrings.push(item);
    else if (typeof item === 'number' && Number.isInteger(item) && item >= 0) stopTokens.add(item);
    else throw invalidArgument('stop', item, 'a non-empty string, a token id, or a list of these');
  }
  return { stopStrings, stopTokens };
}

function resolveSeed(seed: number | bigint | undefined): bigint {
  if (seed === undefined) return randomBytes(8).readBigUInt64LE() >> 11n; // 53 bits: exact as a number, too
  if (typeof seed !== 'bigint' && !Number.isSafeInteger(seed)) {
    throw invalidArgument('seed', seed, 'a safe integer or a bigint');
  }
  return BigInt.asIntN(64, BigInt(seed));
}
