// SPDX-License-Identifier: Apache-2.0
import type { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { checkObject, invalidArgument, PagewarpError } from '../errors.js';
import type { Encoders } from './bpe.js';
import { Detokenizer, type DetokenizerOptions } from './detokenizer.js';
import type { PieceTable } from './pieces.js';

export interface EncodeOptions {
  /** Add the tokens that the vocabulary wants around a text (usually one at the beginning). Default true. */
  addSpecial?: boolean;
  /**
   * Do names of control tokens in the text, such as "<|im_end|>", become those tokens? Default true, as chat templates need;
   * false treats text that a stranger wrote as nothing but text.
   */
  parseSpecial?: boolean;
}

/** What a {@link Tokenizer} is made of. @internal */
export interface TokenizerParts {
  table: PieceTable;
  encoders: Encoders;
  prefix: readonly number[];
  suffix: readonly number[];
  /** Does decoding drop the space that encoding put in front? */
  stripsSpace: boolean;
  bosToken: number | undefined;
  eosToken: number | undefined;
  endTokens: readonly number[];
  chatTemplate: string | undefined;
}

/** A vocabulary: text to token ids and back. Encoding is `@huggingface/tokenizers`'s; decoding streams, byte for byte. */
export class Tokenizer {
  readonly #parts: TokenizerParts;
  #literal: HfTokenizer | undefined;

  /** @internal Use {@link tokenizerFromGguf} or {@link tokenizerFromJson}. */
  constructor(parts: TokenizerParts) {
    this.#parts = parts;
  }

  /** Number of tokens. */
  get size(): number {
    return this.#parts.table.size;
  }

  /** The token that begins a text, where the vocabulary has one. */
  get bosToken(): number | undefined {
    return this.#parts.bosToken;
  }

  /** The token that ends a text, where the vocabulary has one. */
  get eosToken(): number | undefined {
    return this.#parts.eosToken;
  }

  /** Every token after which generation stops by itself: end of text, end of turn. */
  get endTokens(): readonly number[] {
    return this.#parts.endTokens;
  }

  /** The model's chat template (Jinja), where it has one. */
  get chatTemplate(): string | undefined {
    return this.#parts.chatTemplate;
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    if (typeof text !== 'string') throw invalidArgument('text', text, 'a string');
    checkObject('options', options);
    const { addSpecial = true, parseSpecial = true } = options;
    const { prefix, suffix } = this.#parts;
    const ids = this.#encoder(parseSpecial).encode(text, { add_special_tokens: false }).ids;
    const missing = ids.indexOf(undefined as unknown as number);
    if (missing >= 0) {
      throw new PagewarpError(
        'ERR_INVALID_TOKEN',
        'the text has a character that this vocabulary cannot express, and it has no unknown token',
        { position: missing },
      );
    }
    return addSpecial ? [...prefix, ...ids, ...suffix] : ids;
  }

  /**
   * The text of tokens. Ids outside the vocabulary (a model may pad it) stand for nothing.
   * @throws PagewarpError ERR_INVALID_ARGUMENT when an id is not a non-negative integer
   */
  decode(ids: Iterable<number>, options: DetokenizerOptions = {}): string {
    if (typeof ids?.[Symbol.iterator] !== 'function')
      throw invalidArgument('ids', ids, 'token ids that can be iterated');
    const detokenizer = this.detokenizer(options);
    let text = '';
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0) throw invalidArgument('ids', id, 'non-negative integers');
      text += detokenizer.push(id);
    }
    return text + detokenizer.flush();
  }

  /** A streaming decoder. */
  detokenizer(options: DetokenizerOptions = {}): Detokenizer {
    checkObject('options', options);
    return new Detokenizer(this.#parts.table, this.#parts.stripsSpace, options);
  }

  /** The bytes that one token stands for: part of a character at times. Control tokens give their name. */
  tokenBytes(id: number): Uint8Array {
    return this.#parts.table.bytes(id).slice();
  }

  /** The token as the vocabulary writes it, such as "▁the" or "Ġthe". */
  tokenName(id: number): string | undefined {
    return this.#parts.table.pieces[id];
  }

  isControl(id: number): boolean {
    return this.#parts.table.isControl(id);
  }

  #encoder(parseSpecial: boolean): HfTokenizer {
    const { parsing, literal } = this.#parts.encoders;
    if (parseSpecial) return parsing;
    this.#literal ??= literal();
    return this.#literal;
  }
}
