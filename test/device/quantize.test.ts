// SPDX-License-Identifier: Apache-2.0
/** The quantiser: codes of single matrices against their definitions, then whole models. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import {
  Device,
  GgufFile,
  load,
  PackedMatrix,
  perplexity,
  type QuantizeOptions,
  quantize,
  Tensor,
} from '../../lib/index.js';
import { native } from '../../lib/native.js';
import { blockFormat, type QuantizedType, quantizeWeights } from '../../lib/quant/weights.js';
import { decodeBlocks } from '../oracle/ggml-blocks.js';
import { temporaryFolder } from '../support/folder.js';
import { onEveryCpu } from '../support/isa.js';
import { modelPath } from '../support/models.js';
import { randomNumbers } from '../support/random.js';
import { tinyModel } from '../support/tiny-model.js';
import { expectClose } from '../support/tolerance.js';

const temporary = temporaryFolder();
const [rows, columns, samples] = [24, 96, 300];

/** Normal weights, and inputs whose features are correlated and differ in size. */
const weights = randomNumbers(rows * columns, { seed: 1, distribution: 'normal', scale: 0.05 });
const inputs = (() => {
  const noise = randomNumbers(samples * columns, { seed: 2, distribution: 'normal' });
  return Float32Array.from(noise, (x, i) => {
    const column = i % columns;
    const neighbour = column > 0 ? (noise[i - 1] as number) : 0;
    return (x + 0.9 * neighbour) * (0.2 + 3 * ((column * 7) % 11 === 0 ? 1 : 0.1));
  });
})();

function gramOf(): Float64Array {
  const sums = new Float64Array(columns * columns);
  for (let r = 0; r < samples; r++) {
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < columns; j++) {
        sums[i * columns + j] =
          (sums[i * columns + j] as number) + (inputs[r * columns + i] as number) * (inputs[r * columns + j] as number);
      }
    }
  }
  return sums;
}
const gram = gramOf();

/** Squared error of the layer's outputs over all inputs. */
function outputError(values: ArrayLike<number>): number {
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    const lost = Float64Array.from({ length: columns }, (_, i) => {
      const at = row * columns + i;
      return (weights[at] as number) - (values[at] as number);
    });
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < columns; j++) {
        sum += (lost[i] as number) * (lost[j] as number) * (gram[i * columns + j] as number);
      }
    }
  }
  return sum;
}

const squaredError = (values: ArrayLike<number>): number =>
  weights.reduce((sum, weight, i) => sum + (weight - (values[i] as number)) ** 2, 0);

async function quantised(
  device: Device,
  type: QuantizedType,
  options: { gram?: Tensor<'f32'>; compensate?: boolean } = {},
): Promise<{ values: Float32Array; error: number }> {
  using weight = Tensor.from(device, weights, [rows, columns], 'f32');
  const { blocks, levels, error } = await quantizeWeights(device.defaultStream, weight, { type, ...options });
  const rowBytes = blocks.length / rows;
  const values = Array.from({ length: rows }, (_, row) => {
    const own = levels && (levels.length === 16 ? levels : levels.subarray(16 * row, 16 * row + 16));
    return [...decodeBlocks(blockFormat(type), blocks.slice(row * rowBytes, (row + 1) * rowBytes), own)];
  });
  return { values: Float32Array.from(values.flat()), error };
}

describe('sums for calibration', () => {
  it('are those of float64, on every instruction set, and add up', async () => {
    await onEveryCpu(async (device, name) => {
      const sums = Tensor.zeros(device, [columns, columns], 'f32');
      await device.defaultStream.synchronize();
      for (const [begin, end] of [
        [0, 7],
        [7, samples],
      ] as const) {
        using x = Tensor.from(device, inputs.slice(begin * columns, end * columns), [end - begin, columns], 'f32');
        native().gram(device.defaultStream.native, x.native, sums.native);
      }
      const actual = await sums.read();
      const lower = (values: ArrayLike<number>): number[] =>
        Array.from({ length: columns }, (_, i) => Array.from(values).slice(i * columns, i * columns + i + 1)).flat();
      expectClose(lower(actual), lower(gram), { absolute: 1e-3, relative: 1e-5 }, name);
    });
  });
});

