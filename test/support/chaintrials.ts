// SPDX-License-Identifier: Apache-2.0
/** Trials of group Q on chains, for any device: drafts, `verify`, and a plain draw where one token came. */
import { readFileSync } from 'node:fs';
import {
  type Device,
  type DraftSource,
  packSampling,
  type SamplingParameters,
  sample,
  Tensor,
  verify,
} from '../../lib/index.js';
import { type OracleParameters, penalized, targetProbabilities } from '../oracle/sampling.js';
import {
  type ChainScenario,
  chancesByPath,
  chancesOfFixed,
  judge,
  quickRandom,
  Tally,
  type Verdict,
} from '../oracle/verification.js';
import { AliasTables } from './alias.js';
import { randomNumbers } from './random.js';
import { drawNext, seedsOf, singlesOf } from './trials.js';

export interface ChainCase extends OracleParameters {
  vocabulary: number;
  length: number;
  kind:
    | 'random'
    | 'close'
    | 'equal'
    | 'orthogonal'
    | 'target one-hot'
    | 'draft with zeros'
    | 'deterministic'
    | 'penalties';
  draftTemperature?: number;
  everywhere?: boolean;
}

/** test/cases/verify.json */
export const chainCases = JSON.parse(readFileSync(new URL('../cases/verify.json', import.meta.url), 'utf8')) as {
  trials: number;
  trialsElsewhere: number;
  cases: ChainCase[];
};

export interface ChainTrials {
  /** Draw the drafts on the device, with the seeds and offsets of verification, whose coins must be others. Default: on the host. */
  drawsOnDevice?: boolean;
  /** The temperature that verification is told the draft was sampled with, when not the true one. */
  claimed?: number;
}

/** Runs the trials of one case, and judges them. */
export async function judgeChain(
  device: Device,
  test: ChainCase,
  trials: number,
  options: ChainTrials = {},
): Promise<Verdict & { trials: number }> {
  const tally = new Tally(test.vocabulary);
  const steps = Math.ceil(trials / batch);
  // Half of them at a time: while the results of some are counted, others are computed.
  await Promise.all([0, 1].map((first) => runSteps(device, test, tally, first, steps, options)));
  const scenario = scenarioOf(test);
  const chances = test.kind === 'penalties' ? chancesByPath(scenario) : chancesOfFixed(scenario);
  return { ...judge(tally, scenario, chances), trials: tally.trials };
}

/** Trials of one command. */
const batch = 4_000;
const none = Number.NEGATIVE_INFINITY;

/** Logits of the chain: [length + 1] target rows, [length] draft rows. */
function logitsOf(test: ChainCase): { target: Float32Array[]; draft: Float32Array[] } {
  const { vocabulary, length, kind } = test;
  const seed = 100 * vocabulary + length;
  const row = (stream: number, scale: number): Float32Array => randomNumbers(vocabulary, { seed, stream, scale });
  const target = Array.from({ length: length + 1 }, (_, j) => row(j, 1));
  const draft = target.slice(0, length).map((p, j) => {
    if (kind === 'equal') return p;
    const other = row(100 + j, kind === 'close' ? 0.3 : 1);
    return kind === 'close' ? p.map((x, i) => x + (other[i] as number)) : other;
  });
  const mask = (rows: Float32Array[], hidden: (token: number) => boolean): void => {
    for (const values of rows) {
      for (let i = 0; i < values.length; i++) if (hidden(i)) values[i] = none;
    }
  };
  if (kind === 'orthogonal') {
    mask(target, (token) => token % 2 === 0);
    mask(draft, (token) => token % 2 === 1);
  }
  if (kind === 'target one-hot') mask(target, (token) => token !== 3);
  if (kind === 'draft with zeros') mask(draft, (token) => token % 3 === 0);
  return { target, draft };
}

const filters = ['temperature', 'topK', 'topP', 'minP'] as const;

