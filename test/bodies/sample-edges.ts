// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import {
  argmax,
  Device,
  packSampling,
  type SamplingOptions,
  type SamplingParameters,
  sample,
  Tensor,
  tokenHistory,
} from '../../lib/index.js';
import { distanceFromInterval, penalized, sampleUniform, targetProbabilities } from '../oracle/sampling.js';
import { randomNumbers } from '../support/random.js';
import { chiSquaredPValue } from '../support/statistics.js';

const none = Number.NEGATIVE_INFINITY;

/** `count` independent draws from one row, repeated by a stride of 0. */
async function drawMany(
  device: Device,
  row: readonly number[] | Float32Array,
  count: number,
  options: SamplingOptions,
): Promise<Int32Array> {
  using tensor = Tensor.from(device, Float32Array.from(row), [1, row.length], 'f32');
  using logits = tensor.asStrided([count, row.length], [0, 1]);
  const offset = Array.from({ length: count }, (_, i) => i);
  const { ids } = sample(device.defaultStream, { logits, offset, ...options });
  return (await ids.read()) as Int32Array;
}

function histogram(tokens: Int32Array, size: number): Float64Array {
  const counts = new Float64Array(size);
  for (const token of tokens) counts[token] = (counts[token] as number) + 1;
  return counts;
}

/**
 * @param open a device of the kind under test, with this many threads where that means anything
 * @param most draws from one distribution: fewer where they are slow
 */
