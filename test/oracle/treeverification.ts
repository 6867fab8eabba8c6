// SPDX-License-Identifier: Apache-2.0
/** Verification of draft trees by the definitions, for tests: what it must give, and where mistakes can be planted. */
import { type Distribution, drawFrom, type Row } from './verification.js';

/** How siblings are chosen. */
export type Drawing = 'independent' | 'distinct' | 'deterministic';

export interface TreeScenario {
  /** -1: the last committed token. */
  parents: readonly number[];
  drawing: Drawing;
  rule: 'rejection' | 'k-seq' | 'block';
  /** By the tokens above a node. Deterministic siblings are the ranks of `draft`. */
  target: Row;
  draft: Row;
}

/** Mistakes that real verifiers have had, or nearly. */
export type TreeMistake =
  | 'none'
  /** All siblings are judged with one coin. */
  | 'reused coin'
  /** Each sibling is judged against p, as if none had been rejected. */
  | 'residual not updated'
  /** The residual is not scaled to sum to one. */
  | 'unnormalised residual'
  /** Siblings drawn without replacement are judged as independent draws. */
  | 'replacement ignored'
  /** Siblings are judged in order of the target's probability, not as they were drawn. */
  | 'sibling order'
  /** Equal siblings are judged once. */
  | 'duplicates merged'
  /** Drafted tokens with a small q are dropped after they were drawn. */
  | 'pruned by token'
  /** The last token comes from the row above. */
  | 'off-by-one bonus'
  /** The draft was truncated, but not the target that it is compared with: q is reported untruncated. */
  | 'top-p on the draft only'
  /** k-SEQ with the ratio 1. */
  | 'ratio of one'
  /** Block verification that draws its last token from the residual of token-wise verification. */
  | 'token-wise residual';

const at = (values: Distribution, i: number): number => values[i] as number;

function normalized(values: Distribution): Float64Array {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += at(values, i);
  const scaled = new Float64Array(values.length);
  for (let i = 0; i < values.length && total > 0; i++) scaled[i] = at(values, i) / total;
  return scaled;
}

function excess(p: Distribution, q: Distribution, keep = 1): Float64Array {
  const left = new Float64Array(p.length);
  for (let i = 0; i < p.length; i++) left[i] = Math.max(0, keep * at(p, i) - at(q, i));
  return left;
}

function rankAmongSiblings(parents: readonly number[], node: number): number {
  let rank = 0;
  for (let other = 0; other < node; other++) if (parents[other] === parents[node]) rank++;
  return rank;
}

function oneHot(size: number, token: number): Float64Array {
  const q = new Float64Array(size);
  q[token] = 1;
  return q;
}

function without(q: Distribution, token: number): Float64Array {
  const left = Float64Array.from(q);
  left[token] = 0;
  return normalized(left);
}

