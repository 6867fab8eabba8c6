// SPDX-License-Identifier: Apache-2.0
/** Speculative sampling over a chain, for tests: what it must give, and a verifier in which mistakes can be planted. */
import { chiSquaredPValue } from '../support/statistics.js';

export type Distribution = ArrayLike<number>;

/** What the models say after the tokens emitted so far. */
export type Row = (prefix: readonly number[]) => Distribution;

export interface ChainScenario {
  /** Drafted tokens. */
  length: number;
  target: Row;
  draft: Row;
}

/** Rows that depend on the position only. `target` has one more than `draft`. */
export function fixedRows(target: readonly Distribution[], draft: readonly Distribution[]): ChainScenario {
  return {
    length: draft.length,
    target: (prefix) => target[prefix.length] as Distribution,
    draft: (prefix) => draft[prefix.length] as Distribution,
  };
}

/** Σ_x min(p(x), q(x)): the chance that a token drawn from q is accepted. */
export function acceptance(p: Distribution, q: Distribution): number {
  let sum = 0;
  for (let x = 0; x < p.length; x++) sum += Math.min(p[x] as number, q[x] as number);
  return sum;
}

/** Mean and variance of the number of accepted tokens, from the chances that at least j are. */
export function momentsOf(reached: readonly number[]): { mean: number; variance: number } {
  const mean = reached.reduce((sum, chance) => sum + chance, 0);
  const square = reached.reduce((sum, chance, j) => sum + (2 * j + 1) * chance, 0);
  return { mean, variance: Math.max(0, square - mean * mean) };
}

/** Chances that at least 1, 2, ... tokens are accepted, for rows that depend on the position only: products of acceptances. */
export function chancesOfFixed({ length, target, draft }: ChainScenario): number[] {
  const chances: number[] = [];
  const prefix: number[] = [];
  for (let chance = 1; prefix.length < length; prefix.push(0)) {
    chance *= acceptance(target(prefix), draft(prefix));
    chances.push(chance);
  }
  return chances;
}

/** The same by enumerating every accepted path. */
export function chancesByPath({ length, target, draft }: ChainScenario): number[] {
  const chances = new Array<number>(length).fill(0);
  const visit = (prefix: number[], weight: number): void => {
    if (prefix.length === length || weight === 0) return;
    const p = target(prefix);
    const q = draft(prefix);
    for (let x = 0; x < p.length; x++) {
      const next = weight * Math.min(p[x] as number, q[x] as number);
      chances[prefix.length] = (chances[prefix.length] as number) + next;
      visit([...prefix, x], next);
    }
  };
  visit([], 1);
  return chances;
}

/** What a series of trials of one scenario gave. */
export class Tally {
  readonly first: Float64Array;
  /** Pairs of the first two emitted tokens, row-major. */
  readonly pairs: Float64Array;
  trials = 0;
  accepted = 0;

  constructor(vocabulary: number) {
    this.first = new Float64Array(vocabulary);
    this.pairs = new Float64Array(vocabulary * vocabulary);
  }

  /** @param second the second emitted token, from this step or from the one after it */
  add(first: number, second: number, accepted: number): void {
    const pair = first * this.first.length + second;
    this.first[first] = (this.first[first] as number) + 1;
    this.pairs[pair] = (this.pairs[pair] as number) + 1;
    this.accepted += accepted;
    this.trials++;
  }

  /**
   * Adds what one verification of many drafts gave.
   * @param tokens [trials, columns]: emitted tokens
   * @param accepted so many of each, of which at most `most` count
   * @param continued what came in the next step, of those in turn of which only one was emitted
   */
  addAll(tokens: Int32Array, accepted: Int32Array, continued: Int32Array, most: number): void {
    const columns = tokens.length / accepted.length;
    for (let trial = 0, at = 0, next = 0; trial < accepted.length; trial++, at += columns) {
      const kept = accepted[trial] as number;
      const second = (kept > 0 ? tokens[at + 1] : continued[next++]) as number;
      this.add(tokens[at] as number, second, Math.min(kept, most));
    }
  }
}

export interface Verdict {
  /** p-values of the first emitted token, and of the first two together, against the target's chain. */
  first: number;
  pairs: number;
  /** Standard errors between the mean number of accepted tokens and what theory says. */
  sigmas: number;
}

