// SPDX-License-Identifier: Apache-2.0
import { checkObject } from '../errors.js';
import { checkInteger, checkNumber } from '../ops/check.js';
import { type Draft, type Drafter, type DraftOutcome, type DraftTarget, parentsOf } from './drafter.js';

export interface LookaheadOptions {
  /** W: positions ahead that are guessed in parallel. Default 5. */
  window?: number;
  /** N: length of the n-grams that are collected, at least 2. 2 is plain Jacobi decoding's pace. Default 3. */
  ngram?: number;
  /** G: n-grams verified at once. Default 5. */
  guesses?: number;
}

/**
 * Lookahead decoding (Fu et al., ICML 2024): besides the text the target computes guesses for the next W positions, which
 * Jacobi iterations improve from pass to pass; their trajectories give n-grams, and those that begin with the last token are
 * verified. No draft model. Each pass has (N - 1) W + G (N - 1) further rows, at most 63, so it pays where rows are cheap.
 *
 * The window is a part of the draft tree: level 0 is a chain, level l of column c hangs below level l - 1 of that column. Being
 * nodes, its guesses are verified, too.
 * @throws PagewarpError ERR_INVALID_ARGUMENT
 */
export function lookahead(options: LookaheadOptions = {}): Drafter {
  checkObject('options', options);
  const { window = 5, ngram = 3, guesses = 5 } = options;
  checkInteger('window', window, 1, 31);
  checkInteger('ngram', ngram, 2, 31);
  checkInteger('guesses', guesses, 0, 31);
  const rows = (ngram - 1) * (window + guesses);
  checkNumber('(ngram - 1) (window + guesses)', rows, 'at most 63', (n) => n <= 63);
  return new Lookahead(window, ngram, guesses);
}

class Lookahead implements Drafter {
  readonly topTokens = 1;
  readonly #window: number;
  readonly #ngram: number;
  readonly #guesses: number;
  /** Of the n - 1 levels so far, the guess of each column; level 0 is the oldest. */
  #levels: number[][] = [];
  /** Most recent n-grams by first token, without it. */
  readonly #pool = new Map<number, number[][]>();
  #context: ArrayLike<number> = [];

  constructor(window: number, ngram: number, guesses: number) {
    this.#window = window;
    this.#ngram = ngram;
    this.#guesses = guesses;
  }

  draft(context: ArrayLike<number>, maxTokens: number): Draft {
    this.#context = context;
    if (this.#levels.length === 0) this.#levels = [this.#initialGuesses(context)];
    const tokens: number[] = [];
    const parents: number[] = [];
    const add = (token: number, parent: number): number => {
      parents.push(parent);
      return tokens.push(token) - 1;
    };
    for (const [level, row] of this.#levels.entries()) {
      for (const [column, token] of row.entries()) {
        add(token, this.#parent(level, column));
      }
    }
    const last = context[context.length - 1] as number;
    for (const rest of this.#pool.get(last) ?? []) {
      let parent = -1;
      for (const token of rest) parent = add(token, parent);
    }
    return tokens.length <= maxTokens ? { tokens, parents } : { tokens: [] };
  }

  observe({ draft, tokens: emitted, top }: DraftOutcome): void {
    if (top && this.#covers(draft)) this.#learn(top);
    // The window moves on with the text: columns that it has passed leave, new ones enter as guesses.
    const passed = Math.min(emitted.length - 1, this.#window);
    if (passed > 0) {
      const fresh = this.#initialGuesses(this.#context);
      this.#levels = this.#levels.map((row) => [...row.slice(passed), ...fresh.slice(0, passed)]);
    }
  }

  /** Are all guesses nodes of this draft? Not where it was cut short, or is another drafter's, or of several. */
  #covers(draft: Draft): boolean {
    const parents = parentsOf(draft);
    const has = (token: number, level: number, column: number): boolean => {
      const node = level * this.#window + column;
      return draft.tokens[node] === token && parents[node] === this.#parent(level, column);
    };
    return this.#levels.length > 0 && this.#levels.every((row, level) => row.every((token, c) => has(token, level, c)));
  }

  /** The node above a guess. */
  #parent(level: number, column: number): number {
    return level === 0 ? column - 1 : (level - 1) * this.#window + column;
  }

  #learn(top: Int32Array): void {
    const window = this.#window;
    const depth = this.#levels.length;
    // What the target says after the newest level is the next one.
    const newest = Array.from({ length: window }, (_, column) => top[1 + (depth - 1) * window + column] as number);
    for (let column = 0; column < window && depth === this.#ngram - 1; column++) {
      const gram = [...this.#levels.map((row) => row[column] as number), newest[column] as number];
      this.#remember(gram);
    }
    this.#levels.push(newest);
    if (depth === this.#ngram - 1) this.#levels.shift();
  }

  reset(_target?: DraftTarget): void {
    this.#levels = [];
    this.#pool.clear();
  }

  dispose(): void {
    this.reset();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Tokens of the text, spread over it: any would do. */
  #initialGuesses(context: ArrayLike<number>): number[] {
    return Array.from({ length: this.#window }, (_, column) => context[(column * 7919) % context.length] as number);
  }

  #remember(gram: number[]): void {
    const [first, ...rest] = gram as [number, ...number[]];
    const known = (this.#pool.get(first) ?? []).filter((other) => other.some((token, i) => token !== rest[i]));
    if (this.#guesses > 0) this.#pool.set(first, [rest, ...known].slice(0, this.#guesses));
  }
}
