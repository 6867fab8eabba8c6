// SPDX-License-Identifier: Apache-2.0
/** Drafters that are a part of the model or heads on it, and what they have computed, for tests on any device. */
import { vi } from 'vitest';
import {
  type Draft,
  type Drafter,
  type DraftHeads,
  type GenerateOptions,
  type LanguageModel,
  selfSpeculation,
  type TokenSequence,
} from '../../lib/index.js';
import { LlamaRunner } from '../../lib/model/llama.js';
import { native } from '../../lib/native.js';
import { HeadSteps } from '../../lib/speculate/heads/headsteps.js';
import { sequencesOf } from '../support/batches.js';

/** Drafters of their own for generations of one model of at least two layers. */
export function partDrafters(
  heads: () => Record<'medusa' | 'hydra' | 'eagle', DraftHeads>,
): Record<string, { make: () => Drafter; options?: GenerateOptions }> {
  return {
    'the first layers': { make: () => selfSpeculation({ exitLayer: 1, maxDraft: 4 }) },
    'fewer layers, as far as they are sure': {
      make: () => selfSpeculation({ skipLayers: [1], maxDraft: 6, confidence: 1e-6 }),
      options: { temperature: 1.1 },
    },
    'a window': { make: () => selfSpeculation({ window: 6, sinkTokens: 2, maxDraft: 3 }) },
    'Medusa heads': { make: () => heads().medusa.drafter({ width: 3, maxDraft: 9 }) },
    'Hydra heads': { make: () => heads().hydra.drafter({ width: 3, maxDraft: 9 }) },
    'Hydra heads beside sampling': {
      make: () => heads().hydra.drafter({ width: 2, maxDraft: 6 }),
      options: { temperature: 0.9 },
    },
    'an EAGLE head': { make: () => heads().eagle.drafter({ width: 2, maxDraft: 6, depth: 3 }) },
  };
}

/** What a generation gives, and every draft that was verified for it. */
export async function draftedOutcome(
  model: LanguageModel,
  prompt: readonly number[],
  make: () => Drafter,
  options: GenerateOptions,
): Promise<{ tokens: number[]; drafts: Pick<Draft, 'tokens' | 'parents'>[] }> {
  using drafter = make();
  const drafts: Pick<Draft, 'tokens' | 'parents'>[] = [];
  const observe = drafter.observe.bind(drafter);
  vi.spyOn(drafter, 'observe').mockImplementation((outcome) => {
    const { tokens, parents } = outcome.draft;
    drafts.push({ tokens, ...(parents ? { parents } : {}) });
    observe(outcome);
  });
  const all = { ignoreEnd: true, adaptive: false, ...options, speculate: drafter };
  const { tokens } = await model.generate([...prompt], all).complete();
  return { tokens, drafts };
}

export interface DraftingWork {
  /** Steps of parts of the model and of heads that have made drafts: in each, the generations that had a part in it. */
  steps: number[];
  /** Linear layers of heads. */
  linears: number;
}

/** What drafting takes while something runs, where steps wait for all drafts, however busy the machine is: no time passes. */
export async function draftingWork<T>(run: () => Promise<T>): Promise<{ result: T } & DraftingWork> {
  const work: DraftingWork = { steps: [], linears: 0 };
  const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now());
  const { forward } = LlamaRunner.prototype;
  const forwards = vi.spyOn(LlamaRunner.prototype, 'forward').mockImplementation(function (this: LlamaRunner, ...args) {
    if (args[3]?.layers || args[3]?.inputs) work.steps.push(sequencesOf(args[0]));
    return forward.apply(this, args);
  });
  const linears = vi.spyOn(native(), 'linear');
  const heads = HeadSteps.prototype as unknown as { enqueue(parts: unknown[], show: unknown): void };
  const { enqueue } = heads;
  const ofHeads = vi.spyOn(heads, 'enqueue').mockImplementation(function (this: unknown, ...args) {
    const before = linears.mock.calls.length;
    work.steps.push(args[0].length);
    enqueue.apply(this, args);
    work.linears += linears.mock.calls.length - before;
  });
  try {
    return { result: await run(), ...work };
  } finally {
    for (const spy of [clock, forwards, linears, ofHeads]) spy.mockRestore();
  }
}

/** How a generation may end while it drafts. */
export const waysToEnd = ['return', 'abort', 'dispose the sequence', 'dispose the drafter'] as const;

/**
 * Ends a generation in mid-draft, so many turns after its second token was there, and waits for what runs beside it.
 * @returns that, and the generation's steps, which are still to be returned
 */
export async function endInMidDraft<T>(
  model: LanguageModel,
  { sequence, drafter, prompt }: { sequence: TokenSequence; drafter: Drafter; prompt: readonly number[] },
  way: (typeof waysToEnd)[number],
  after: number,
  running: Promise<T>,
): Promise<{ beside: T; steps: AsyncGenerator<unknown, void, void> }> {
  const controller = new AbortController();
  const { signal } = controller;
  const options = { maxTokens: 30, ignoreEnd: true, adaptive: false, sequence, signal, speculate: drafter };
  const steps = model.generate(prompt, options)[Symbol.asyncIterator]();
  await steps.next();
  await steps.next();
  const next = steps.next();
  next.catch(() => {});
  for (let i = 0; i < after; i++) await (after % 3 === 0 ? new Promise(setImmediate) : undefined);
  if (way === 'return') await steps.return();
  if (way === 'abort') controller.abort(new Error('enough'));
  if (way === 'dispose the sequence') sequence.dispose();
  if (way === 'dispose the drafter') drafter.dispose();
  const beside = await running;
  await next.catch(() => {});
  return { beside, steps };
}
