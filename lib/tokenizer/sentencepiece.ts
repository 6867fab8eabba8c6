// SPDX-License-Identifier: Apache-2.0
import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { metaspace, TokenKind } from './pieces.js';

export interface SentencePieceVocabulary {
  pieces: readonly string[];
  scores: ArrayLike<number>;
  kinds: ArrayLike<number>;
  unknownToken: number | undefined;
  addSpacePrefix: boolean;
}

/**
 * A Hugging Face tokenizer that splits text as SentencePiece's BPE does (Kudo and Richardson, 2018): of all neighbours whose
 * concatenation is a piece, the pair with the highest score is joined first, the leftmost among equals.
 *
 * The library knows ranked merges instead of scores. Each way to split a piece into two pieces (or single characters) becomes
 * a merge whose rank is the rank of the piece's score. All merges of equal score share one rank, for which the library takes
 * the leftmost first: the same order, ties included.
 *
 * @param parseSpecial are the names of control tokens in the text those tokens (true), or plain text (false)?
 */
export function sentencePieceTokenizer(vocabulary: SentencePieceVocabulary, parseSpecial: boolean): HfTokenizer {
  const { pieces, kinds, unknownToken } = vocabulary;
  const ids = new Map<string, number>();
  for (const [id, piece] of pieces.entries()) if (!ids.has(piece)) ids.set(piece, id);
  const { merges, ranks } = mergesOf(vocabulary, ids);
  const hf = new HfTokenizer(
    {
      version: '1.0',
      added_tokens: addedTokens(pieces, kinds, parseSpecial),
      normalizer: {
        type: 'Sequence',
        normalizers: [
          ...(vocabulary.addSpacePrefix ? [{ type: 'Prepend', prepend: metaspace }] : []),
          { type: 'Replace', pattern: { String: ' ' }, content: metaspace },
        ],
      },
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      model: {
        type: 'BPE',
        vocab: Object.fromEntries(ids),
        merges,
        unk_token: unknownToken === undefined ? inexpressible : pieces[unknownToken],
        fuse_unk: true,
        byte_fallback: Array.prototype.includes.call(kinds, TokenKind.Byte),
      },
    },
    {},
  );
  const rankOf = (hf.model as unknown as { bpe_ranks: Map<string, number> }).bpe_ranks;
  let index = 0;
  for (const pair of rankOf.keys()) rankOf.set(pair, ranks[index++] as number);
  return hf;
}

/** What the library emits for text that a vocabulary without an unknown token cannot express: a name that is no token. */
export const inexpressible = '\0';

/** The `added_tokens` of a tokenizer.json: what is cut out of the text before anything else. */
export function addedTokens(pieces: readonly string[], kinds: ArrayLike<number>, parseSpecial: boolean): object[] {
  const added: object[] = [];
  for (const [id, content] of pieces.entries()) {
    const special = kinds[id] === TokenKind.Control || kinds[id] === TokenKind.Unknown;
    if (content === '' || !(kinds[id] === TokenKind.UserDefined || (special && parseSpecial))) continue;
    added.push({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special });
  }
  return added;
}

function mergesOf(
  { scores, kinds }: SentencePieceVocabulary,
  ids: ReadonlyMap<string, number>,
): { merges: [string, string][]; ranks: number[] } {
  const distinct = [...new Set(Array.from(scores))].sort((a, b) => b - a);
  const rankOfScore = new Map(distinct.map((score, rank) => [score, rank]));
  const joinable = new Set<string>();
  for (const [piece, id] of ids) {
    if (kinds[id] === TokenKind.Normal || kinds[id] === TokenKind.UserDefined || kinds[id] === TokenKind.Unused) {
      joinable.add(piece);
    }
  }
  const merges: [string, string][] = [];
  const ranks: number[] = [];
  for (const piece of joinable) {
    const rank = rankOfScore.get(scores[ids.get(piece) as number] as number) as number;
    const first = characterLength(piece, 0);
    for (let at = first; at < piece.length; at += characterLength(piece, at)) {
      const left = piece.slice(0, at);
      if (at !== first && !joinable.has(left)) continue;
      const right = piece.slice(at);
      if (right.length !== characterLength(piece, at) && !joinable.has(right)) continue;
      merges.push([left, right]);
      ranks.push(rank);
    }
  }
  return { merges, ranks };
}

/** UTF-16 units of the character at `index`. */
function characterLength(text: string, index: number): number {
  return (text.codePointAt(index) as number) > 0xffff ? 2 : 1;
}
