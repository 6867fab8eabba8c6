// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import {
  Device,
  packSampling,
  sample,
  Tensor,
  type VerifyOptions,
  type VerifyResult,
  verify,
} from '../../lib/index.js';
import { firstMaximum, logSoftmax } from '../oracle/sampling.js';
import { availableIsas } from '../support/isa.js';
import { randomNumbers } from '../support/random.js';
import { expectClose } from '../support/tolerance.js';

const isas = [...availableIsas(), 'reference' as const];

async function readAll(result: VerifyResult): Promise<{ tokens: number[]; accepted: number[]; last: number[] }> {
  const [tokens, accepted, last] = await Promise.all([
    result.tokens.readNumbers(),
    result.acceptedLengths.readNumbers(),
    result.lastTokens.readNumbers(),
  ]);
  return { tokens, accepted, last };
}

/** A ragged batch of drafts over random logits. */
class Batch {
  readonly lengths: number[];
  readonly target: Float32Array;
  readonly draft: Float32Array;
  readonly tokens: Int32Array;
  readonly vocabulary: number;

  constructor(lengths: number[], vocabulary: number, seed: number) {
    const total = lengths.reduce((a, b) => a + b, 0);
    this.lengths = lengths;
    this.vocabulary = vocabulary;
    this.target = randomNumbers((total + lengths.length) * vocabulary, { seed, scale: 2 });
    this.draft = randomNumbers(total * vocabulary, { seed, stream: 1, scale: 2 });
    this.tokens = Int32Array.from(
      randomNumbers(total, { seed, stream: 2, distribution: 'integer', low: 0, high: vocabulary }),
    );
  }

  /** Where request b's drafted tokens begin. */
  begin(b: number): number {
    return this.lengths.slice(0, b).reduce((a, c) => a + c, 0);
  }

  targetRow(b: number, j: number): Float32Array {
    const row = this.begin(b) + b + j;
    return this.target.subarray(row * this.vocabulary, (row + 1) * this.vocabulary);
  }

  /** Only some of the requests, in the order given. */
  pick(requests: readonly number[]): Batch {
    const part = Object.create(Batch.prototype) as { -readonly [K in keyof Batch]: Batch[K] };
    const rows = (data: Float32Array | Int32Array, width: number, extra: number): number[] =>
      requests.flatMap((b) => {
        const from = this.begin(b) + extra * b;
        return Array.from(data.subarray(from * width, (from + (this.lengths[b] as number) + extra) * width));
      });
    part.lengths = requests.map((b) => this.lengths[b] as number);
    part.vocabulary = this.vocabulary;
    part.target = Float32Array.from(rows(this.target, this.vocabulary, 1));
    part.draft = Float32Array.from(rows(this.draft, this.vocabulary, 0));
    part.tokens = Int32Array.from(rows(this.tokens, 1, 0));
    return part as Batch;
  }

  verify(device: Device, options: Partial<VerifyOptions> & { sampled?: boolean }): VerifyResult {
    const { sampled = false, ...rest } = options;
    const total = this.tokens.length;
    const rows = total + this.lengths.length;
    const draftLogits = Tensor.from(device, this.draft, [total, this.vocabulary], 'f32');
    return verify(device.defaultStream, {
      targetLogits: Tensor.from(device, this.target, [rows, this.vocabulary], 'f32'),
      draftTokens: Tensor.from(device, this.tokens, [total], 'i32'),
      draftLengths: this.lengths,
      draft: sampled ? { kind: 'sampled', logits: draftLogits } : { kind: 'deterministic' },
      ...rest,
    });
  }
}

