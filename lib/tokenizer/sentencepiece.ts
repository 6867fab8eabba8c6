// SPDX-License-Identifier: Apache-2.0

import { inPieces, type Piecewise } from '../piecewise.js';
import { addedTokens, bpeEncoders, type Encoders, idsOf, inexpressible } from './bpe.js';
import { metaspace, TokenKind } from './pieces.js';

export interface SentencePieceVocabulary {
  pieces: readonly string[];
  scores: ArrayLike<number>;
  kinds: ArrayLike<number>;
  unknownToken: number | undefined;
  addSpacePrefix: boolean;
}

/**
 * Tokenizers that split text as SentencePiece's BPE does (Kudo and Richardson, 2018): of all neighbours whose concatenation is a
 * piece, the pair with the highest score is joined first, the leftmost among equals.
 *
 * The library knows ranked merges instead of scores. Each way to split a piece into two pieces (or single characters) becomes
 * a merge whose rank is the rank of the piece's score. All merges of equal score share one rank, for which the library takes
 * the leftmost first: the same order, ties included.
 */
export function* sentencePieceEncoders(vocabulary: SentencePieceVocabulary): Piecewise<Encoders> {
  const { pieces, kinds, unknownToken } = vocabulary;
  const ids = yield* idsOf(pieces);
  return yield* bpeEncoders({
    settings: {
      version: '1.0',
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
        unk_token: unknownToken === undefined ? inexpressible : pieces[unknownToken],
        fuse_unk: true,
        byte_fallback: hasBytes(kinds),
      },
    },
    added: addedTokens(pieces, kinds),
    pieces,
    ids,
    merges: (add) => mergesOf(vocabulary, ids, add),
  });
}

function hasBytes(kinds: ArrayLike<number>): boolean {
  for (let id = 0; id < kinds.length; id++) if (kinds[id] === TokenKind.Byte) return true;
  return false;
}

function* mergesOf(
  { pieces, scores, kinds }: SentencePieceVocabulary,
  ids: ReadonlyMap<string, number>,
  add: (left: string, right: string, rank: number) => void,
): Piecewise<void> {
  const rankOf = ranking(scores);
  const isJoinable = (piece: string): boolean => {
    const kind = kinds[ids.get(piece) ?? -1];
    return kind === TokenKind.Normal || kind === TokenKind.UserDefined || kind === TokenKind.Unused;
  };
  yield* inPieces(pieces, (piece, id) => {
    if (ids.get(piece) !== id || !isJoinable(piece)) return;
    const rank = rankOf(scores[id] as number);
    const first = characterLength(piece, 0);
    for (let at = first; at < piece.length; at += characterLength(piece, at)) {
      const left = piece.slice(0, at);
      if (at !== first && !isJoinable(left)) continue;
      const right = piece.slice(at);
      if (right.length !== characterLength(piece, at) && !isJoinable(right)) continue;
      add(left, right, rank);
    }
  });
}

/** @returns for a score the number of different scores above it */
function ranking(scores: ArrayLike<number>): (score: number) => number {
  const rising = new Float64Array(scores).sort();
  let count = 0;
  for (const score of rising) if (count === 0 || score !== rising[count - 1]) rising[count++] = score;
  return (score) => {
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((rising[middle] as number) < score) low = middle + 1;
      else high = middle;
    }
    return count - 1 - low;
  };
}

/** UTF-16 units of the character at `index`. */
function characterLength(text: string, index: number): number {
  return (text.codePointAt(index) as number) > 0xffff ? 2 : 1;
}
