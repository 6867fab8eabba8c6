// SPDX-License-Identifier: Apache-2.0
import { type LateBatch, lateBatch } from '../kv/late.js';
import type { LlamaRunner } from '../model/llama.js';
import { isPacked } from '../model/rows.js';
import type { StepOptions } from '../model/step.js';
import { joinTokens, type TokenPart } from '../model/tokens.js';
import { depthsOf, treeMask } from '../ops/treemask.js';
import { noDraft, sizeOf } from '../speculate/drafter.js';
import type { Tensor } from '../tensor/tensor.js';
import { draw } from './draw.js';
import type { Lane } from './lane.js';
import type { Proposal, Verified } from './proposal.js';
import type { Sampler } from './sampler.js';
import { runsOf, type Slots } from './slots.js';
import { groupOf, verifyDrafts } from './verification.js';

/** A lane's part in a step. Its sequence has room for the rows already. @internal */
export interface Entry {
  readonly lane: Lane;
  /** Rows of its prompt, or that of the token drawn last and of the nodes of a draft. */
  readonly rows: number;
  readonly isPrompt: boolean;
  /** Its next token is drawn after the last row, or its draft verified. */
  readonly draws: boolean;
  /** What is verified. The draft is empty where there is none, or none was left: then the token is drawn as in plain steps. */
  readonly proposal: Proposal | undefined;
}

/** What came of a step. @internal */
export interface StepOutcome {
  /** The tokens of those that drew some. */
  drawn: ReadonlyMap<Lane, Verified>;
  /** Those whose draft cannot be judged by the rule that was wanted. */
  failed?: ReadonlyMap<Lane, unknown>;
  /** What was wrong: with the data of lanes that drew none, or, if all did, with the step. */
  error?: unknown;
}

/**
 * Enqueues one step of the model for all entries, the verification of their drafts and the drawing of their tokens.
 * @throws PagewarpError whatever kept it from being enqueued; the sequences are as they were before
 * @internal
 */
export function enqueueStep(runner: LlamaRunner, slots: Slots, entries: Entry[]): Promise<StepOutcome> {
  const { stream } = runner;
  if (entries.length > 1) inOrder(entries, slots);
  try {
    const logits = enqueueForward(runner, entries);
    if (!logits) return stream.synchronize().then(() => ({ drawn: new Map() }));
    const drafting = entries.filter(hasDraft);
    if (drafting.length === 0) return drawTokens(runner, logits, entries, 0);
    const verifying = verifyAll(runner, logits, drafting);
    verifying.catch(() => {}); // what follows may throw
    if (!entries.some((entry) => entry.draws && !hasDraft(entry))) return verifying;
    const rows = drafting.reduce((sum, entry) => sum + entry.rows, 0);
    return bothOf(verifying, drawTokens(runner, logits, entries.slice(drafting.length), rows));
  } catch (error) {
    for (const { lane, rows } of entries) {
      const { kv } = lane;
      if (!kv.isDisposed && !kv.cache.isDisposed) kv.truncate(kv.length - rows);
    }
    throw error;
  }
}

/** Nodes of the draft that it verifies. @internal */
export function nodesOf({ proposal }: Entry): number {
  return proposal ? sizeOf(proposal.draft) : 0;
}

/** Does it verify more than nothing? @internal */
export function hasDraft(entry: Entry): boolean {
  return nodesOf(entry) > 0;
}

/** Was it drafted as far as pays for all, and may be cut? @internal */
export function isAdaptive({ proposal }: Entry): boolean {
  return proposal?.acceptance !== undefined;
}

/**
 * Drafts come first, those together that one command verifies; then prompts; those that draw come last, and tokens that the device
 * knows in the order in which they lie there.
 */