for (const isa of isas) {
  describe(`verify (${isa})`, () => {
    it('follows the argmax exactly under the greedy rule, with log-probabilities and positions', async () => {
      using device = Device.cpu({ isa, threads: 2 });
      const batch = new Batch([3, 0, 5, 1, 5], 300, 1);
      // Requests 0 and 4 draft the whole greedy chain, 2 a part of it.
      for (const [b, right] of [
        [0, 3],
        [2, 2],
        [4, 5],
      ] as const) {
        for (let j = 0; j < right; j++) batch.tokens[batch.begin(b) + j] = firstMaximum(batch.targetRow(b, j));
      }
      const positions = Tensor.from(device, [7, 8, 9, 10, 11], undefined, 'i64');
      const result = batch.verify(device, { rule: 'greedy', temperature: 0.7, positions, logprobs: true });
      const { tokens, accepted, last } = await readAll(result);
      expect(accepted).toEqual([3, 0, 2, 0, 5]);
      const logprobs = await (result.logprobs as Tensor<'f32'>).read();
      accepted.forEach((count, b) => {
        const row = tokens.slice(6 * b, 6 * b + 6);
        const expected = Array.from({ length: 6 }, (_, j) => (j <= count ? firstMaximum(batch.targetRow(b, j)) : -1));
        expect(row).toEqual(expected);
        expect(last[b]).toBe(expected[count]);
        expectClose(
          logprobs.subarray(6 * b, 6 * b + 6),
          expected.map((token, j) => (token < 0 ? 0 : (logSoftmax(batch.targetRow(b, j))[token] as number))),
          { absolute: 1e-5 },
        );
      });
      expect(await (result.nextPositions as Tensor).readNumbers()).toEqual([11, 9, 12, 11, 17]);
    });

    it('gives a request the same tokens in every batch, order and padding', async () => {
      using device = Device.cpu({ isa, threads: 2 });
      const batch = new Batch([4, 2, 0, 7, 3, 1, 6, 2], 97, 2);
      const seed = [1, 2, 3, 4, 5, 6, 7, 8];
      const offset = [10, 20, 30, 40, 50, 60, 70, 80];
      const options = { temperature: 1.5, topK: 60, topP: 0.95 };
      for (const sampled of [false, true]) {
        const whole = await readAll(batch.verify(device, { ...options, seed, offset, sampled }));
        const emitted = (all: { tokens: number[] }, b: number, width: number): number[] =>
          all.tokens.slice(b * width, (b + 1) * width).filter((token) => token >= 0);
        for (const requests of [[3], [6, 0, 2], [7, 6, 5, 4, 3, 2, 1, 0]]) {
          const part = batch.pick(requests);
          const pick = (list: number[]): number[] => requests.map((b) => list[b] as number);
          const result = await readAll(
            part.verify(device, { ...options, seed: pick(seed), offset: pick(offset), sampled }),
          );
          const width = Math.max(...part.lengths) + 1;
          requests.forEach((b, i) => {
            expect(emitted(result, i, width)).toEqual(emitted(whole, b, 8));
          });
        }
      }
      // A draft cut short by -1 is a shorter draft.
      const long = batch.pick([3]);
      const short = batch.pick([3]);
      long.tokens.fill(-1, 2);
      const cut = await readAll(long.verify(device, { ...options, seed: 4, offset: 40 }));
      short.lengths[0] = 2;
      const result = verify(device.defaultStream, {
        targetLogits: Tensor.from(device, short.target.subarray(0, 3 * 97), [3, 97], 'f32'),
        draftTokens: Tensor.from(device, short.tokens.subarray(0, 2), [2], 'i32'),
        draftLengths: [2],
        ...options,
        seed: 4,
        offset: 40,
      });
      const { tokens } = await readAll(result);
      expect(cut.tokens).toEqual([...tokens, -1, -1, -1, -1, -1]);
    });

    it('accepts a draft drawn from the target itself, and counts accepted tokens as history', async () => {
      using device = Device.cpu({ isa, threads: 1 });
      const stream = device.defaultStream;
      const vocabulary = 500;
      const rows = randomNumbers(4 * vocabulary, { seed: 3, scale: 2 });
      const options = { temperature: 0.8, topP: 0.9, repetitionPenalty: 1.2 };
      const drafted: number[] = [];
      for (let j = 0; j < 3; j++) {
        const logits = Tensor.from(device, rows.subarray(j * vocabulary, (j + 1) * vocabulary), [1, vocabulary], 'f32');
        const indptr = Tensor.from(device, [0, j], undefined, 'i32');
        const history = { tokens: Tensor.from(device, drafted, [j], 'i32'), indptr };
        const { ids } = sample(stream, { logits, ...options, seed: 5, offset: j, history });
        drafted.push(...(await ids.readNumbers()));
      }
      const result = verify(stream, {
        targetLogits: Tensor.from(device, rows, [4, vocabulary], 'f32'),
        draftTokens: Tensor.from(device, drafted, undefined, 'i32'),
        draftLengths: [3],
        draft: {
          kind: 'sampled',
          logits: Tensor.from(device, rows.subarray(0, 3 * vocabulary), [3, vocabulary], 'f32'),
        },
        ...options,
        seed: 5,
      });
      expect((await readAll(result)).accepted).toEqual([3]);
    });

    it('keeps its structure at large vocabularies and batches', async () => {
      using device = Device.cpu({ isa, threads: 2 });
      const shapes: [requests: number, vocabulary: number, length: number][] =
        isa === 'reference'
          ? [[3, 111, 5]]
          : [
              [1, 111, 1],
              [99, 111, 3],
              [989, 111, 7],
              [1, 32000, 5],
              [99, 32000, 3],
              [1, 128256, 7],
              [9, 128256, 3],
            ];
      for (const [requests, vocabulary, length] of shapes) {
        const row = randomNumbers(vocabulary, { seed: vocabulary });
        const hot = firstMaximum(row);
        const one = Tensor.from(device, row, [1, vocabulary], 'f32');
        const total = requests * length;
        const guesses = Int32Array.from({ length: total }, (_, i) => (i % 2 === 0 ? hot : i % vocabulary));
        for (const sampled of [false, true]) {
          const result = verify(device.defaultStream, {
            targetLogits: one.asStrided([total + requests, vocabulary], [0, 1]),
            draftTokens: Tensor.from(device, guesses, [total], 'i32'),
            draftLengths: new Array<number>(requests).fill(length),
            draft: sampled
              ? { kind: 'sampled', logits: one.asStrided([total, vocabulary], [0, 1]) }
              : { kind: 'deterministic' },
            topK: 50,
            seed: Array.from({ length: requests }, (_, b) => b),
          });
          const { tokens, accepted, last } = await readAll(result);
          const threshold = Float32Array.from(row).sort().at(-50) as number;
          for (let b = 0; b < requests; b++) {
            const emitted = tokens.slice(b * (length + 1), (b + 1) * (length + 1));
            const kept = accepted[b] as number;
            expect(emitted.slice(0, kept)).toEqual(Array.from(guesses.subarray(b * length, b * length + kept)));
            expect(emitted[kept]).toBe(last[b]);
            expect(emitted.slice(kept + 1).every((token) => token === -1)).toBe(true);
            expect(emitted.slice(0, kept + 1).every((token) => (row[token] as number) >= threshold)).toBe(true);
          }
        }
      }
    });

    it('reports bad logits and bad tokens, and leaves other requests alone', async () => {
      using device = Device.cpu({ isa, threads: 2 });
      const stream = device.defaultStream;
      const batch = new Batch([2, 2, 2], 40, 6);
      const good = await readAll(batch.verify(device, { seed: 1 }));
      for (const [code, spoil] of [
        ['ERR_INVALID_LOGITS', (bad: Batch) => bad.targetRow(1, 0).fill(Number.NaN)],
        ['ERR_INVALID_TOKEN', (bad: Batch) => bad.tokens.fill(40, 3, 4)],
      ] as const) {
        const bad = batch.pick([0, 1, 2]);
        spoil(bad);
        const positions = Tensor.from(device, [1, 1, 1], undefined, 'i32');
        const result = bad.verify(device, { seed: 1, positions });
        await expect(stream.synchronize()).rejects.toMatchObject({ code });
        const { tokens, accepted, last } = await readAll(result);
        expect(tokens.slice(3, 6)).toEqual([-1, -1, -1]);
        expect([accepted[1], last[1]]).toEqual([0, -1]);
        expect((await (result.nextPositions as Tensor).readNumbers())[1]).toBe(1);
        expect([tokens.slice(0, 3), tokens.slice(6)]).toEqual([good.tokens.slice(0, 3), good.tokens.slice(6)]);
      }
      const indptr = Tensor.from(device, [0, 2, 9, 6], undefined, 'i32');
      batch.verify(device, { draftLengths: { indptr, maxLength: 2 } });
      await expect(stream.synchronize()).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    });
  });
}

