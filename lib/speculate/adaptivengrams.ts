// SPDX-License-Identifier: Apache-2.0
import { checkObject } from '../errors.js';
import { checkInteger } from '../ops/check.js';
import { ContextReader } from './context.js';
import { type Draft, type Drafter, largestDraft, noDraft } from './drafter.js';
import { TreeGrowth } from './tree.js';

export interface AdaptiveNgramOptions {
  /** Token ids of texts to learn from beforehand. */
  corpus?: Iterable<ArrayLike<number>>;
  /** Most nodes, 1 to 256. Default 16. */
  maxDraft?: number;
  /** Most levels. Default 6. */
  depth?: number;
}

/** What a two-token history counts beside a one-token one. */
const trigramWeight = 4;
/** Children looked at per node. */
const width = 4;

/** Counts of what followed. */
class Counts {
  total = 0;
  readonly #tokens = new Map<number, number>();

  add(token: number): void {
    this.total++;
    this.#tokens.set(token, (this.#tokens.get(token) ?? 0) + 1);
  }

  get(token: number): number {
    return this.#tokens.get(token) ?? 0;
  }

  tokens(): IterableIterator<number> {
    return this.#tokens.keys();
  }
}

/**
 * Drafts trees from tri-gram statistics that adapt as the text grows (after ADED; Liu et al., 2024, whose tree search this
 * replaces by the tree of the largest probabilities). What was learnt is kept over generations.
 * @throws PagewarpError ERR_INVALID_ARGUMENT
 */
export function adaptiveNgrams(options: AdaptiveNgramOptions = {}): Drafter {
  checkObject('options', options);
  const { maxDraft = 16, depth = 6 } = options;
  checkInteger('maxDraft', maxDraft, 1, largestDraft);
  checkInteger('depth', depth, 1);
  const drafter = new AdaptiveNgrams(maxDraft, depth);
  for (const text of options.corpus ?? []) drafter.learn(text);
  return drafter;
}

class AdaptiveNgrams implements Drafter {
  readonly #maxDraft: number;
  readonly #depth: number;
  readonly #reader = new ContextReader();
  readonly #bigrams = new Map<number, Counts>();
  readonly #trigrams = new Map<string, Counts>();

  constructor(maxDraft: number, depth: number) {
    this.#maxDraft = maxDraft;
    this.#depth = depth;
  }

  /** Counts a whole text. */
  learn(text: ArrayLike<number>): void {
    for (let i = 0; i < text.length; i++) this.#count(text, i);
  }

  draft(context: ArrayLike<number>, maxTokens: number, worth = 0): Draft {
    this.#reader.update(
      context,
      (_, index) => this.#count(context, index),
      () => {},
    );
    const growth = new TreeGrowth();
    const nodes = Math.min(maxTokens, this.#maxDraft);
    const [before, last] = [context[context.length - 2] ?? -1, context[context.length - 1] as number];
    let level = [{ node: -1, chance: 1, before, last }];
    for (let depth = 0; depth < this.#depth && level.length > 0; depth++) {
      const next: typeof level = [];
      for (const { node, chance, before, last } of level) {
        for (const [token, share] of this.#successors(before, last)) {
          const reached = chance * share;
          if (reached <= Math.max(worth, 0.02)) continue;
          const added = growth.offer({ token, parent: node, priority: reached, chance: reached });
          next.push({ node: added, chance: reached, before: last, last: token });
        }
      }
      level = next.sort((a, b) => b.chance - a.chance).slice(0, nodes);
    }
    const { draft } = growth.best(nodes, worth);
    return draft.tokens.length > 0 ? draft : noDraft;
  }

  observe(): void {}

  reset(): void {
    this.#reader.reset();
  }

  dispose(): void {
    this.#bigrams.clear();
    this.#trigrams.clear();
    this.reset();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #count(text: ArrayLike<number>, index: number): void {
    const token = text[index] as number;
    if (index < 1) return;
    const last = text[index - 1] as number;
    entry(this.#bigrams, last).add(token);
    if (index > 1) entry(this.#trigrams, `${text[index - 2]},${last}`).add(token);
  }

  /** The most probable successors, both histories weighed by how much they have seen. */
  #successors(before: number, last: number): [token: number, share: number][] {
    const two = this.#trigrams.get(`${before},${last}`);
    const one = this.#bigrams.get(last);
    if (!one) return [];
    const total = one.total + trigramWeight * (two?.total ?? 0) + 1; // one for what has not been seen
    const shares = Array.from(one.tokens(), (token): [number, number] => {
      return [token, (one.get(token) + trigramWeight * (two?.get(token) ?? 0)) / total];
    });
    return shares.sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, width);
  }
}

function entry<K>(map: Map<K, Counts>, key: K): Counts {
  let counts = map.get(key);
  if (!counts) {
    counts = new Counts();
    map.set(key, counts);
  }
  return counts;
}
