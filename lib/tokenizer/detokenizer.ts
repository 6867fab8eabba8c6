// SPDX-License-Identifier: Apache-2.0
import type { PieceTable } from './pieces.js';

export interface DetokenizerOptions {
  /** The token before the first one; its kind decides whether a leading space is the vocabulary's or the text's. */
  previous?: number;
  /** Write control tokens by name instead of dropping them. Default false. */
  special?: boolean;
}

/**
 * Turns tokens into text as they come. Text is held back while the bytes so far end inside a UTF-8 character, so that joining
 * the returned strings always gives what decoding all tokens at once gives; U+FFFD appears only where the bytes can no longer
 * become a character.
 */
export class Detokenizer {
  readonly #table: PieceTable;
  readonly #special: boolean;
  readonly #stripsSpace: boolean;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #atStart: boolean;

  /** @internal Use {@link Tokenizer.detokenizer}. */
  constructor(table: PieceTable, stripsSpace: boolean, options: DetokenizerOptions = {}) {
    this.#table = table;
    this.#special = options.special ?? false;
    this.#stripsSpace = stripsSpace;
    this.#atStart = options.previous === undefined || table.isControl(options.previous);
  }

  /** Takes one token and returns the text that is now certain, often one token's worth, sometimes none. */
  push(id: number): string {
    if (this.#table.isControl(id)) {
      // A control token ends whatever character was begun.
      const text = this.flush() + (this.#special ? new TextDecoder().decode(this.#table.bytes(id)) : '');
      this.#atStart = true;
      return text;
    }
    let bytes = this.#table.bytes(id);
    if (this.#atStart && this.#stripsSpace && bytes[0] === 0x20) bytes = bytes.subarray(1);
    this.#atStart = false;
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** The end: what was held back comes out, as U+FFFD where a character was cut. */
  flush(): string {
    return this.#decoder.decode();
  }
}