export function samplingEdges(name: string, open: (threads: number) => Device, most: number): void {
  describe(`sampling edges (${name})`, () => {
    it('breaks ties at every cut by the lower id', async () => {
      using device = open(2);
      const row = new Float32Array(300).fill(1);
      row[7] = row[250] = 2;
      const supportOf = async (options: SamplingOptions): Promise<number[]> =>
        [...new Set(await drawMany(device, row, Math.min(most, 3000), { seed: 3, ...options }))].sort((a, b) => a - b);
      expect(await supportOf({ topK: 1 })).toEqual([7]);
      expect(await supportOf({ topK: 2 })).toEqual([7, 250]);
      expect(await supportOf({ topK: 4 })).toEqual([0, 1, 7, 250]);
      expect(await supportOf({ minP: 1 })).toEqual([7, 250]);
      expect(await supportOf({ topP: 0 })).toEqual([7]);
      expect(await supportOf({ temperature: 0 })).toEqual([7]);
      // The two first weigh 2e / (2e + 298) = 0.0179; each other token 0.00330.
      expect(await supportOf({ topP: 0.0178 })).toEqual([7, 250]);
      expect(await supportOf({ topP: 0.0225 })).toEqual([0, 1, 7, 250]);
    });

    it('takes k from the vocabulary size on as off, and finds the only finite token', async () => {
      using device = open(1);
      const row = [0.5, 0.1, -0.3, 1];
      const plain = await drawMany(device, row, Math.min(most / 10, 500), { seed: 9 });
      for (const topK of [4, 5, 1000, 2 ** 30])
        expect(await drawMany(device, row, Math.min(most / 10, 500), { seed: 9, topK })).toEqual(plain);
      for (const options of [{}, { topK: 3 }, { topP: 0.3 }, { minP: 0.5 }, { temperature: 0 }, { temperature: 50 }]) {
        const only = new Float32Array(1000).fill(none);
        only[777] = -3e38;
        expect(new Set(await drawMany(device, only, 50, options)), JSON.stringify(options)).toEqual(new Set([777]));
      }
    });

    it('never draws masked tokens, whatever the tail of the vocabulary', async () => {
      using device = open(2);
      for (const size of [2, 15, 17, 100, 255, 256, 257, 1000]) {
        const row = randomNumbers(size, { seed: size, scale: 3 }).map((x, i) => (i % 3 === 1 ? none : x));
        for (const options of [{}, { topK: 5 }, { topP: 0.9 }, { topP: 0.99, topK: 50 }]) {
          const tokens = await drawMany(device, row, Math.min(most / 10, 400), { seed: 1, ...options });
          expect(tokens.every((token) => token >= 0 && token < size && token % 3 !== 1)).toBe(true);
        }
      }
    });

    it('reports rows with NaN, +inf or nothing finite, and leaves the others alone', async () => {
      using device = open(2);
      const stream = device.defaultStream;
      for (const [bad, op] of [Number.NaN, Number.POSITIVE_INFINITY, none].flatMap((value) => [
        [value, 'sample'] as const,
        [value, 'argmax'] as const,
      ])) {
        const data = new Float32Array(3 * 40).fill(-1);
        data[5] = data[85] = 9;
        if (bad === none) data.fill(none, 40, 80);
        else data[61] = bad;
        using logits = Tensor.from(device, data, [3, 40], 'f32');
        const ids = op === 'sample' ? sample(stream, { logits, topK: 1 }).ids : argmax(stream, { logits });
        await expect(stream.synchronize()).rejects.toMatchObject({ code: 'ERR_INVALID_LOGITS' });
        expect(await ids.readNumbers()).toEqual([5, -1, 5]);
      }
    });

    it('applies penalties to the history, its prompt only by repetition', async () => {
      using device = open(2);
      const stream = device.defaultStream;
      const size = 50;
      const logits = randomNumbers(2 * size, { seed: 21 });
      const sequences = [
        [1, 2, 3, 3, 4, 4, 4],
        [10, -1, 11, 10],
      ];
      const parameters = { temperature: 0.9, repetitionPenalty: 1.4, presencePenalty: 0.5, frequencyPenalty: 0.25 };
      using tensor = Tensor.from(device, logits, [2, size], 'f32');
      for (let offset = 0; offset < 40; offset++) {
        const history = tokenHistory(stream, sequences, [3, 1]);
        const { ids } = sample(stream, { logits: tensor, ...parameters, seed: [5, 6], offset, history });
        const tokens = await ids.read();
        for (let r = 0; r < 2; r++) {
          const sequence = (sequences[r] as number[]).filter((token) => token >= 0);
          const row = logits.subarray(r * size, (r + 1) * size);
          const prompt = r === 0 ? 3 : 1;
          const p = targetProbabilities(
            penalized(row, parameters, sequence.slice(0, prompt), sequence.slice(prompt)),
            parameters,
          );
          expect(distanceFromInterval(p, Number(tokens[r]), sampleUniform(5 + r, offset))).toBeLessThan(1e-6);
        }
      }
      const history = tokenHistory(stream, [[50]]);
      using one = tensor.slice(0, 0, 1);
      const { ids } = sample(stream, { logits: one, repetitionPenalty: 2, history });
      await expect(stream.synchronize()).rejects.toMatchObject({ code: 'ERR_INVALID_TOKEN' });
      expect(await ids.readNumbers()).toEqual([-1]);
    });

    it('gives a request the same token in every batch, and other tokens at other offsets and seeds', async () => {
      using device = open(2);
      const stream = device.defaultStream;
      const [rows, size] = [33, 700];
      const data = randomNumbers(rows * size, { seed: 4 });
      using logits = Tensor.from(device, data, [rows, size], 'f32');
      const mixed = (index: number): Record<keyof SamplingParameters, number> => ({
        temperature: [0, 0.5, 1, 2][index % 4] as number,
        topK: [0, 5, 900][index % 3] as number,
        topP: [1, 0.8, 0][index % 3] as number,
        minP: [0, 0.05][index % 2] as number,
        repetitionPenalty: 1,
        presencePenalty: 0,
        frequencyPenalty: 0,
      });
      const columns = (requests: readonly number[]): SamplingParameters => {
        const list = requests.map(mixed);
        const names = Object.keys(mixed(0)) as (keyof SamplingParameters)[];
        return Object.fromEntries(names.map((name) => [name, list.map((one) => one[name])]));
      };
      const all = Array.from({ length: rows }, (_, r) => r);
      const whole = sample(stream, {
        logits,
        ...columns(all),
        seed: all.map((r) => BigInt(r) << 40n),
        offset: all.map((r) => r + 2),
        out: Tensor.empty(device, [rows], 'i64'),
      });
      const tokens = await whole.ids.readNumbers();
      for (const r of [0, 7, 32]) {
        using row = logits.slice(0, r, r + 1);
        const alone = sample(stream, { logits: row, ...mixed(r), seed: BigInt(r) << 40n, offset: r + 2 });
        expect(await alone.ids.readNumbers()).toEqual([tokens[r]]);
      }
      using wide = Tensor.empty(device, [rows, size + 3], 'f32');
      using view = wide.slice(1, 0, size);
      view.copyFrom(logits);
      const parameters = packSampling(stream, rows, columns(all));
      const viewed = sample(stream, {
        logits: view,
        parameters,
        seed: all.map((r) => BigInt(r) << 40n),
        offset: all.map((r) => r + 2),
      });
      expect(await viewed.ids.readNumbers()).toEqual(tokens);

      const base = await drawMany(device, data.subarray(0, size), 200, { seed: 1 });
      expect(await drawMany(device, data.subarray(0, size), 200, { seed: 1 })).toEqual(base);
      expect(await drawMany(device, data.subarray(0, size), 200, { seed: 2 })).not.toEqual(base);
      expect(new Set(base).size).toBeGreaterThan(50);
    });

    it('draws anew at every replay of a captured command', async () => {
      using device = open(1);
      const stream = device.stream();
      const row = randomNumbers(64, { seed: 8 });
      using logits = Tensor.from(device, row, [1, 64], 'f32');
      using offsets = Tensor.zeros(device, [1], 'i32');
      using ids = Tensor.empty(device, [1], 'i32');
      using list = stream.capture(() => {
        sample(stream, { logits, seed: 77, offset: offsets, out: ids });
      });
      const replayed: number[] = [];
      for (let i = 0; i < 20; i++) {
        offsets.write([i], stream);
        stream.replay(list);
        replayed.push(Number((await ids.read(stream))[0]));
      }
      expect(replayed).toEqual(Array.from(await drawMany(device, row, 20, { seed: 77 })));
    });

    it('fits the enumerated distribution (chi-squared)', async () => {
      using device = open(2);
      for (const [size, options] of [
        [10, {}],
        [111, { temperature: 0.7, topK: 20 }],
        [111, { topP: 0.8, temperature: 1.5 }],
        [1000, { minP: 0.05 }],
        [1000, { topK: 100, topP: 0.9, minP: 0.02 }],
      ] as const) {
        const row = randomNumbers(size, { seed: size + 1, scale: 1.5 });
        const counts = histogram(await drawMany(device, row, most, { seed: 123, ...options }), size);
        const p = chiSquaredPValue(counts, targetProbabilities(row, options));
        expect(p, `${size} ${JSON.stringify(options)}`).toBeGreaterThan(1e-6);
      }
    });
  });
}