/** The statistics that both the kernels and the planted mistakes are judged by. */
export function judge(tally: Tally, scenario: ChainScenario, chances: readonly number[]): Verdict {
  const { mean, variance } = momentsOf(chances);
  const error = Math.abs(tally.accepted / tally.trials - mean);
  const deviation = Math.sqrt(variance / tally.trials);
  const first = Float64Array.from(scenario.target([]));
  const pairs = Array.from(first).flatMap((p, x) => Array.from(scenario.target([x]), (next) => p * next));
  return {
    first: chiSquaredPValue(tally.first, first),
    pairs: chiSquaredPValue(tally.pairs, pairs),
    sigmas: deviation > 1e-9 ? error / deviation : error < 1e-9 ? 0 : Number.POSITIVE_INFINITY,
  };
}

export function isLossless({ first, pairs, sigmas }: Verdict): boolean {
  return first > 1e-6 && pairs > 1e-6 && sigmas < 5;
}

/** Mistakes that real verifiers have had. */
export type Mistake =
  | 'none'
  /** The coin that rejected the token draws its replacement. */
  | 'reused coin'
  /** The replacement is drawn from p, not from the residual. */
  | 'no residual'
  /** The residual's inverse transform forgets that it does not sum to one: what is left over goes to the last token. */
  | 'unnormalised residual'
  /** The draft was truncated, but the ratio is taken with the untruncated q. */
  | 'top-p on the draft only'
  /** The token after a fully accepted draft comes from the row before. */
  | 'off-by-one bonus'
  /** The first drafted token is taken on trust. */
  | 'first token unverified'
  /** A drafted token is accepted whenever p(x) > 0: the draft's probabilities are ignored. */
  | 'draft probabilities ignored';

/** One trial of speculative sampling by the definition, over fixed rows. */
export function simulateTrial(
  { length, target, draft }: ChainScenario,
  mistake: Mistake,
  random: () => number,
): { tokens: number[]; accepted: number } {
  const tokens: number[] = [];
  for (let j = 0; j < length; j++) {
    const p = target(tokens);
    const q = draft(tokens);
    const x = drawFrom(mistake === 'top-p on the draft only' ? truncated(q, 0.6) : q, random());
    const coin = random();
    const ignored = mistake === 'draft probabilities ignored' && (p[x] as number) > 0;
    const trusted = mistake === 'first token unverified' && j === 0;
    if (ignored || trusted || coin * (q[x] as number) < (p[x] as number)) {
      tokens.push(x);
      continue;
    }
    const replacing = mistake === 'reused coin' ? coin : random();
    if (mistake === 'no residual') {
      tokens.push(drawFrom(p, replacing));
    } else {
      const residual = Float64Array.from(p, (value, i) => Math.max(0, value - (q[i] as number)));
      const sum = mistake === 'unnormalised residual' ? 1 : residual.reduce((a, b) => a + b, 0);
      tokens.push(drawFrom(residual, replacing, sum));
    }
    return { tokens, accepted: j };
  }
  const bonus = target(mistake === 'off-by-one bonus' ? tokens.slice(1) : tokens);
  return { tokens: [...tokens, drawFrom(bonus, random())], accepted: length };
}

/** Inverse transform; beyond the end, the last token of the support. */
export function drawFrom(weights: Distribution, uniform: number, total = 1): number {
  let left = uniform * total;
  let last = 0;
  for (let x = 0; x < weights.length; x++) {
    if (!((weights[x] as number) > 0)) continue;
    last = x;
    if (left < (weights[x] as number)) break;
    left -= weights[x] as number;
  }
  return last;
}

function truncated(q: Distribution, share: number): Float64Array {
  const order = Array.from({ length: q.length }, (_, x) => x).sort((a, b) => (q[b] as number) - (q[a] as number));
  const kept = new Float64Array(q.length);
  let sum = 0;
  for (const x of order) {
    if (sum >= share) break;
    kept[x] = q[x] as number;
    sum += q[x] as number;
  }
  return kept.map((value) => value / sum);
}

/** A quick generator for the simulations (mulberry32); its quality is checked by their passing when nothing is planted. */
export function quickRandom(seed: number): () => number {
  let state = seed | 0; // a small integer, which needs no memory of its own
  const word = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return () => (word() * 2097152 + (word() >>> 11) + 0.5) / 9007199254740992;
}