describe('a matrix', () => {
  it('is rounded better with searched scales than with those of the extremes', async () => {
    using device = Device.cpu({ threads: 2 });
    using x = Tensor.from(device, weights, [rows, columns], 'f32');
    const errors: Partial<Record<QuantizedType, number>> = {};
    for (const type of ['q8_0', 'q4_0', 'q4_1', 'nf4', 'any4'] as const) {
      const { values, error } = await quantised(device, type);
      const squared = squaredError(values);
      errors[type] = squared;
      expect(error).toBeCloseTo(squared / squaredError(new Float32Array(weights.length)), 5);
      if (type === 'nf4' || type === 'any4') continue;
      using plain = PackedMatrix.fromTensor(device.defaultStream, x, type);
      expect(squared).toBeLessThanOrEqual(1.0001 * squaredError(await plain.unpack(device.defaultStream).read()));
    }
    expect(errors.q4_0).toBeLessThan(0.011 * squaredError(new Float32Array(weights.length)));
    expect(errors.nf4).toBeLessThan(errors.q4_0 as number);
    expect(errors.any4).toBeLessThan(errors.nf4 as number);
  });

  it('loses less of its outputs with calibration, and less still with GPTQ', async () => {
    using device = Device.cpu({ threads: 2 });
    using sums = Tensor.from(device, Float32Array.from(gram), [columns, columns], 'f32');
    for (const type of ['q4_0', 'q4_1', 'nf4', 'any4'] as const) {
      const blind = outputError((await quantised(device, type)).values);
      const weighted = outputError((await quantised(device, type, { gram: sums })).values);
      const compensated = outputError((await quantised(device, type, { gram: sums, compensate: true })).values);
      expect(weighted, type).toBeLessThan(blind);
      expect(compensated, type).toBeLessThan(0.8 * weighted);
    }
  });

  it('of zeros, of constants and of inputs that were never seen stays finite', async () => {
    using device = Device.cpu({ threads: 1 });
    using nothing = Tensor.zeros(device, [columns, columns], 'f32');
    for (const value of [0, 1e-7, -3, 1e5]) {
      using weight = Tensor.full(device, [2, columns], 'f32', value);
      await device.defaultStream.synchronize();
      for (const type of ['q8_0', 'q4_0', 'q4_1', 'nf4', 'any4'] as const) {
        for (const compensate of [false, true]) {
          const { blocks, levels, error } = await quantizeWeights(device.defaultStream, weight, {
            type,
            gram: nothing,
            compensate,
          });
          const values = decodeBlocks(blockFormat(type), blocks, levels?.subarray(0, 16));
          expect(values.every(Number.isFinite), `${type} ${value}`).toBe(true);
          expect(error).toBeGreaterThanOrEqual(0);
          if (value === 0) expect(values.every((x) => x === 0)).toBe(true);
          if (value === -3) expect(values.every((x) => Math.abs(x + 3) < 0.05)).toBe(true);
        }
      }
    }
  });
});

const folder = modelPath('demo', 'draft-hf') as string;
let calibration = '';
let evaluation = '';
let unquantised = 0;

/** Text that the model itself writes, at temperature 1: what it predicts best, so that every loss shows. */
beforeAll(async () => {
  await using model = await load(folder, { device: { threads: 2 }, cacheTokens: 4096 });
  const write = async (seeds: readonly number[]): Promise<string> => {
    const texts = await Promise.all(
      seeds.map((seed) =>
        model.generate('The', { temperature: 1, seed: BigInt(seed), maxTokens: 400, ignoreEnd: true }).complete(),
      ),
    );
    return texts.map(({ text }) => text).join('\n');
  };
  calibration = await write([1, 2, 3, 4, 5]);
  evaluation = await write([101, 102, 103, 104, 105]);
  unquantised = (await perplexity(model, evaluation, { window: 256 })).perplexity;
});

