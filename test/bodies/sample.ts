// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { argmax, Device, type FloatDType, sample, Tensor } from '../../lib/index.js';
import {
  distanceFromInterval,
  firstMaximum,
  logSoftmax,
  sampleUniform,
  targetProbabilities,
} from '../oracle/sampling.js';
import { casesOf } from '../support/cases.js';
import { type Judged, reference } from '../support/judges.js';
import { randomNumbers } from '../support/random.js';
import { tiledNumbers } from '../support/tile.js';
import { expectClose } from '../support/tolerance.js';

export interface Case {
  rows: number;
  vocabulary: number;
  deviation: number;
  distribution?: 'normal' | 'gumbel';
  dtype: FloatDType;
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  zeroRatio: number;
  seed: number;
  slack: number;
}

/** Random logits, some of them -inf, as the dtype rounds them. */
async function randomLogits(test: Case): Promise<Float32Array> {
  const { rows, vocabulary, deviation, distribution = 'normal', zeroRatio, seed, dtype } = test;
  const logits = tiledNumbers(rows * vocabulary, { seed, scale: deviation, distribution });
  const masks = tiledNumbers(rows * vocabulary, { seed, stream: 1, distribution: 'uniform' });
  logits.forEach((_, i) => {
    // Another stride than the logits', so that a repeated logit is not masked alike.
    if (((masks[(7 * i) % masks.length] as number) + 1) / 2 < zeroRatio) logits[i] = Number.NEGATIVE_INFINITY;
  });
  if (dtype === 'f32') return logits;
  using device = Device.cpu({ threads: 1 });
  using tensor = Tensor.from(device, logits, [logits.length], 'f32');
  using rounded = tensor.to(dtype);
  using back = rounded.to('f32');
  return await back.read();
}

function key(test: Case): string {
  return [test.rows, test.vocabulary, test.deviation, test.distribution, test.dtype, test.zeroRatio].join('/');
}

/**
 * Group P on every one of `judged`; their tokens are compared with one another, too.
 * @param select the cases to run
 */
export function sampleTests(judged: Judged[], select: (cases: Case[]) => Case[]): void {
  describe('sample', () => {
    // Cases that differ in filters only share their logits.
    const groups = new Map<string, Case[]>();
    for (const test of select(casesOf<Case>('sample'))) groups.set(key(test), [...(groups.get(key(test)) ?? []), test]);

    for (const [name, tests] of groups) {
      it(`draws from the float64 distribution: rows/vocabulary/deviation/distribution/dtype/masked ${name}`, async () => {
        const first = tests[0] as Case;
        const { rows, vocabulary } = first;
        const logits = await randomLogits(first);
        const checked = Math.min(rows, 5); // rows compared with the oracle; all are compared between instruction sets
        const draws: Int32Array[][] = [];
        for (const { run } of judged) {
          draws.push(
            await run(async (device) => {
              using f32 = Tensor.from(device, logits, [rows, vocabulary], 'f32');
              using tensor = f32.to(first.dtype);
              const ofDevice: Int32Array[] = [];
              for (const { temperature, topK, topP, minP, seed } of tests) {
                const seeds = Array.from({ length: rows }, (_, r) => seed + r);
                const options = { logits: tensor, temperature, topK, topP, minP, seed: seeds, offset: 3 };
                const result = sample(device.defaultStream, options);
                ofDevice.push((await result.ids.read()) as Int32Array);
                result.ids.dispose();
              }
              return ofDevice;
            }),
          );
        }
        tests.forEach((test, t) => {
          for (let r = 0; r < checked; r++) {
            const row = logits.subarray(r * vocabulary, (r + 1) * vocabulary);
            const uniform = sampleUniform(test.seed + r, 3);
            const exact = targetProbabilities(row, test);
            draws.forEach((ofDevice, d) => {
              const token = (ofDevice[t] as Int32Array)[r] as number;
              let distance = distanceFromInterval(exact, token, uniform);
              // A top-p cut within rounding of a token may go either way.
              for (const shift of [2e-6, -2e-6]) {
                if (distance < test.slack || test.topP === 1) break;
                const shifted = targetProbabilities(row, { ...test, topP: test.topP * (1 + shift) });
                distance = distanceFromInterval(shifted, token, uniform);
              }
              const what = `${judged[d]?.name} ${JSON.stringify(test)} row ${r} token ${token}`;
              expect(distance, what).toBeLessThan(test.slack);
            });
          }
          // The same uniform number gives the same token but for cumulative sums within rounding of it.
          const [one, ...others] = draws.map((ofDevice) => ofDevice[t] as Int32Array);
          for (const other of others) {
            const different = other.reduce((n, token, r) => n + (token === (one as Int32Array)[r] ? 0 : 1), 0);
            expect(different, JSON.stringify(test)).toBeLessThanOrEqual(1 + rows / 100);
          }
        });
      });
    }

    it('agrees with the reference on every small case', async () => {
      const small = casesOf<Case>('sample').filter((one) => one.vocabulary === 111 && one.rows === 99);
      for (const test of judged.length > 2 ? small : small.filter((_, i) => i % 5 === 0)) {
        const logits = await randomLogits(test);
        const draw = async (device: Device): Promise<Int32Array> => {
          using tensor = Tensor.from(device, logits, [test.rows, test.vocabulary], 'f32');
          const { temperature, topK, topP, minP, seed } = test;
          const { ids } = sample(device.defaultStream, { logits: tensor, temperature, topK, topP, minP, seed });
          return (await ids.read()) as Int32Array;
        };
        const last = judged.at(-1) as Judged;
        expect(await last.run(draw)).toEqual(await reference.run(draw));
      }
    });

    for (const { name, run } of [...judged, reference]) {
      it(`gives greedy tokens and log-probabilities of the logits as given (${name})`, () =>
        run(async (device) => {
          for (const [rows, vocabulary] of [
            [3, 1],
            [5, 33],
            [2, 8193],
          ] as const) {
            const logits = randomNumbers(rows * vocabulary, { seed: 5, scale: 4 });
            using tensor = Tensor.from(device, logits, [rows, vocabulary], 'f32');
            const options = { logits: tensor, temperature: 0, repetitionPenalty: 1.3, logprobs: 4 };
            const { ids, logprobs, topIds, topLogprobs } = sample(device.defaultStream, options);
            const argmaxIds = await argmax(device.defaultStream, { logits: tensor }).read();
            const [tokens, chosen, top, topValues] = await Promise.all([
              ids.read(),
              (logprobs as Tensor<'f32'>).read(),
              (topIds as Tensor<'i32'>).read(),
              (topLogprobs as Tensor<'f32'>).read(),
            ]);
            for (let r = 0; r < rows; r++) {
              const row = logits.subarray(r * vocabulary, (r + 1) * vocabulary);
              const exact = logSoftmax(row);
              expect(tokens[r]).toBe(firstMaximum(row));
              expect(argmaxIds[r]).toBe(firstMaximum(row));
              expectClose([chosen[r] as number], [exact[firstMaximum(row)] as number], { absolute: 1e-5 });
              const order = Array.from(row.keys()).sort((a, b) => (row[b] as number) - (row[a] as number) || a - b);
              const expected = Array.from({ length: 4 }, (_, i) => order[i] ?? -1);
              expect(Array.from(top.subarray(4 * r, 4 * r + 4))).toEqual(expected);
              expectClose(
                topValues.subarray(4 * r, 4 * r + 4),
                expected.map((token) => (token < 0 ? Number.NEGATIVE_INFINITY : (exact[token] as number))),
                { absolute: 1e-5 },
              );
            }
          }
        }));
    }
  });
}