function inOrder(entries: Entry[], slots: Slots): void {
  const keys = new Map<string, number>();
  const rank = (entry: Entry): number => {
    const { lane, isPrompt, draws, proposal } = entry;
    const place = slots.order(lane.sampler.slot);
    if (!proposal || !hasDraft(entry)) return isPrompt ? (draws ? -1 : -2) : place;
    const key = groupOf(lane.sampler, proposal) ?? `slot ${place}`;
    if (!keys.has(key)) keys.set(key, keys.size);
    return -1e9 + (keys.get(key) as number) * 1e6 + place;
  };
  const ranks = new Map(entries.map((entry) => [entry, rank(entry)]));
  entries.sort((a, b) => (ranks.get(a) as number) - (ranks.get(b) as number));
}

function verifyAll(runner: LlamaRunner, logits: Tensor<'f32'>, entries: readonly Entry[]): Promise<StepOutcome> {
  const requests = entries.map(({ lane, rows, proposal }) => {
    const { late } = proposal as Proposal;
    const position = late ? late.end - late.pending.drafted - rows : lane.kv.length - rows;
    return { sampler: lane.sampler, proposal: proposal as Proposal, position };
  });
  const rows = entries.reduce((sum, entry) => sum + entry.rows, 0);
  using own = logits.slice(0, 0, rows);
  const verifying = verifyDrafts(runner.stream, own, requests);
  showLogits(entries, logits, 0);
  return verifying.then(({ results, error }) => {
    const drawn = new Map<Lane, Verified>();
    const failed = new Map<Lane, unknown>();
    for (const [i, { lane }] of entries.entries()) {
      const result = results[i];
      if (result?.verified) drawn.set(lane, result.verified);
      if (result?.error) failed.set(lane, result.error);
    }
    return { drawn, failed, ...(error ? { error } : {}) };
  });
}

/** @param first row of the logits that tokens are drawn from */
function drawTokens(
  { stream }: LlamaRunner,
  logits: Tensor<'f32'>,
  entries: readonly Entry[],
  first: number,
): Promise<StepOutcome> {
  const drawing = entries.filter(({ draws }) => draws);
  const rows = drawing.map(({ lane: { sampler, kv } }) => ({ sampler, position: kv.length - 1 }));
  using rest = first > 0 ? logits.slice(0, first, first + rows.length) : undefined;
  const draws = draw(stream, rest ?? logits, rows, entries.length > 1 || first > 0);
  showLogits(drawing, logits, first);
  return draws.then(({ drawn, error }) => {
    const tokens = new Map<Lane, Verified>();
    for (const [i, { lane }] of drawing.entries()) {
      const token = drawn[i];
      if (token) tokens.set(lane, { drawn: [token], draft: noDraft, path: [] });
    }
    return { drawn: tokens, ...(error ? { error } : {}) };
  });
}

async function bothOf(verifying: Promise<StepOutcome>, drawing: Promise<StepOutcome>): Promise<StepOutcome> {
  const [a, b] = await Promise.all([verifying, drawing]);
  const error = a.error ?? b.error;
  return {
    drawn: new Map([...a.drawn, ...b.drawn]),
    ...(a.failed ? { failed: a.failed } : {}),
    ...(error ? { error } : {}),
  };
}

/** @returns the logits of all rows of drafts, and of the rows that are drawn from, if there are any */
function enqueueForward(runner: LlamaRunner, entries: readonly Entry[]): Tensor<'f32'> | undefined {
  const batch =
    lateOf(entries) ?? runner.cache.batch(entries.map(({ lane, rows }) => ({ sequence: lane.kv, queryLength: rows })));
  const outputs: number[] = [];
  let end = 0;
  for (const entry of entries) {
    const begin = end;
    end += entry.rows;
    if (!entry.draws) continue;
    for (let row = hasDraft(entry) ? begin : end - 1; row < end; row++) outputs.push(row);
  }
  // Drafts are computed as their tokens would be one by one, however many rows they have.
  const isExact = entries.some(hasDraft);
  const hasPrompt = entries.some(({ isPrompt }) => isPrompt);
  const packed = entries.map(({ lane, rows, isPrompt }) => isPrompt && isPacked(runner, lane.promptRows, rows));
  const features = entries.some(({ lane }) => lane.sink);
  const { tokens, owned } = joinTokens(runner.stream, partsOf(entries));
  const options = {
    ...(hasPrompt || isExact ? { packed } : {}),
    ...(features ? { features } : {}),
    ...('cases' in batch ? {} : treeOptions(entries, batch.positions)),
  };
  const logits = runner.forward(batch, tokens, outputs, options);
  owned?.dispose();
  if (features) showFeatures(runner, entries, end);
  return outputs.length > 0 ? logits : undefined;
}

