// SPDX-License-Identifier: Apache-2.0
import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { TokenKind } from './pieces.js';
import { inPieces, type Piecewise } from './piecewise.js';

/** An entry of `added_tokens` of a tokenizer.json: what is cut out of the text before anything else. */
export interface AddedToken {
  id: number;
  content: string;
  special: boolean;
  single_word?: boolean;
  lstrip?: boolean;
  rstrip?: boolean;
  normalized?: boolean;
}

/** What the library emits for text that a vocabulary without an unknown token cannot express: a name that is no token. */
export const inexpressible = '\0';

/** The added tokens of a vocabulary that knows its tokens' kinds: control tokens, and those that its users have defined. */
export function addedTokens(pieces: readonly string[], kinds: ArrayLike<number>): AddedToken[] {
  const added: AddedToken[] = [];
  for (const [id, content] of pieces.entries()) {
    const special = kinds[id] === TokenKind.Control || kinds[id] === TokenKind.Unknown;
    if (content === '' || !(kinds[id] === TokenKind.UserDefined || special)) continue;
    added.push({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special });
  }
  return added;
}

/** Ids of the pieces: of equal ones, that of the first. */
export function* idsOf(pieces: readonly string[]): Piecewise<Map<string, number>> {
  const ids = new Map<string, number>();
  yield* inPieces(pieces, (piece, id) => {
    if (!ids.has(piece)) ids.set(piece, id);
  });
  return ids;
}

/** A byte-pair vocabulary: what a tokenizer.json says, its two long tables apart. */
export interface BpeVocabulary {
  /** The tokenizer.json without `added_tokens`, its model without `vocab` and `merges`. */
  settings: { model: Record<string, unknown>; [part: string]: unknown };
  added: readonly AddedToken[];
  /** tokenizer_config.json */
  config?: object;
  /** Piece of each id. */
  pieces: readonly string[];
  /** Id of each piece, the added ones apart. */
  ids: Map<string, number>;
  /** Calls `add` for every pair of pieces that is joined; those of lower rank are joined first. */
  merges: (add: (left: string, right: string, rank: number) => void) => Piecewise<void>;
}

/** The library's tokenizers of one vocabulary. */
export interface Encoders {
  /** Takes names of control tokens in the text for those tokens. */
  parsing: HfTokenizer;
  /** Takes them for text. */
  literal: () => HfTokenizer;
}

/** What the library's byte-pair model looks up while it encodes. */
interface LibraryModel {
  tokens_to_ids: Map<string, number>;
  /** Pieces by id. */
  vocab: readonly string[];
  /** Ranks of merges, by the JSON of the two pieces. */
  bpe_ranks: Map<string, number>;
  unk_token: string;
  unk_token_id: number | undefined;
}

/**
 * Makes the library's tokenizers of a byte-pair vocabulary. The library's constructor would be given every merge as an array of two
 * strings and keep these and the vocabulary beside the tables that it makes of them, all in one go: of 128 thousand tokens that is a
 * second in which nothing else runs, and twice the memory. So it is given none, and its tables are filled here.
 */
export function* bpeEncoders(vocabulary: BpeVocabulary): Piecewise<Encoders> {
  const { settings, added, config = {}, pieces, ids, merges } = vocabulary;
  const build = (tokens: readonly AddedToken[]): HfTokenizer => {
    const model = { ...settings.model, type: 'BPE', vocab: {}, merges: [] };
    return new HfTokenizer({ ...settings, model, added_tokens: tokens }, config);
  };
  const parsing = build(added);
  const model = parsing.model as unknown as LibraryModel;
  yield* merges((left, right, rank) => model.bpe_ranks.set(JSON.stringify([left, right]), rank));
  model.unk_token_id = ids.get(model.unk_token);
  for (const { id, content } of added) ids.set(content, id);
  model.tokens_to_ids = ids;
  model.vocab = pieces;
  const literal = (): HfTokenizer => {
    const tokenizer = build(added.filter(({ special }) => !special));
    tokenizer.model = parsing.model; // the same tables
    return tokenizer;
  };
  return { parsing, literal };
}
