// SPDX-License-Identifier: Apache-2.0
/**
 * Group Q: what `verify` emits is distributed as plain sampling, for two million trials a case with PAGEWARP_FULL=1, on every
 * instruction set, and a quarter of that otherwise. Every trial draws its own drafts from q, verifies them, and continues with a plain draw where only one
 * token was emitted. In the cases marked "everywhere" drafts are drawn on the device with the seeds and offsets of verification,
 * whose coins must be others; in the rest by the test, which takes less time.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  Device,
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
  isLossless,
  judge,
  quickRandom,
  Tally,
} from '../oracle/verification.js';
import { runsFull } from '../support/grid.js';
import { availableIsas } from '../support/isa.js';
import { randomNumbers } from '../support/random.js';
import { announceSkip } from '../support/skip.js';

interface Case extends OracleParameters {
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

const file = JSON.parse(readFileSync(new URL('../cases/verify.json', import.meta.url), 'utf8')) as {
  trials: number;
  cases: Case[];
};
const trialsPerCase = runsFull ? file.trials : file.trials / 4;
const batch = 4_000;
const none = Number.NEGATIVE_INFINITY;

/** Logits of the chain: [length + 1] target rows, [length] draft rows. */
function logitsOf(test: Case): { target: Float32Array[]; draft: Float32Array[] } {
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

/** The drafted token of a deterministic drafter. */
const guess = (test: Case, position: number): number => (3 * position + 1) % test.vocabulary;

function scenarioOf(test: Case, parameters: OracleParameters): ChainScenario {
  const { target, draft } = logitsOf(test);
  const draftParameters = { ...parameters, temperature: test.draftTemperature ?? parameters.temperature ?? 1 };
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

const filters = ['temperature', 'topK', 'topP', 'minP'] as const;

function parametersOf(test: Case): OracleParameters {
  const parameters: OracleParameters = {};
  for (const name of filters) if (test[name] !== undefined) parameters[name] = test[name];
  return test.kind === 'penalties'
    ? { ...parameters, repetitionPenalty: 1.5, presencePenalty: 0.4, frequencyPenalty: 0.3 }
    : parameters;
}

/** Draws tokens from fixed distributions, each in the same time whatever its size (Walker's alias method). */
class AliasTables {
  readonly #size: number;
  /** Of every distribution, of every cell: the share that is its own, and whose the rest is. */
  readonly #own: Float64Array;
  readonly #other: Int32Array;

  constructor(rows: readonly Float64Array[]) {
    const size = rows[0]?.length ?? 0;
    this.#size = size;
    this.#own = new Float64Array(rows.length * size).fill(1);
    this.#other = new Int32Array(rows.length * size);
    for (const [row, q] of rows.entries()) {
      const first = row * size;
      const sum = q.reduce((a, b) => a + b, 0);
      const left = q.map((share) => (share * size) / sum);
      // In rising order: what rounding leaves over at the end is whole, and no token without any chance.
      const order = [...left.keys()].sort((a, b) => (left[a] as number) - (left[b] as number));
      const small = order.filter((token) => (left[token] as number) < 1);
      const large = order.filter((token) => (left[token] as number) >= 1);
      for (let token = small.shift(); token !== undefined && large.length > 0; token = small.shift()) {
        const giver = large.at(-1) as number;
        this.#own[first + token] = left[token] as number;
        this.#other[first + token] = giver;
        left[giver] = (left[giver] as number) - (1 - (left[token] as number));
        if ((left[giver] as number) < 1) small.push(large.pop() as number);
      }
    }
  }

  /** Fills `out` with draws from row 0, row 1, ... in turn. */
  draw(random: () => number, out: Int32Array): void {
    const size = this.#size;
    const end = this.#own.length;
    for (let i = 0, first = 0; i < out.length; i++) {
      const place = random() * size;
      const cell = Math.floor(place);
      const at = first + cell;
      out[i] = place - cell < (this.#own[at] as number) ? cell : (this.#other[at] as number);
      first = first + size === end ? 0 : first + size;
    }
  }
}

function repeat(rows: readonly Float32Array[], times: number): Float32Array {
  const one = Float32Array.from(rows.flatMap((row) => Array.from(row)));
  const all = new Float32Array(times * one.length);
  for (let i = 0; i < times; i++) all.set(one, i * one.length);
  return all;
}

/**
 * The trials of one case on one device. Half of them at a time: while the results of some are counted, others are computed.
 * @param claimed the temperature that verification is told the draft was sampled with, when not the true one
 */
async function run(device: Device, test: Case, trials: number, claimed?: number): Promise<Tally> {
  const tally = new Tally(test.vocabulary);
  const steps = Math.ceil(trials / batch);
  const half = (first: number): Promise<void> => runSteps(device, test, tally, first, steps, claimed);
  await Promise.all([half(0), half(1)]);
  return tally;
}

/** Every other step of `batch` trials each, from `first` on. */
async function runSteps(
  device: Device,
  test: Case,
  tally: Tally,
  first: number,
  steps: number,
  claimed: number | undefined,
): Promise<void> {
  const { vocabulary, length } = test;
  const stream = device.defaultStream;
  const parameters = parametersOf(test) as SamplingParameters;
  const draftParameters = { ...parameters, temperature: test.draftTemperature ?? parameters.temperature ?? 1 };
  const { target, draft } = logitsOf(test);
  const sampled = test.kind !== 'deterministic';
  const targetLogits = Tensor.from(device, repeat(target, batch), [batch * (length + 1), vocabulary], 'f32');
  const draftLogits = Tensor.from(device, repeat(draft, batch), [batch * length, vocabulary], 'f32');
  const second = Tensor.from(device, repeat(target.slice(1, 2), batch), [batch, vocabulary], 'f32');
  const seeds = BigInt64Array.from({ length: batch }, (_, b) => BigInt(b) + (1n << 33n));
  const seed = Tensor.from(device, seeds, [batch], 'i64');
  const targetTable = packSampling(stream, batch, parameters);
  const draftTable = packSampling(stream, batch, draftParameters);
  const claimedTable = packSampling(stream, batch, {
    ...draftParameters,
    ...(claimed ? { temperature: claimed } : {}),
  });
  const drafted = Tensor.empty(device, [batch, length], 'i32');
  const draftTokens = drafted.reshape(batch * length);
  draftTokens.write(Int32Array.from({ length: batch * length }, (_, i) => guess(test, i % length)));
  const draftLengths = { indptr: evenly(device, length), maxLength: length };
  const source: DraftSource = sampled
    ? { kind: 'sampled', logits: draftLogits, parameters: claimedTable }
    : { kind: 'deterministic' };
  const offsets = Array.from({ length: length + 1 }, () => Tensor.empty(device, [batch], 'i32'));
  const column = Tensor.empty(device, [batch, 1], 'i32');
  const onHost = sampled && !test.everywhere && test.kind !== 'penalties';
  const shares = onHost ? draft.map((logits) => targetProbabilities(logits, draftParameters as OracleParameters)) : [];
  const tables = new AliasTables(shares);
  const random = quickRandom(7 + first);
  const drawn = new Int32Array(batch * length);
  const history = (matrix: Tensor<'i32'>, count: number) =>
    count > 0 && test.kind === 'penalties' ? prefixHistory(matrix, count) : {};

  for (let step = first; step < steps; step += 2) {
    for (const [j, tensor] of offsets.entries()) tensor.fill(step * (length + 2) + j);
    const offset = offsets[0] as Tensor<'i32'>;
    if (onHost) {
      tables.draw(random, drawn);
      draftTokens.write(drawn);
    }
    for (let j = 0; sampled && !onHost && j < length; j++) {
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
    using emitted = result.tokens.slice(1, 0, 1);
    column.copyFrom(emitted);
    const next = sample(stream, {
      logits: second,
      parameters: targetTable,
      seed,
      offset: offsets[1] as Tensor<'i32'>,
      ...history(column, 1),
    });
    const [tokens, accepted, continued] = await Promise.all([
      result.tokens.read(),
      result.acceptedLengths.read(),
      next.ids.read() as Promise<Int32Array>,
    ]);
    tally.addAll(tokens, accepted, continued, length);
    for (const tensor of [result.tokens, result.acceptedLengths, result.lastTokens, next.ids]) tensor.dispose();
  }
}

/** Rows of `count` elements each. */
function evenly(device: Device, count: number): Tensor<'i32'> {
  const indptr = Int32Array.from({ length: batch + 1 }, (_, b) => b * count);
  return Tensor.from(device, indptr, [batch + 1], 'i32');
}

/** The first `count` columns of a token matrix as one history per row. */
function prefixHistory(matrix: Tensor<'i32'>, count: number) {
  using columns = matrix.slice(1, 0, count);
  using copy = columns.to('i32');
  return { history: { tokens: copy.reshape(batch * count), indptr: evenly(matrix.device, count) } };
}

describe('verification is lossless', () => {
  const best = availableIsas().at(-1);
  if (!runsFull) {
    announceSkip(`losslessness on more than ${trialsPerCase} trials a case; PAGEWARP_FULL=1 has ${file.trials}`);
    announceSkip(`losslessness runs all cases on ${best} only, the cases marked "everywhere" on portable too: time`);
  }
  for (const test of file.cases) {
    const some = [...new Set([best, ...(test.everywhere ? (['portable'] as const) : [])])];
    const isas = runsFull ? availableIsas() : some;
    const { vocabulary, length, kind, everywhere: _, ...rest } = test;
    for (const isa of isas) {
      it(`${kind}, vocabulary ${vocabulary}, ${length} drafted ${JSON.stringify(rest)} on ${isa}`, async () => {
        const scenario = scenarioOf(test, parametersOf(test));
        const chances = kind === 'penalties' ? chancesByPath(scenario) : chancesOfFixed(scenario);
        using device = Device.cpu({ ...(isa ? { isa } : {}), threads: 2 });
        const tally = await run(device, test, runsFull || isa === best ? trialsPerCase : trialsPerCase / 10);
        const verdict = judge(tally, scenario, chances);
        expect(isLossless(verdict), JSON.stringify({ ...verdict, trials: tally.trials })).toBe(true);
      });
    }
  }

  it('shows when it is told the wrong distribution of the drafts', async () => {
    const test: Case = { vocabulary: 8, length: 3, kind: 'close' };
    const scenario = scenarioOf(test, {});
    using device = Device.cpu({ threads: 2 });
    const verdict = judge(await run(device, test, 400_000, 1.3), scenario, chancesOfFixed(scenario));
    expect(verdict.first).toBeLessThan(1e-6);
    expect(isLossless(verdict)).toBe(false);
  });
});
