// SPDX-License-Identifier: Apache-2.0
import { checkInstance, PagewarpError, unsupported } from '../errors.js';
import { GgufFile } from '../model/gguf.js';
import { atOnce, type Piecewise } from '../piecewise.js';
import { byteLevelEncoders } from './bytelevel.js';
import { PieceTable, TokenKind } from './pieces.js';
import { sentencePieceEncoders } from './sentencepiece.js';
import { Tokenizer, type TokenizerParts } from './tokenizer.js';

/** Control tokens that end a turn or a text in the families that we know, for files that name none but `eos`. */
const endNames: ReadonlySet<string> = new Set([
  '<|eot_id|>',
  '<|eom_id|>',
  '<|im_end|>',
  '<|end|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '<|end_of_text|>',
]);

/**
 * The tokenizer of a GGUF file: SentencePiece BPE (`tokenizer.ggml.model` "llama") or byte-level BPE ("gpt2").
 * @throws PagewarpError ERR_INVALID_MODEL when the vocabulary contradicts itself, ERR_UNSUPPORTED for other kinds
 */
export function tokenizerFromGguf(file: GgufFile): Tokenizer {
  checkInstance('file', file, GgufFile);
  return atOnce(ggufTokenizer(file));
}

/** {@link tokenizerFromGguf}, in pieces. */
export function* ggufTokenizer(file: GgufFile): Piecewise<Tokenizer> {
  const model = file.string('tokenizer.ggml.model');
  if (model === undefined) throw invalid(file, 'it has no vocabulary ("tokenizer.ggml.model" is missing)');
  const pieces = yield* file.stringsInPieces('tokenizer.ggml.tokens');
  if (!pieces || pieces.length === 0) throw invalid(file, '"tokenizer.ggml.tokens" is missing or empty');
  const kinds = file.numbers('tokenizer.ggml.token_type') ?? new Uint8Array(pieces.length).fill(TokenKind.Normal);
  checkLength(file, 'tokenizer.ggml.token_type', kinds.length, pieces.length);
  if (model === 'llama') return new Tokenizer(yield* sentencePieceParts(file, pieces, kinds));
  if (model === 'gpt2') return new Tokenizer(yield* byteLevelParts(file, pieces, kinds));
  throw unsupported(
    `the tokenizer model "${model}" of ${file.path}`,
    'llama (SentencePiece BPE), gpt2 (byte-level BPE)',
  );
}

function* sentencePieceParts(file: GgufFile, pieces: string[], kinds: ArrayLike<number>): Piecewise<TokenizerParts> {
  const scores = file.numbers('tokenizer.ggml.scores');
  if (!scores) throw invalid(file, '"tokenizer.ggml.scores" is missing');
  checkLength(file, 'tokenizer.ggml.scores', scores.length, pieces.length);
  const nan = scores.findIndex(Number.isNaN);
  if (nan >= 0) throw invalid(file, `the score of token ${nan} is not a number`);
  const addSpacePrefix = file.boolean('tokenizer.ggml.add_space_prefix') ?? true;
  const unknownToken = token(file, 'unknown', pieces) ?? (kinds[0] === TokenKind.Unknown ? 0 : undefined);
  return {
    table: new PieceTable(pieces, kinds, 'sentencepiece'),
    encoders: yield* sentencePieceEncoders({ pieces, scores, kinds, unknownToken, addSpacePrefix }),
    stripsSpace: addSpacePrefix,
    ...common(file, pieces, kinds, true),
  };
}

function* byteLevelParts(file: GgufFile, pieces: string[], kinds: ArrayLike<number>): Piecewise<TokenizerParts> {
  const pre = file.string('tokenizer.ggml.pre') ?? 'default';
  return {
    table: new PieceTable(pieces, kinds, 'byte-level'),
    encoders: yield* byteLevelEncoders({ pieces, kinds, pre, merges: (add) => mergesOf(file, add) }),
    stripsSpace: false,
    ...common(file, pieces, kinds, false),
  };
}

function* mergesOf(file: GgufFile, add: (left: string, right: string, rank: number) => void): Piecewise<void> {
  const areThere = yield* file.eachString('tokenizer.ggml.merges', (line, rank) => {
    const space = line.indexOf(' ', 1);
    if (space < 0 || space === line.length - 1) {
      throw invalid(file, `merge ${rank} is not two tokens with a space between`);
    }
    add(line.slice(0, space), line.slice(space + 1), rank);
  });
  if (!areThere) throw invalid(file, '"tokenizer.ggml.merges" is missing');
}

function common(
  file: GgufFile,
  pieces: readonly string[],
  kinds: ArrayLike<number>,
  beginsByDefault: boolean,
): Pick<TokenizerParts, 'prefix' | 'suffix' | 'bosToken' | 'eosToken' | 'endTokens' | 'chatTemplate'> {
  const bosToken = token(file, 'bos', pieces);
  const eosToken = token(file, 'eos', pieces);
  const addBos = file.boolean('tokenizer.ggml.add_bos_token') ?? beginsByDefault;
  const addEos = file.boolean('tokenizer.ggml.add_eos_token') ?? false;
  const ends = new Set([eosToken, token(file, 'eot', pieces), token(file, 'eom', pieces)]);
  for (const [id, piece] of pieces.entries()) {
    if (kinds[id] === TokenKind.Control && endNames.has(piece)) ends.add(id);
  }
  ends.delete(undefined);
  return {
    prefix: addBos && bosToken !== undefined ? [bosToken] : [],
    suffix: addEos && eosToken !== undefined ? [eosToken] : [],
    bosToken,
    eosToken,
    endTokens: [...(ends as Set<number>)],
    chatTemplate: file.string('tokenizer.chat_template'),
  };
}

function token(file: GgufFile, name: string, pieces: readonly string[]): number | undefined {
  const key = `tokenizer.ggml.${name}_token_id`;
  const id = file.number(key);
  // Some writers say 2^32 - 1 where there is no such token.
  if (id === undefined || id === 0xffffffff) return undefined;
  if (!Number.isInteger(id) || id < 0 || id >= pieces.length) {
    throw invalid(file, `"${key}" is ${id}, but the vocabulary has ${pieces.length} tokens`);
  }
  return id;
}

function checkLength(file: GgufFile, key: string, length: number, tokens: number): void {
  if (length !== tokens) throw invalid(file, `"${key}" has ${length} entries for ${tokens} tokens`);
}

function invalid(file: GgufFile, what: string): PagewarpError {
  return new PagewarpError('ERR_INVALID_MODEL', `${file.path}: ${what}`, { path: file.path });
}