async function perplexityOf(path: string): Promise<number> {
  await using model = await load(path, { device: { threads: 2 } });
  return (await perplexity(model, evaluation, { window: 256 })).perplexity;
}

describe('the demo model', () => {
  it('keeps its perplexity in 4 bits: nearest within 3 %, GPTQ and any4 better', async () => {
    const measured: Record<string, number> = {};
    const make = async (name: string, options: Omit<QuantizeOptions, 'device'>): Promise<void> => {
      const path = join(temporary, name);
      const { tensors } = await quantize(folder, path, options);
      expect(tensors.length).toBeGreaterThanOrEqual(14);
      for (const { error } of tensors) expect(error).toBeLessThan(0.05);
      measured[name] = (await perplexityOf(path)) / unquantised;
    };
    await make('q8_0.gguf', { type: 'q8_0' });
    await make('q4_0.gguf', { type: 'q4_0' });
    await make('gptq.gguf', { type: 'q4_0', method: 'gptq', calibration });
    await make('nf4', { type: 'nf4' });
    await make('any4', { type: 'any4', calibration });
    const shown = Object.entries(measured).map(([name, ratio]) => `${name} ${(100 * (ratio - 1)).toFixed(2)} %`);
    console.log(`perplexity above f16's ${unquantised.toFixed(2)}: ${shown.join(', ')}`);
    expect(measured['q8_0.gguf']).toBeLessThan(1.003);
    expect(measured['q4_0.gguf']).toBeLessThan(1.03);
    expect(measured['gptq.gguf']).toBeLessThan(measured['q4_0.gguf'] as number);
    expect(measured['any4']).toBeLessThan(measured['q4_0.gguf'] as number);
  });

  it('can be calibrated in passes, and reports what it does', async () => {
    const phases = new Set<string>();
    const once = join(temporary, 'once.gguf');
    const often = join(temporary, 'often.gguf');
    const options = { type: 'q4_1', method: 'gptq', calibration, calibrationTokens: 512 } as const;
    await quantize(folder, once, options);
    const result = await quantize(folder, often, {
      ...options,
      calibrationMemory: 1,
      evaluation: evaluation.slice(0, 2000),
      onProgress: ({ phase, done, total }) => {
        phases.add(phase);
        expect(done).toBeLessThanOrEqual(total);
      },
    });
    expect(readFileSync(often).equals(readFileSync(once))).toBe(true);
    expect([...phases].sort()).toEqual(['calibrating', 'checking', 'evaluating', 'quantizing']);
    expect(result.after?.perplexity).toBeGreaterThan(1);
    expect(result.after?.tokens).toBe(result.before?.tokens);
  });
});