/** One trial by the definitions. */
export function simulateTree(
  scenario: TreeScenario,
  mistake: TreeMistake,
  random: () => number,
): { tokens: number[]; accepted: number } {
  const { parents, drawing } = scenario;
  const paths: number[][] = [];
  const children = (nodes: readonly number[]): number[] => {
    const found: number[] = [];
    for (let node = 0; node < parents.length; node++) if (nodes.includes(parents[node] as number)) found.push(node);
    return found;
  };
  for (const [node, parent] of parents.entries()) {
    const above = parent < 0 ? [] : (paths[parent] as number[]);
    let q = scenario.draft(above) as Distribution;
    if (mistake === 'top-p on the draft only') q = sharpened(q);
    if (drawing === 'distinct') {
      for (let sibling = 0; sibling < node; sibling++) {
        if (parents[sibling] === parent) q = without(q, (paths[sibling] as number[]).at(-1) as number);
      }
    }
    const token = drawing === 'deterministic' ? rankOf(q, rankAmongSiblings(parents, node)) : drawFrom(q, random());
    paths.push([...above, token]);
  }
  if (scenario.rule === 'block') return simulateBlock(scenario, paths.at(-1) ?? [], mistake, random);
  const token = (node: number): number => (paths[node] as number[]).at(-1) as number;
  let tokens: number[] = [];
  let nodes = [-1];
  for (;;) {
    const p = scenario.target(tokens);
    const q = scenario.draft(tokens);
    let candidates = children(nodes);
    if (mistake === 'sibling order') candidates.sort((a, b) => at(p, token(b)) - at(p, token(a)));
    if (mistake === 'duplicates merged') {
      candidates = candidates.filter((node, i) => candidates.findIndex((other) => token(other) === token(node)) === i);
    }
    if (mistake === 'pruned by token') candidates = candidates.filter((node) => at(q, token(node)) > 0.15);
    const judged =
      scenario.rule === 'k-seq'
        ? judgeAtOnce(p, q, candidates.map(token), mistake, random)
        : judgeInTurn(p, q, candidates.map(token), drawing, mistake, random);
    if (judged.accepted === undefined) {
      const off = mistake === 'off-by-one bonus' && candidates.length === 0 && tokens.length > 0;
      const left = off ? scenario.target(tokens.slice(0, -1)) : judged.left;
      return { tokens: [...tokens, drawFrom(left, random())], accepted: tokens.length };
    }
    const chosen = judged.accepted;
    tokens = [...tokens, chosen];
    nodes = candidates.filter((node) => token(node) === chosen);
  }
}

function judgeInTurn(
  p: Distribution,
  q: Distribution,
  tokens: readonly number[],
  drawing: Drawing,
  mistake: TreeMistake,
  random: () => number,
): { accepted?: number; left: Distribution } {
  let left = p;
  let drawn = q;
  const shared = random();
  for (const token of tokens) {
    const from = drawing === 'deterministic' ? oneHot(p.length, token) : drawn;
    const coin = mistake === 'reused coin' ? shared : random();
    const judge = mistake === 'residual not updated' ? p : left;
    if (coin * at(from, token) < at(judge, token)) return { accepted: token, left };
    const rest = excess(left, from);
    left = mistake === 'unnormalised residual' ? rest : normalized(rest);
    if (drawing === 'distinct' && mistake !== 'replacement ignored') drawn = without(drawn, token);
  }
  return { left };
}

/** The smallest ratio of k-SEQ, by bisection, and the chance that one candidate is accepted with it. */
export function transportRatio(p: Distribution, q: Distribution, k: number): { ratio: number; one: number } {
  const one = (ratio: number): number =>
    Math.min(
      1,
      Array.from(q).reduce((sum, x, i) => sum + Math.min(x, at(p, i) / ratio), 0),
    );
  let low = 1;
  let ratio = 1;
  if (1 - (1 - one(1)) ** k > one(1) * (1 + 1e-9)) {
    ratio = k;
    for (let step = 0; step < 60; step++) {
      const middle = (low + ratio) / 2;
      if (1 - (1 - one(middle)) ** k <= middle * one(middle)) ratio = middle;
      else low = middle;
    }
  }
  return { ratio, one: one(ratio) };
}

function judgeAtOnce(
  p: Distribution,
  q: Distribution,
  tokens: readonly number[],
  mistake: TreeMistake,
  random: () => number,
): { accepted?: number; left: Distribution } {
  if (tokens.length === 0) return { left: p };
  const { ratio, one } = transportRatio(p, q, tokens.length);
  const used = mistake === 'ratio of one' ? 1 : ratio;
  for (const token of tokens) if (random() * at(q, token) * used < at(p, token)) return { accepted: token, left: p };
  const take = one > 0 ? (1 - (1 - one) ** tokens.length) / one : 0;
  return { left: normalized(Float64Array.from(p, (x, i) => Math.max(0, x - take * Math.min(at(q, i), x / ratio)))) };
}