function parametersOf(test: ChainCase): OracleParameters {
  const parameters: OracleParameters = {};
  for (const name of filters) if (test[name] !== undefined) parameters[name] = test[name];
  return test.kind === 'penalties'
    ? { ...parameters, repetitionPenalty: 1.5, presencePenalty: 0.4, frequencyPenalty: 0.3 }
    : parameters;
}

function draftParametersOf(test: ChainCase): OracleParameters {
  const parameters = parametersOf(test);
  return { ...parameters, temperature: test.draftTemperature ?? parameters.temperature ?? 1 };
}

/** The drafted token of a deterministic drafter. */
const guess = (test: ChainCase, position: number): number => (3 * position + 1) % test.vocabulary;

/** What the test's two models say. */
export function scenarioOf(test: ChainCase): ChainScenario {
  const { target, draft } = logitsOf(test);
  const [parameters, draftParameters] = [parametersOf(test), draftParametersOf(test)];
  const distribution = (logits: Float32Array, options: OracleParameters, prefix: readonly number[]): Float64Array =>
    targetProbabilities(penalized(logits, options, [], prefix), options);
  return {
    length: test.length,
    target: (prefix) => distribution(target[prefix.length] as Float32Array, parameters, prefix),
    draft: (prefix) =>
      test.kind === 'deterministic'
        ? new Float64Array(test.vocabulary).fill(1, guess(test, prefix.length), guess(test, prefix.length) + 1)
        : distribution(draft[prefix.length] as Float32Array, draftParameters, prefix),
  };
}

/** Draws chains token by token, each after those before it. */
class ChainDrafts {
  readonly #tables: AliasTables;
  readonly #length: number;
  /** Of each position, its first table and by how much the token before tells tables apart; 0: not at all. */
  readonly #first: number[] = [];
  readonly #factor: number;

