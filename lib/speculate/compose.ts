// SPDX-License-Identifier: Apache-2.0
import { invalidArgument, withAll } from '../errors.js';
import {
  type Draft,
  type Drafter,
  type DraftOutcome,
  type DraftTarget,
  type EnqueuedDraft,
  type FeatureSink,
  noDraft,
  parentsOf,
  sizeOf,
  type VerifiedChain,
} from './drafter.js';

/** What drafters made of drafters have in common. */
abstract class Composed implements Drafter {
  readonly drafters: readonly Drafter[];

  constructor(drafters: readonly Drafter[]) {
    for (const drafter of drafters) {
      if (typeof drafter?.draft !== 'function')
        throw invalidArgument('drafters', drafter, 'drafters such as promptLookup()');
    }
    this.drafters = drafters;
  }

  get topTokens(): number {
    return this.drafters.reduce((most, { topTokens = 0 }) => Math.max(most, topTokens), 0);
  }

  get features(): FeatureSink | undefined {
    const sinks = this.drafters.flatMap(({ features }) => features ?? []);
    if (sinks.length === 0) return undefined;
    return {
      take: (features, position) => {
        for (const sink of sinks) sink.take(features, position);
      },
    };
  }

  abstract draft(context: ArrayLike<number>, maxTokens: number, worth?: number): Promise<Draft>;

  observe(outcome: DraftOutcome): void {
    for (const drafter of this.drafters) drafter.observe(narrowed(outcome, this.topTokens, drafter.topTokens ?? 0));
  }

  reset(target?: DraftTarget): void {
    withAll(this.drafters, (drafter) => drafter.reset(target));
  }

  dispose(): void {
    withAll(this.drafters, (drafter) => drafter.dispose());
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** An outcome with fewer of the most probable tokens per row. */
function narrowed(outcome: DraftOutcome, have: number, want: number): DraftOutcome {
  const { top, ...rest } = outcome;
  if (!top || want === 0) return rest;
  return want === have ? outcome : { ...rest, top: top.filter((_, i) => i % have < want) };
}

class FirstOf extends Composed {
  async draft(context: ArrayLike<number>, maxTokens: number, worth?: number): Promise<Draft> {
    for (const drafter of this.drafters) {
      const draft = await drafter.draft(context, maxTokens, worth);
      if (draft.tokens.length > 0) return draft;
    }
    return noDraft;
  }

  async enqueue(
    context: ArrayLike<number>,
    maxTokens: number,
    worth: number,
    depth: number,
  ): Promise<Draft | EnqueuedDraft> {
    for (const drafter of this.drafters) {
      const enqueued = await drafter.enqueue?.(context, maxTokens, worth, depth);
      const draft = enqueued ?? (await drafter.draft(context, maxTokens, worth));
      if (sizeOf(draft) > 0) return draft;
    }
    return noDraft;
  }

  /**
   * Earlier ones cannot be asked: they must know the context. Where one of them has an idea of what follows the context so far, it may
   * have one again, and is waited for; and where drafts are drawn by chance, since what is drawn would depend on who drafts.
   */
  async follow(
    chain: VerifiedChain,
    maxTokens: number,
    worth: number,
    depth: number,
  ): Promise<EnqueuedDraft | undefined> {
    for (const drafter of this.drafters) {
      if (drafter.follow) return drafter.follow(chain, maxTokens, worth, depth);
      if (chain.isSampled) return undefined;
      const draft = await drafter.draft(chain.context, maxTokens, worth);
      if (draft.tokens.length > 0) return undefined;
    }
    return undefined;
  }
}

class Merged extends Composed {
  async draft(context: ArrayLike<number>, maxTokens: number, worth?: number): Promise<Draft> {
    const tokens: number[] = [];
    const parents: number[] = [];
    const places = new Map<string, number>();
    for (const drafter of this.drafters) {
      if (tokens.length >= maxTokens) break;
      const draft = await drafter.draft(context, maxTokens - tokens.length, worth);
      // What was drawn by chance must be judged as it was drawn.
      if (draft.source?.kind === 'sampled') return tokens.length > 0 ? { tokens, parents } : draft;
      const mapped: number[] = [];
      for (const [node, parent] of parentsOf(draft).entries()) {
        const above = parent < 0 ? -1 : (mapped[parent] as number);
        const token = draft.tokens[node] as number;
        const key = `${above}/${token}`;
        let place = places.get(key);
        if (place === undefined) {
          place = tokens.push(token) - 1;
          parents.push(above);
          places.set(key, place);
        }
        mapped.push(place);
      }
    }
    return tokens.length > 0 ? { tokens, parents } : noDraft;
  }
}

/**
 * Asks drafters in turn and takes the first draft there is: the cheapest or surest first (Hierarchy Drafting; Cho et al.,
 * 2025). All of them see every outcome. Disposing it disposes them.
 */
export function firstOf(...drafters: Drafter[]): Drafter {
  return new FirstOf(drafters);
}

/**
 * The drafts of several deterministic drafters as one tree, common beginnings once, until its room is used up. Disposing it
 * disposes them.
 */
export function merged(...drafters: Drafter[]): Drafter {
  return new Merged(drafters);
}