/** Chances that the prefixes of one drafted chain are kept: of block verification's coins, by length. */
function blockCoins({ target, draft }: TreeScenario, path: readonly number[]): { reach: number[]; chances: number[] } {
  const reach = [1];
  const chances = [1];
  for (let i = 1; i <= path.length; i++) {
    const above = path.slice(0, i - 1);
    const token = path[i - 1] as number;
    const now = Math.min(1, ((reach[i - 1] as number) * at(target(above), token)) / at(draft(above), token));
    reach.push(now);
    const here = path.slice(0, i);
    const missing = i < path.length ? excess(target(here), draft(here), now).reduce((a, b) => a + b, 0) : now;
    const doubt = i < path.length ? missing + 1 - now : 1;
    chances.push(doubt > 0 ? missing / doubt : 0);
  }
  return { reach, chances };
}

function simulateBlock(
  scenario: TreeScenario,
  path: readonly number[],
  mistake: TreeMistake,
  random: () => number,
): { tokens: number[]; accepted: number } {
  const { reach, chances } = blockCoins(scenario, path);
  let kept = 0;
  for (let i = 1; i <= path.length; i++) if (random() < (chances[i] as number)) kept = i;
  const here = path.slice(0, kept);
  const p = scenario.target(here);
  const keep = mistake === 'token-wise residual' ? 1 : (reach[kept] as number);
  const left = kept === path.length ? p : normalized(excess(p, scenario.draft(here), keep));
  return { tokens: [...here, drawFrom(left, random())], accepted: kept };
}

/** The chance that block verification keeps at least one token, by enumerating the drafts. */
export function blockChance(scenario: TreeScenario): number {
  const length = scenario.parents.length;
  const visit = (path: number[], weight: number): number => {
    if (weight === 0) return 0;
    if (path.length === length) {
      const none = blockCoins(scenario, path)
        .chances.slice(1)
        .reduce((product, chance) => product * (1 - chance), 1);
      return weight * (1 - none);
    }
    const q = scenario.draft(path);
    return Array.from(q).reduce((sum, x, token) => sum + visit([...path, token], weight * x), 0);
  };
  return visit([], 1);
}

/** The chance that a child of the root is accepted. */
export function firstLevelChance(scenario: TreeScenario): number {
  const { parents, drawing, rule } = scenario;
  if (rule === 'block') return blockChance(scenario);
  const [p, q] = [scenario.target([]), scenario.draft([])];
  const k = parents.filter((parent) => parent < 0).length;
  if (rule === 'k-seq') return 1 - (1 - transportRatio(p, q, k).one) ** k;
  if (drawing === 'deterministic') {
    return Array.from({ length: k }, (_, rank) => at(p, rankOf(q, rank))).reduce((a, b) => a + b, 0);
  }
  const visit = (left: Distribution, from: Distribution, remaining: number): number => {
    if (remaining === 0) return 0;
    const rest = normalized(excess(left, from));
    let chance = 0;
    for (let x = 0; x < from.length; x++) {
      const drawn = at(from, x);
      if (drawn <= 0) continue;
      const accepted = Math.min(drawn, at(left, x));
      chance += accepted;
      if (drawn > accepted) {
        chance += (drawn - accepted) * visit(rest, drawing === 'distinct' ? without(from, x) : from, remaining - 1);
      }
    }
    return chance;
  };
  return visit(p, q, k);
}

/** The token of rank `rank` in q: larger first, lower id first among equals. */
export function rankOf(q: Distribution, rank: number): number {
  const order = Array.from({ length: q.length }, (_, x) => x).sort((a, b) => at(q, b) - at(q, a) || a - b);
  return order[rank] as number;
}

/** q without its less probable half. */
function sharpened(q: Distribution): Float64Array {
  const cut = rankOf(q, Math.ceil(q.length / 2) - 1);
  return normalized(Float64Array.from(q, (x) => (x >= at(q, cut) ? x : 0)));
}
