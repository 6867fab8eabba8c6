// SPDX-License-Identifier: Apache-2.0
import { checkList, checkObject, invalidArgument } from '../errors.js';
import { checkInteger } from '../ops/check.js';
import { ContextReader } from './context.js';
import { type Draft, type Drafter, noDraft } from './drafter.js';
import { noMatch, SuffixAutomaton, type SuffixMatch } from './suffixautomaton.js';

export interface SuffixLookupOptions {
  /** Token ids of texts that the output may repeat: documents, code, earlier answers. Kept over generations. */
  corpus?: Iterable<ArrayLike<number>>;
  /** Shortest suffix that counts. Default 2. */
  minMatch?: number;
  /** Most tokens that are drafted at once. Default 16. */
  maxDraft?: number;
}

/**
 * What followed the longest suffix of the text that has occurred before, in the text itself or in a corpus, is what will follow
 * now (SAM decoding; Hu et al., 2024). Like {@link promptLookup}, with suffixes of any length; one automaton step a token.
 * @throws PagewarpError ERR_INVALID_ARGUMENT
 */
export function suffixLookup(options: SuffixLookupOptions = {}): Drafter {
  checkObject('options', options);
  const { minMatch = 2, maxDraft = 16, corpus: texts = [] } = options;
  checkInteger('minMatch', minMatch, 1);
  checkInteger('maxDraft', maxDraft, 1);
  const corpus = new SuffixAutomaton();
  if (typeof texts?.[Symbol.iterator] !== 'function')
    throw invalidArgument('corpus', texts, 'texts as arrays of token ids');
  for (const text of texts) {
    checkList('a text of corpus', text);
    for (let at = 0; at < text.length; at++) corpus.append(text[at] as number);
    corpus.append(separator);
  }
  return new SuffixLookup(corpus, minMatch, maxDraft);
}

/** Ends each text of a corpus; no token. */
const separator = -1;

class SuffixLookup implements Drafter {
  readonly #corpus: SuffixAutomaton;
  readonly #minMatch: number;
  readonly #maxDraft: number;
  readonly #reader = new ContextReader();
  #own = new SuffixAutomaton();
  #inOwn: SuffixMatch = noMatch;
  #inCorpus: SuffixMatch = noMatch;

  constructor(corpus: SuffixAutomaton, minMatch: number, maxDraft: number) {
    this.#corpus = corpus;
    this.#minMatch = minMatch;
    this.#maxDraft = maxDraft;
  }

  draft(context: ArrayLike<number>, maxTokens: number): Draft {
    const take = (token: number): void => {
      // Matched before it becomes part of the text: an earlier occurrence is wanted.
      this.#inOwn = this.#own.follow(this.#inOwn, token);
      this.#inCorpus = this.#corpus.follow(this.#inCorpus, token);
      this.#own.append(token);
    };
    this.#reader.update(context, take, () => this.reset());
    const own = this.#inOwn.length >= this.#inCorpus.length;
    const { length, end } = own ? this.#inOwn : this.#inCorpus;
    if (length < this.#minMatch) return noDraft;
    const { text } = own ? this.#own : this.#corpus;
    const period = text.length - 1 - end;
    const tokens: number[] = [];
    for (let i = 0; i < Math.min(maxTokens, this.#maxDraft); i++) {
      // Beyond the end of the text the copy goes on with what it has copied: a period repeats.
      const token = own ? text[end + 1 + (i % period)] : text[end + 1 + i];
      if (token === undefined || token === separator) break;
      tokens.push(token);
    }
    return { tokens };
  }

  observe(): void {}

  reset(): void {
    this.#own = new SuffixAutomaton();
    this.#inOwn = noMatch;
    this.#inCorpus = noMatch;
    this.#reader.reset();
  }

  dispose(): void {
    this.reset();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
