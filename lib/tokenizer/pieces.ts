// SPDX-License-Identifier: Apache-2.0

/** What a token of a vocabulary is, with the numbers of `tokenizer.ggml.token_type`. */
export const TokenKind = { Normal: 1, Unknown: 2, Control: 3, UserDefined: 4, Unused: 5, Byte: 6 } as const;
export type TokenKind = (typeof TokenKind)[keyof typeof TokenKind];

/** How the text of a vocabulary's tokens stands for bytes. */
export type PieceEncoding = 'sentencepiece' | 'byte-level';

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

const utf8 = new TextEncoder();
const empty = new Uint8Array(0);

/** The character that SentencePiece writes for a space. */
export const metaspace = '\u2581';

/**
 * GPT-2's printable stand-ins for the 256 bytes: printable Latin-1 characters stand for themselves, the others for
 * U+0100 and up in rising order.
 */
const byteOfCharacter: ReadonlyMap<string, number> = (() => {
  const map = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    map.set(String.fromCodePoint(printable ? byte : next++), byte);
  }
  return map;
})();

/** A vocabulary's tokens as bytes: what the detokenizer joins. */
export class PieceTable {
  readonly pieces: readonly string[];
  readonly kinds: ArrayLike<number>;
  readonly #encoding: PieceEncoding;
  readonly #cache: (Uint8Array | undefined)[] = [];

  constructor(pieces: readonly string[], kinds: ArrayLike<number>, encoding: PieceEncoding) {
    this.pieces = pieces;
    this.kinds = kinds;
    this.#encoding = encoding;
  }

  get size(): number {
    return this.pieces.length;
  }

  /** Does the token stand for no text of its own (control and unknown tokens)? */
  isControl(id: number): boolean {
    const kind = this.kinds[id];
    return kind === TokenKind.Control || kind === TokenKind.Unknown;
  }

  /** The bytes that the token stands for; a control token's are those of its name. Empty for ids outside the vocabulary. */
  bytes(id: number): Uint8Array {
    this.#cache[id] ??= this.#decode(id);
    return this.#cache[id] as Uint8Array;
  }

  #decode(id: number): Uint8Array {
    const piece = this.pieces[id];
    if (piece === undefined) return empty;
    const kind = this.kinds[id];
    if (this.isControl(id) || kind === TokenKind.UserDefined) return utf8.encode(piece);
    if (this.#encoding === 'sentencepiece') {
      const byte = kind === TokenKind.Byte ? byteValue(piece) : undefined;
      return byte === undefined ? utf8.encode(piece.replaceAll(metaspace, ' ')) : Uint8Array.of(byte);
    }
    const bytes: number[] = [];
    for (const character of piece) {
      const byte = byteOfCharacter.get(character);
      if (byte === undefined) bytes.push(...utf8.encode(character));
      else bytes.push(byte);
    }
    return Uint8Array.from(bytes);
  }
}

/** 10 for "<0x0A>". */
export function byteValue(piece: string): number | undefined {
  const match = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece);
  return match ? Number.parseInt(match[1] as string, 16) : undefined;
}
