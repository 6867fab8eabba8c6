// SPDX-License-Identifier: Apache-2.0
import { PagewarpError } from '../errors.js';
import { argmax, type SampleResult, sample } from '../ops/sample.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { readDespite } from './despite.js';
import type { Drawn, Sampler } from './sampler.js';
import { type Run, runsOf } from './slots.js';

/** A row of logits after which a generation's next token is drawn. */
export interface DrawnRow {
  sampler: Sampler;
  /** Of the row's token in its sequence. */
  position: number;
}

/** What came of the rows of a step. */
export interface Draws {
  /** undefined for rows whose logits are not numbers. */
  drawn: (Drawn | undefined)[];
  /** What was wrong with some row's data. */
  error?: PagewarpError;
}

interface ReadTokens {
  tokens: Int32Array;
  error?: PagewarpError;
}

/** Log-probabilities of the rows from `begin` on. */
interface Logprobs {
  begin: number;
  rows: number;
  wanted: number;
  read: Promise<[logprobs: Float32Array, topIds: Int32Array | undefined, topLogprobs: Float32Array | undefined]>;
}

/**
 * Draws a token per row: what is drawn stays in the samplers' slots, as the next step's input, and is read at once for all. One
 * command serves neighbouring slots; requests with penalties, each with a history of its own, take one each.
 * @param logits [rows, vocabulary]
 * @param rows in order of their slots, as far as that goes
 * @param isShared are others concerned by the step, too, who are to go on when the data of one is wrong?
 */
export function draw(
  stream: Stream,
  logits: Tensor<'f32'>,
  rows: readonly DrawnRow[],
  isShared: boolean,
): Promise<Draws> {
  const items = rows.map(({ sampler, position }) => ({ slot: sampler.slot, sampler, position }));
  const runs = runsOf(items, (a, b) => a.sampler.mayShare(b.sampler));
  const one = runs.length === 1 ? drawRun : drawPart;
  const results = runs.map((run) => one(stream, logits, rows, run));
  const read = readTokens(stream, rows.length, runs, isShared);
  const logprobs = runs.flatMap((run, i) => readLogprobs(stream, run, rows, results[i]));
  return logprobs.length === 0 ? read.then(drawsOf) : withLogprobs(read, logprobs);
}

function drawsOf({ tokens, error }: ReadTokens): Draws {
  const drawn = Array.from(tokens, (token): Drawn | undefined => (token < 0 ? undefined : { token }));
  return error ? { drawn, error } : { drawn };
}

async function withLogprobs(read: Promise<ReadTokens>, logprobs: readonly Logprobs[]): Promise<Draws> {
  const [tokens] = await Promise.all([read, ...logprobs.map(({ read: values }) => values)]);
  const draws = drawsOf(tokens);
  for (const part of logprobs) addLogprobs(draws.drawn, part, await part.read);
  return draws;
}

function drawPart(
  stream: Stream,
  logits: Tensor<'f32'>,
  rows: readonly DrawnRow[],
  run: Run,
): SampleResult | undefined {
  using part = logits.slice(0, run.begin, run.end);
  return drawRun(stream, part, rows, run);
}

/**
 * @param logits of the run alone
 * @returns what there is beside the tokens
 */
function drawRun(
  stream: Stream,
  logits: Tensor<'f32'>,
  rows: readonly DrawnRow[],
  { begin, end, slot }: Run,
): SampleResult | undefined {
  const count = end - begin;
  const own = rows.slice(begin, end);
  const { sampler } = own[0] as DrawnRow;
  const out = slot.bank.last(slot.index, slot.index + count);
  if (own.every((row) => row.sampler.isArgmax)) {
    argmax(stream, { logits, out });
    return undefined;
  }
  const { history, logprobs } = sampler;
  const result = sample(stream, {
    logits,
    out,
    parameters: slot.bank.parameters(slot.index, slot.index + count),
    seed: slot.bank.seeds(slot.index, slot.index + count),
    offset: own.map(({ position }) => position),
    ...(history ? { history } : {}),
    ...(logprobs === undefined ? {} : { logprobs }),
  });
  for (const row of own) row.sampler.remember();
  return result;
}

function readTokens(stream: Stream, rows: number, runs: readonly Run[], isShared: boolean): Promise<ReadTokens> {
  const [{ slot }] = runs as [Run];
  if (isShared) return readShared(stream, rows, runs);
  return slot.bank
    .last(slot.index, slot.index + 1)
    .read(stream)
    .then((tokens) => ({ tokens }));
}

/** The tokens of all runs. */
async function readShared(stream: Stream, rows: number, runs: readonly Run[]): Promise<ReadTokens> {
  using tokens = Tensor.empty(stream.device, [rows], 'i32');
  for (const { begin, end, slot } of runs) {
    using part = tokens.slice(0, begin, end);
    part.copyFrom(slot.bank.last(slot.index, slot.index + end - begin), stream);
  }
  const { values, error } = await readDespite(tokens, stream);
  return { tokens: values, ...(error ? { error } : {}) };
}

function readLogprobs(
  stream: Stream,
  { begin, end }: Run,
  rows: readonly DrawnRow[],
  result: SampleResult | undefined,
): Logprobs[] {
  if (!result?.logprobs) return [];
  const { logprobs, topIds, topLogprobs } = result;
  const read = Promise.all([logprobs.read(stream), topIds?.read(stream), topLogprobs?.read(stream)]);
  for (const tensor of [logprobs, topIds, topLogprobs]) tensor?.dispose();
  return [{ begin, rows: end - begin, wanted: rows[begin]?.sampler.logprobs ?? 0, read }];
}

function addLogprobs(
  drawn: (Drawn | undefined)[],
  { begin, rows, wanted }: Logprobs,
  [logprobs, topIds, topLogprobs]: Awaited<Logprobs['read']>,
): void {
  for (let row = 0; row < rows; row++) {
    const entry = drawn[begin + row];
    if (!entry) continue;
    const top = Array.from({ length: wanted }, (_, i) => ({
      token: topIds?.[row * wanted + i] as number,
      logprob: topLogprobs?.[row * wanted + i] as number,
    }));
    const { token } = entry;
    entry.logprob = { token, logprob: logprobs[row] as number, top: top.filter(({ token: id }) => id >= 0) };
  }
}

/** The error of a generation whose row came to no token. */
export function invalidLogits(): PagewarpError {
  return new PagewarpError('ERR_INVALID_LOGITS', 'the model computed logits that are not numbers');
}