  constructor(test: ChainCase, random: () => number) {
    const { draft } = scenarioOf(test);
    // Penalised rows are told apart by all tokens before them.
    this.#factor = test.kind === 'penalties' ? test.vocabulary : 0;
    this.#length = test.length;
    const rows: Float64Array[] = [];
    let prefixes: number[][] = [[]];
    for (let j = 0; j < test.length; j++) {
      this.#first.push(rows.length);
      for (const prefix of prefixes) rows.push(Float64Array.from(draft(prefix)));
      const tokens = Array.from({ length: this.#factor || 1 }, (_, token) => token);
      prefixes = prefixes.flatMap((prefix) => tokens.map((token) => [...prefix, token]));
    }
    this.#tables = new AliasTables(rows, random);
  }

  /** Fills `out` with chains, one after the other. */
  draw(out: Int32Array): void {
    for (let at = 0; at < out.length; at += this.#length) {
      for (let j = 0, path = 0; j < this.#length; j++) {
        const token = this.#tables.draw((this.#first[j] as number) + path);
        out[at + j] = token;
        path = this.#factor * path + (this.#factor && token);
      }
    }
  }
}

function repeat(rows: readonly Float32Array[], times: number): Float32Array {
  const one = Float32Array.from(rows.flatMap((row) => Array.from(row)));
  const all = new Float32Array(times * one.length);
  for (let i = 0; i < times; i++) all.set(one, i * one.length);
  return all;
}

/** Every other step of `batch` trials each, from `first` on. */
async function runSteps(
  device: Device,
  test: ChainCase,
  tally: Tally,
  first: number,
  steps: number,
  { drawsOnDevice = false, claimed }: ChainTrials,
): Promise<void> {
  const { vocabulary, length } = test;
  const stream = device.defaultStream;
  const parameters = parametersOf(test) as SamplingParameters;
  const draftParameters = draftParametersOf(test) as SamplingParameters;
  const { target, draft } = logitsOf(test);
  const sampled = test.kind !== 'deterministic';
  const targetLogits = Tensor.from(device, repeat(target, batch), [batch * (length + 1), vocabulary], 'f32');
  const draftLogits = Tensor.from(device, repeat(draft, batch), [batch * length, vocabulary], 'f32');
  const second = Tensor.from(device, repeat(target.slice(1, 2), batch), [batch, vocabulary], 'f32');
  const all = Int32Array.from({ length: batch }, (_, trial) => trial);
  const seed = Tensor.from(device, seedsOf(all), [batch], 'i64');
  const targetTable = packSampling(stream, batch, parameters);
  const draftTable = packSampling(stream, batch, draftParameters);
  const claimedTable = packSampling(stream, batch, {
    ...draftParameters,
    ...(claimed ? { temperature: claimed } : {}),
  });
  const drafted = Tensor.empty(device, [batch, length], 'i32');
  const draftTokens = drafted.reshape(batch * length);
  draftTokens.write(Int32Array.from({ length: batch * length }, (_, i) => guess(test, i % length)));
  const draftLengths = { indptr: evenly(device, batch, length), maxLength: length };
  const source: DraftSource = sampled
    ? { kind: 'sampled', logits: draftLogits, parameters: claimedTable }
    : { kind: 'deterministic' };
  const offsets = Array.from({ length: drawsOnDevice ? length : 1 }, () => Tensor.empty(device, [batch], 'i32'));
  const drafts = new ChainDrafts(test, quickRandom(7 + first));
  const drawn = new Int32Array(batch * length);
  const history = (matrix: Tensor<'i32'>, count: number) =>
    count > 0 && test.kind === 'penalties' ? prefixHistory(matrix, count) : {};

  for (let step = first; step < steps; step += 2) {
    const base = step * (length + 2);
    for (const [j, tensor] of offsets.entries()) tensor.fill(base + j);
    const offset = offsets[0] as Tensor<'i32'>;
    if (sampled && !drawsOnDevice) {
      drafts.draw(drawn);
      draftTokens.write(drawn);
    }
    for (let j = 0; sampled && drawsOnDevice && j < length; j++) {
      // Drafted position by position, as a draft model does; drafted tokens count as history.
      using logits = draftLogits.asStrided([batch, vocabulary], [length * vocabulary, 1], j * vocabulary);
      using out = drafted.select(1, j);
      const at = offsets[j] as Tensor<'i32'>;
      sample(stream, { logits, parameters: draftTable, seed, offset: at, out, ...history(drafted, j) });
    }
    const result = verify(stream, {
      targetLogits,
      draftTokens,
      draftLengths,
      draft: source,
      parameters: targetTable,
      seed,
      offset,
    });
    const [tokens, accepted] = await Promise.all([result.tokens.read(), result.acceptedLengths.read()]);
    const single = singlesOf(accepted);
    using column = Tensor.from(
      device,
      single.map((trial) => tokens[trial * (length + 1)] as number),
      [single.length, 1],
      'i32',
    );
    using logits = second.slice(0, 0, single.length);
    const continued = await drawNext(stream, single, base + 1, targetTable, { logits, ...history(column, 1) });
    tally.addAll(tokens, accepted, continued, length);
    for (const tensor of [result.tokens, result.acceptedLengths, result.lastTokens]) tensor.dispose();
  }
}

/** So many rows of `count` elements each. */
function evenly(device: Device, rows: number, count: number): Tensor<'i32'> {
  const indptr = Int32Array.from({ length: rows + 1 }, (_, row) => row * count);
  return Tensor.from(device, indptr, [rows + 1], 'i32');
}

/** The first `count` columns of a token matrix as one history per row. */
function prefixHistory(matrix: Tensor<'i32'>, count: number) {
  using columns = matrix.slice(1, 0, count);
  using copy = columns.to('i32');
  const rows = matrix.shape[0] as number;
  return { history: { tokens: copy.reshape(rows * count), indptr: evenly(matrix.device, rows, count) } };
}