it('all instruction sets verify alike', async () => {
  const batch = new Batch(new Array<number>(200).fill(4), 257, 9);
  // Half of the drafts are probable, so that all lengths occur.
  batch.tokens.forEach((_, i) => {
    if (i % 8 < 6) batch.tokens[i] = firstMaximum(batch.targetRow(Math.floor(i / 4), i % 4));
  });
  const results = [];
  for (const isa of isas) {
    using device = Device.cpu({ isa, threads: 2 });
    const seed = Array.from({ length: 200 }, (_, b) => b);
    results.push(
      await readAll(batch.verify(device, { temperature: 0.7, topP: 0.97, minP: 0.001, seed, sampled: true })),
    );
  }
  for (const result of results) expect(result).toEqual(results[0]);
  expect(new Set(results[0]?.accepted).size).toBeGreaterThan(2);
});

it('verify names what is wrong', () => {
  using device = Device.cpu({ threads: 1 });
  const batch = new Batch([2, 1], 10, 1);
  const code = (options: Partial<VerifyOptions>): unknown => {
    try {
      batch.verify(device, options);
    } catch (error) {
      return (error as { code: string }).code;
    }
    return undefined;
  };
  const zeros = (...shape: number[]): Tensor<'f32'> => Tensor.zeros(device, shape, 'f32');
  expect(code({ rule: 'maybe' as never })).toBe('ERR_INVALID_ARGUMENT');
  expect(code({ draftLengths: [2, 2] })).toBe('ERR_SHAPE_MISMATCH');
  expect(code({ draftLengths: [4, -1] })).toBe('ERR_INVALID_ARGUMENT');
  expect(code({ targetLogits: zeros(4, 10) })).toBe('ERR_SHAPE_MISMATCH');
  expect(code({ draft: { kind: 'sampled', logits: zeros(3, 9) } })).toBe('ERR_SHAPE_MISMATCH');
  expect(code({ draft: { kind: 'guessed' } as never })).toBe('ERR_INVALID_ARGUMENT');
  const parameters = packSampling(device.defaultStream, 3, {});
  expect(code({ draft: { kind: 'sampled', logits: zeros(3, 10), parameters } })).toBe('ERR_SHAPE_MISMATCH');
  expect(code({ positions: Tensor.zeros(device, [3], 'i32') })).toBe('ERR_SHAPE_MISMATCH');
  expect(code({ draftTokens: Tensor.zeros(device, [3], 'i64') as never })).toBe('ERR_UNSUPPORTED');
  expect(code({ topP: 2 })).toBe('ERR_INVALID_ARGUMENT');
});