export function samplingArguments(): void {
  describe('sampling arguments', () => {
    it('names what is wrong', () => {
      using device = Device.cpu({ threads: 1 });
      const stream = device.defaultStream;
      using logits = Tensor.zeros(device, [2, 8], 'f32');
      const code = (options: Partial<Parameters<typeof sample>[1]>): unknown => {
        try {
          sample(stream, { logits, ...options });
        } catch (error) {
          return [(error as { code: string }).code, (error as { details: { name?: string } }).details.name];
        }
        return undefined;
      };
      for (const [name, value] of [
        ['temperature', -1],
        ['temperature', Number.NaN],
        ['topK', 1.5],
        ['topP', 1.01],
        ['minP', -0.1],
        ['repetitionPenalty', 0],
        ['presencePenalty', Number.POSITIVE_INFINITY],
        ['seed', 0.5],
        ['logprobs', -1],
      ] as const) {
        expect(code({ [name]: value }), name).toEqual(['ERR_INVALID_ARGUMENT', name]);
      }
      expect(code({ temperature: [1] })).toEqual(['ERR_SHAPE_MISMATCH', 'temperature']);
      expect(code({ logits: Tensor.zeros(device, [8], 'f32') })).toEqual(['ERR_SHAPE_MISMATCH', 'logits']);
      expect(code({ logits: Tensor.zeros(device, [2, 0], 'f32') })?.toString()).toContain('ERR_INVALID_ARGUMENT');
      expect(code({ logits: Tensor.zeros(device, [2, 8], 'i32') as never })?.toString()).toContain('ERR_UNSUPPORTED');
      expect(code({ out: Tensor.zeros(device, [3], 'i32') })).toEqual(['ERR_SHAPE_MISMATCH', 'out']);
      expect(code({ parameters: packSampling(stream, 2, {}), topK: 3 })).toEqual(['ERR_INVALID_ARGUMENT', 'topK']);
      expect(code({ parameters: packSampling(stream, 3, {}) })).toEqual(['ERR_SHAPE_MISMATCH', 'parameters']);
      logits.dispose();
      expect(code({})?.toString()).toContain('ERR_DISPOSED');
    });
  });
}
