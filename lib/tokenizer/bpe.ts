// SPDX-License-Identifier: Apache-2.0
import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { PagewarpError } from '../errors.js';
import { inPieces, type Piecewise } from '../piecewise.js';
import { PairRanks } from './pairranks.js';
import { type AddedToken, TokenKind } from './pieces.js';

/** What the library emits for text that a vocabulary without an unknown token cannot express: a name that is no token. */
export const inexpressible = '\0';

/** The added tokens of a vocabulary that knows its tokens' kinds: control tokens, and those that its users have defined. */
export function addedTokens(pieces: readonly string[], kinds: ArrayLike<number>): AddedToken[] {
  const added: AddedToken[] = [];
  for (let id = 0; id < pieces.length; id++) {
    const content = pieces[id] as string;
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

/** A byte-pair vocabulary: what a tokenizer.json says, its two long tables apart. @internal */
export interface BpeVocabulary {
  /** The tokenizer.json without `added_tokens`, its model without `vocab` and `merges`. */
  settings: { model: Record<string, unknown>; [part: string]: unknown };
  added: readonly AddedToken[];
  /** tokenizer_config.json */
  config?: object;
  /** Piece of each id. */
  pieces: readonly string[];
  /** Id of each piece. Those that are only `added` need none. */
  ids: Map<string, number>;
  /** Calls `add` for every pair of pieces that is joined; those of lower rank are joined first. */
  merges: (add: (left: string, right: string, rank: number) => void) => Piecewise<void>;
}

/** The library's tokenizers of one vocabulary. @internal */
export interface Encoders {
  /** Takes names of control tokens in the text for those tokens. */
  parsing: HfTokenizer;
  /** Takes them for text. */
  literal: () => HfTokenizer;
}

/** A neighbour of another one in the text that the library segments. */
interface LibraryNode {
  token: string;
  next: LibraryNode;
  bias: number;
  score?: number;
}

/** What the library's byte-pair model looks up while it encodes. */
interface LibraryModel {
  tokens_to_ids: Map<string, number>;
  /** Pieces by id. */
  vocab: readonly string[];
  unk_token: string;
  unk_token_id: number | undefined;
  /** Queues the pair that begins with a node, if it is one that is joined. */
  add_node(queue: { push(node: LibraryNode): void }, node: LibraryNode): void;
}

/**
 * Makes the library's tokenizers of a byte-pair vocabulary. The library's constructor would be given every merge as an array of two
 * strings, keep it, and make a string of the two for a Map, beside the vocabulary as an object and as a Map, all in one go: of 128
 * thousand tokens that is a second in which nothing else runs, and up to 100 MB. So it is given none of them; its vocabulary is
 * filled here, and ranks of merges are looked up by the numbers of the two pieces.
 * @internal
 */
export function* bpeEncoders(vocabulary: BpeVocabulary): Piecewise<Encoders> {
  const { settings, added, config = {}, pieces, ids, merges } = vocabulary;
  const build = (tokens: readonly AddedToken[]): HfTokenizer => {
    const model = { ...settings.model, type: 'BPE', vocab: {}, merges: [] };
    try {
      return new HfTokenizer({ ...settings, model, added_tokens: tokens }, config);
    } catch (error) {
      const why = (error as Error).message;
      throw new PagewarpError('ERR_INVALID_MODEL', `this tokenizer cannot be made: ${why}`, {}, { cause: error });
    }
  };
  const ranks = new PairRanks();
  /**
   * Numbers of parts of merges that are no pieces themselves (characters that SentencePiece has only as a part of others), and of
   * pieces whose id is another one's, too.
   */
  const parts = new Map<string, number>();
  const numberOf = (part: string): number | undefined => {
    const id = ids.get(part);
    return id !== undefined && pieces[id] === part ? id : parts.get(part);
  };
  const numbered = (part: string): number => {
    const known = numberOf(part);
    if (known !== undefined) return known;
    const number = pieces.length + parts.size;
    parts.set(part, number);
    return number;
  };
  yield* merges((left, right, rank) => ranks.set(numbered(left), numbered(right), rank));
  const parsing = build(added);
  const model = parsing.model as unknown as LibraryModel;
  model.tokens_to_ids = ids;
  model.vocab = pieces;
  model.unk_token_id = ids.get(model.unk_token);
  model.add_node = (queue, node) => {
    const [left, right] = [numberOf(node.token), numberOf(node.next.token)];
    const rank = left === undefined || right === undefined ? undefined : ranks.get(left, right);
    if (rank === undefined) return;
    node.score = rank + node.bias; // the leftmost of equal ones first
    queue.push(node);
  };
  const literal = (): HfTokenizer => {
    const tokenizer = build(added.filter(({ special }) => !special));
    tokenizer.model = parsing.model; // the same tables
    return tokenizer;
  };
  return { parsing, literal };
}
