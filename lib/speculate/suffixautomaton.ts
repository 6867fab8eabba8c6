// SPDX-License-Identifier: Apache-2.0

/**
 * The suffix automaton of a text of tokens (Blumer et al., 1985): every substring is a path from state 0. Built token by token
 * in amortised constant time.
 */
export class SuffixAutomaton {
  readonly #text: number[] = [];
  /** Of each state: the length of its longest string, the state of its longest suffix elsewhere, where it ended last. */
  readonly #lengths: number[] = [0];
  readonly #links: number[] = [-1];
  readonly #ends: number[] = [-1];
  readonly #next: Map<number, number>[] = [new Map()];
  #last = 0;

  get text(): readonly number[] {
    return this.#text;
  }

  append(token: number): void {
    const end = this.#text.push(token) - 1;
    const added = this.#addState((this.#lengths[this.#last] as number) + 1, 0, end, new Map());
    let state = this.#last;
    while (state >= 0 && !this.#edges(state).has(token)) {
      this.#edges(state).set(token, added);
      state = this.#links[state] as number;
    }
    if (state >= 0) this.#links[added] = this.#splitIfNeeded(state, token);
    this.#last = added;
    // Recent occurrences are better guesses. The longest suffixes decide, so the others may keep an older end.
    let suffix = this.#links[added] as number;
    for (let hops = 0; suffix > 0 && hops < 16; hops++, suffix = this.#links[suffix] as number)
      this.#ends[suffix] = end;
  }

  /** Follows `token` from a match: the longest suffix of what was followed so far, and the token, that occurs in the text. */
  follow(match: SuffixMatch, token: number): SuffixMatch {
    let { state, length } = match;
    // The text may have grown since, and a shorter string have become a state of its own.
    while (state > 0 && length <= (this.#lengths[this.#links[state] as number] as number))
      state = this.#links[state] as number;
    while (state > 0 && !this.#edges(state).has(token)) {
      state = this.#links[state] as number;
      length = this.#lengths[state] as number;
    }
    const next = this.#edges(state).get(token);
    if (next === undefined) return noMatch;
    return { state: next, length: length + 1, end: this.#ends[next] as number };
  }

  #edges(state: number): Map<number, number> {
    return this.#next[state] as Map<number, number>;
  }

  #addState(length: number, link: number, end: number, edges: Map<number, number>): number {
    this.#lengths.push(length);
    this.#links.push(link);
    this.#ends.push(end);
    return this.#next.push(edges) - 1;
  }

  /** The state of the longest string of `state` followed by `token`, on its own. */
  #splitIfNeeded(state: number, token: number): number {
    const target = this.#edges(state).get(token) as number;
    const length = (this.#lengths[state] as number) + 1;
    if (this.#lengths[target] === length) return target;
    const link = this.#links[target] as number;
    const clone = this.#addState(length, link, this.#ends[target] as number, new Map(this.#edges(target)));
    this.#links[target] = clone;
    for (let s = state; s >= 0 && this.#edges(s).get(token) === target; s = this.#links[s] as number) {
      this.#edges(s).set(token, clone);
    }
    return clone;
  }
}

/** A suffix that occurs in an automaton's text. */
export interface SuffixMatch {
  state: number;
  length: number;
  /** Index of the last token of an occurrence. */
  end: number;
}

export const noMatch: SuffixMatch = { state: 0, length: 0, end: -1 };
