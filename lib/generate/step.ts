// SPDX-License-Identifier: Apache-2.0
import type { LlamaRunner } from '../model/llama.js';
import { isPacked } from '../model/rows.js';
import { Tensor } from '../tensor/tensor.js';
import { draw } from './draw.js';
import type { Lane } from './lane.js';
import type { Drawn } from './sampler.js';
import { runsOf, type Slots } from './slots.js';

/** A lane's part in a step. Its sequence has room for the rows already. @internal */
export interface Entry {
  readonly lane: Lane;
  readonly rows: number;
  /** Rows of its prompt, in place of the token drawn last. */
  readonly isPrompt: boolean;
  /** Its next token is drawn after the last row. */
  readonly draws: boolean;
}

/** What came of a step. @internal */
export interface StepOutcome {
  /** The tokens of those that drew one. */
  drawn: ReadonlyMap<Lane, Drawn>;
  /** What was wrong: with the data of lanes that drew none, or, if all did, with the step. */
  error?: unknown;
}

/**
 * Enqueues one step of the model for all entries, and the drawing of their tokens.
 * @throws PagewarpError whatever kept it from being enqueued; the sequences are as they were before
 * @internal
 */
export function enqueueStep(runner: LlamaRunner, slots: Slots, entries: Entry[]): Promise<StepOutcome> {
  const { stream } = runner;
  // Those that draw come last, and tokens that the device knows in the order in which they lie there.
  const rank = ({ lane, isPrompt, draws }: Entry): number =>
    isPrompt ? (draws ? -1 : -2) : slots.order(lane.sampler.slot);
  if (entries.length > 1) entries.sort((a, b) => rank(a) - rank(b));
  try {
    const logits = enqueueForward(runner, entries);
    const drawing = entries.filter(({ draws }) => draws);
    if (!logits) return stream.synchronize().then(() => ({ drawn: new Map() }));
    const rows = drawing.map(({ lane: { sampler, kv } }) => ({ sampler, position: kv.length - 1 }));
    const draws = draw(stream, logits, rows, entries.length > 1);
    for (const [row, { lane }] of drawing.entries()) if (lane.onLogits) showLogits(lane, logits, row);
    return draws.then(({ drawn, error }) => {
      const tokens = new Map<Lane, Drawn>();
      for (const [i, { lane }] of drawing.entries()) {
        const token = drawn[i];
        if (token) tokens.set(lane, token);
      }
      return { drawn: tokens, ...(error ? { error } : {}) };
    });
  } catch (error) {
    for (const { lane, rows } of entries) {
      const { kv } = lane;
      if (!kv.isDisposed && !kv.cache.isDisposed) kv.truncate(kv.length - rows);
    }
    throw error;
  }
}

/** @returns the logits of the rows that are drawn from, if there are any */
function enqueueForward(runner: LlamaRunner, entries: readonly Entry[]): Tensor<'f32'> | undefined {
  const batch = runner.cache.batch(entries.map(({ lane, rows }) => ({ sequence: lane.kv, queryLength: rows })));
  const outputs: number[] = [];
  let end = 0;
  for (const { rows, draws } of entries) {
    end += rows;
    if (draws) outputs.push(end - 1);
  }
  const hasPrompt = entries.some(({ isPrompt }) => isPrompt);
  const packed = entries.map(({ lane, rows, isPrompt }) => isPrompt && isPacked(runner, lane.promptRows, rows));
  const features = entries.some(({ lane }) => lane.sink);
  const ids = idsOf(runner, entries, end);
  const options = { ...(hasPrompt ? { packed } : {}), ...(features ? { features } : {}) };
  const logits = runner.forward(batch, ids.tokens, outputs, options);
  ids.owned?.dispose();
  if (features) showFeatures(runner, entries, end);
  return outputs.length > 0 ? logits : undefined;
}

/** The rows' tokens: of prompts from the host, others from the slots where they were drawn. */
function idsOf(
  { stream }: LlamaRunner,
  entries: readonly Entry[],
  rows: number,
): { tokens: Int32Array | Tensor<'i32'>; owned?: Tensor } {
  const prompts = entries.filter(({ isPrompt }) => isPrompt);
  const begin = prompts.reduce((sum, entry) => sum + entry.rows, 0);
  const known = new Int32Array(begin);
  let at = 0;
  for (const { lane, rows: count } of prompts) {
    known.set(lane.takePrompt(count), at);
    at += count;
  }
  if (begin === rows) return { tokens: known };
  const decoding = entries.slice(prompts.length).map(({ lane }) => lane.sampler);
  const runs = runsOf(decoding);
  const [{ slot }] = runs as [(typeof runs)[number]];
  if (begin === 0 && runs.length === 1) return { tokens: slot.bank.last(slot.index, slot.index + rows) };
  const tokens = Tensor.empty(stream.device, [rows], 'i32');
  if (begin > 0) {
    using prompt = tokens.slice(0, 0, begin);
    prompt.write(known, stream);
  }
  for (const run of runs) {
    using part = tokens.slice(0, begin + run.begin, begin + run.end);
    part.copyFrom(run.slot.bank.last(run.slot.index, run.slot.index + run.end - run.begin), stream);
  }
  return { tokens, owned: tokens };
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

function showLogits(lane: Lane, logits: Tensor<'f32'>, row: number): void {
  using own = logits.slice(0, row, row + 1);
  show(lane, () => lane.onLogits?.(own));
}

/** What goes wrong in a generation's own drafter concerns no other. */
function show(lane: Lane, view: () => void): void {
  try {
    view();
  } catch (error) {
    lane.fail(error);
  }
}