/** Of an entry that is alone, and follows a chain that is being verified. */
function lateOf(entries: readonly Entry[]): LateBatch | undefined {
  const [{ lane, rows, proposal }] = entries as [Entry];
  const late = proposal?.late;
  return late && lateBatch(lane.kv, rows, late);
}

/** The rows' tokens: of prompts and most drafts from the host, others from where they were drawn. */
function partsOf(entries: readonly Entry[]): TokenPart[] {
  const parts: TokenPart[] = [];
  const decoding = entries.filter((entry) => !entry.isPrompt && !hasDraft(entry));
  for (const { lane, rows, isPrompt, proposal } of entries.slice(0, entries.length - decoding.length)) {
    if (isPrompt) parts.push(lane.takePrompt(rows));
    else if (proposal) parts.push(...draftParts(proposal, lane.sampler));
  }
  for (const { begin, end, slot } of runsOf(decoding.map(({ lane }) => lane.sampler))) {
    parts.push(slot.bank.last(slot.index, slot.index + end - begin));
  }
  return parts;
}

function draftParts({ draft, last }: Proposal, sampler: Sampler): TokenPart[] {
  const first = last === undefined ? sampler.last : Int32Array.of(last);
  return [first, 'enqueued' in draft ? draft.enqueued : Int32Array.from(draft.tokens)];
}

/** How the rows of trees differ from the next tokens: the last token of the context is their root. */
function treeOptions(entries: readonly Entry[], consecutive: Int32Array): StepOptions {
  if (!entries.some(({ proposal }) => proposal?.draft.parents)) return {};
  const positions = Int32Array.from(consecutive);
  let row = 0;
  const trees = entries.map(({ rows, proposal }) => {
    const parents = proposal?.draft.parents;
    const nodes = parents && parents.length > 0 ? [-1, ...parents.map((parent) => parent + 1)] : [];
    const first = consecutive[row] as number;
    positions.set(
      depthsOf(nodes).map((depth) => first + depth - 1),
      row,
    );
    row += rows;
    return nodes;
  });
  return { positions, mask: treeMask(trees) };
}

function showFeatures(runner: LlamaRunner, entries: readonly Entry[], rows: number): void {
  const features = runner.features(rows);
  let begin = 0;
  for (const { lane, rows: count } of entries) {
    const end = begin + count;
    if (lane.sink) {
      using own = features.slice(0, begin, end);
      show(lane, () => lane.sink?.take(own, lane.kv.length - count));
    }
    begin = end;
  }
}

/** @param first row of the logits that belong to the entries: a row each, or all rows of a draft */
function showLogits(entries: readonly Entry[], logits: Tensor<'f32'>, first: number): void {
  let begin = first;
  for (const entry of entries) {
    const end = begin + (hasDraft(entry) ? entry.rows : 1);
    const { onLogits } = entry.proposal ?? {};
    if (onLogits) {
      using own = logits.slice(0, begin, end);
      show(entry.lane, () => onLogits(own));
    }
    begin = end;
  }
}

/** What goes wrong in a generation's own drafter concerns no other. */
function show(lane: Lane, view: () => void): void {
  try {
    view();
  } catch (error) {
    lane.fail(error);
  }
}