describe('quantize', () => {
  it('makes a GGUF file of a GGUF file, with all of its metadata', async () => {
    const input = join(temporary, 'tiny.gguf');
    const output = join(temporary, 'tiny-q8.gguf');
    const options = { dim: 64, ffnDim: 96, headDim: 16, ropeFactors: Array(8).fill(1.5), chatTemplate: 'x' };
    tinyModel(options).writer.write(input);
    await quantize(input, output, { type: 'q8_0', embedding: 'f16' });
    using before = GgufFile.open(input);
    using after = GgufFile.open(output);
    for (const [key, value] of before.metadata()) expect([...after.metadata()]).toContainEqual([key, value]);
    expect(after.strings('tokenizer.ggml.tokens')).toEqual(before.strings('tokenizer.ggml.tokens'));
    expect(after.number('general.file_type')).toBe(7);
    expect(after.tensor('token_embd.weight').type).toBe('F16');
    expect(after.tensor('blk.1.ffn_down.weight').type).toBe('Q8_0');
    expect(after.values('rope_freqs.weight')).toEqual(before.values('rope_freqs.weight'));
    await using exact = await load(input);
    await using rounded = await load(output);
    const [a, b] = [await exact.logits([1, 5, 9]), await rounded.logits([1, 5, 9])];
    expectClose([...(b[2] as Float32Array)], [...(a[2] as Float32Array)], { absolute: 0.1 }, 'logits');
  });

  it('refuses what it cannot do, and leaves nothing behind', async () => {
    const output = join(temporary, 'refused.gguf');
    const refuse = (options: Partial<QuantizeOptions>, code: string, input = folder, to = output): Promise<void> =>
      expect(quantize(input, to, { type: 'q4_0', ...options })).rejects.toMatchObject({ code });
    await refuse({ type: 'q2_k' as 'q4_0' }, 'ERR_INVALID_ARGUMENT');
    await refuse({ method: 'awq' as 'gptq' }, 'ERR_INVALID_ARGUMENT');
    await refuse({ method: 'gptq' }, 'ERR_INVALID_ARGUMENT');
    await refuse({ damping: -1 }, 'ERR_INVALID_ARGUMENT');
    await refuse({ calibration: 'a b c', calibrationTokens: 0 }, 'ERR_INVALID_ARGUMENT');
    await refuse({ embedding: 'q2_k' as 'f16' }, 'ERR_INVALID_ARGUMENT');
    await refuse({}, 'ERR_INVALID_ARGUMENT', folder, folder);
    await refuse({ type: 'nf4' }, 'ERR_UNSUPPORTED', modelPath('demo', 'draft-Q4_0.gguf'));
    await refuse({}, 'ERR_IO', join(temporary, 'absent.gguf'));
    const controller = new AbortController();
    const aborted = quantize(folder, output, {
      type: 'q4_0',
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    });
    await expect(aborted).rejects.toThrow('enough');
    for (const name of ['calibration', 'evaluation']) {
      await expect(quantize(folder, output, { type: 'q4_0', [name]: '' })).rejects.toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
        message: `${name} is "", but must be a text that is not empty`,
      });
    }
    expect([output, `${output}.partial`].some(existsSync)).toBe(false);
    rmSync(output, { force: true });
  });

  it('refuses an output that it could not replace, before it begins', async () => {
    const begun = vi.fn();
    const refuse = async (output: string, code: string, type: QuantizeOptions['type'] = 'q4_0'): Promise<void> => {
      const message = expect.stringContaining(output);
      const outcome = quantize(folder, output, { type, onProgress: begun });
      await expect(outcome).rejects.toMatchObject({ code, message });
    };
    const [occupied, pipe] = [join(temporary, 'occupied'), join(temporary, 'pipe')];
    mkdirSync(occupied);
    execFileSync('mkfifo', [pipe]);
    await refuse(occupied, 'ERR_INVALID_ARGUMENT');
    await refuse(occupied, 'ERR_INVALID_ARGUMENT', 'nf4');
    await refuse(pipe, 'ERR_INVALID_ARGUMENT');
    expect(statSync(pipe).isFIFO()).toBe(true);
    await refuse(join(temporary, 'absent', 'a.gguf'), 'ERR_IO');
    await refuse(join(folder, 'config.json', 'a.gguf'), 'ERR_IO');
    expect(begun).not.toHaveBeenCalled();
  });
});

describe('perplexity', () => {
  it('is that of the softmax of the logits', async () => {
    await using model = await load(modelPath('demo', 'draft-hf') as string, { cacheDType: 'f32' });
    const text = 'The President of the United States has the honor to inform the Senate';
    const ids = [model.tokenizer.bosToken as number, ...model.tokenize(text, { addSpecial: false })];
    const logits = await model.logits(ids);
    const losses = ids.slice(1).map((id, i) => {
      const row = Array.from(logits[i] as Float32Array);
      return Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - (row[id] as number);
    });
    const result = await perplexity(model, text);
    expect(result.tokens).toBe(losses.length);
    expect(result.loss).toBeCloseTo(losses.reduce((a, b) => a + b) / losses.length, 3);
    expect(result.perplexity).toBeCloseTo(Math.exp(result.loss), 6);
    const windows = await perplexity(model, text, { window: 6 });
    expect(windows.tokens).toBe(losses.length);
    expect(windows.loss).toBeGreaterThan(0);
    for (const bad of [1, 1.5, 1e6]) {
      await expect(perplexity(model, text, { window: bad })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }
    await expect(perplexity(model, '')).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });
});
