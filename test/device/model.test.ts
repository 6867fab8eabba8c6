// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { estimateMemory, load } from '../../lib/index.js';
import { oracleLogits } from '../oracle/llama.js';
import { temporaryFolder } from '../support/folder.js';
import { GgufWriter } from '../support/gguf-writer.js';
import { availableIsas } from '../support/isa.js';
import { randomNumbers } from '../support/random.js';
import { type TinyOptions, tinyModel, tinyVocabulary } from '../support/tiny-model.js';
import { expectClose } from '../support/tolerance.js';

const folder = temporaryFolder();
const path = join(folder, 'model.gguf');
const tokens = Array.from(randomNumbers(40, { seed: 5, distribution: 'integer', low: 3, high: tinyVocabulary }));

const features: [name: string, options: TinyOptions][] = [
  ['Llama', {}],
  ['tied embeddings', { tied: true }],
  ['one key-value head for all', { heads: 4, kvHeads: 1 }],
  ['as many key-value heads as query heads', { heads: 4, kvHeads: 4 }],
  ['heads wider than dim / heads', { headDim: 24 }],
  ['an odd number of blocks per head', { headDim: 20, heads: 3, kvHeads: 1, dim: 36, ffnDim: 52 }],
  ['partial rotation', { headDim: 16, rotaryDim: 8 }],
  ['rope_freqs, as Llama 3 writes it', { ropeFactors: [1, 1.5, 4, 8] }],
  ['linear rope scaling', { ropeScale: 4 }],
  ['YaRN rope scaling', { yarn: { factor: 4, originalContext: 64 }, headDim: 16 }],
  ['Qwen2: biases', { architecture: 'qwen2', theta: 1e6 }],
  ['Qwen3: head norms', { architecture: 'qwen3', headDim: 16, theta: 1e6, tied: true }],
  ['f16 weights', { typeOf: () => 'F16' }],
  ['bf16 weights', { typeOf: () => 'BF16' }],
  [
    'projections of mixed types',
    { typeOf: (name) => (/attn_v|ffn_up/.test(name) ? 'F16' : /output|attn_k/.test(name) ? 'BF16' : 'F32') },
  ],
];

describe.each(availableIsas())('forward pass on %s against float64', (isa) => {
  it.each(features)('%s', async (_name, options) => {
    const { writer, oracle } = tinyModel(options);
    writer.write(path);
    const expected = oracleLogits(oracle, tokens);
    await using model = await load(path, { device: { isa, threads: 2 }, cacheDType: 'f32', chunk: 16 });
    const rows = await model.logits(tokens);
    for (const [i, row] of rows.entries()) {
      expectClose(row, expected[i] as Float64Array, { absolute: 2e-4, relative: 1e-4 }, `logits after token ${i}`);
    }
    // The same through prefill in chunks, the cache, and steps of one row.
    const { tokens: greedy, logprobs } = await collect(
      model.generate(tokens, { maxTokens: 8, logprobs: 2, ignoreEnd: true }),
    );
    const full = oracleLogits(oracle, [...tokens, ...greedy]);
    for (const [i, token] of greedy.entries()) {
      const logits = full[tokens.length - 1 + i] as Float64Array;
      expect(token).toBe(logits.indexOf(Math.max(...logits)));
      expect(logprobs[i]).toBeCloseTo((logits[token] as number) - logSumExp(logits), 3);
    }
  });
});

async function collect(
  generation: AsyncIterable<{ tokens: number[]; logprobs?: { logprob: number }[] }>,
): Promise<{ tokens: number[]; logprobs: number[] }> {
  const out = { tokens: [] as number[], logprobs: [] as number[] };
  for await (const chunk of generation) {
    out.tokens.push(...chunk.tokens);
    out.logprobs.push(...(chunk.logprobs ?? []).map(({ logprob }) => logprob));
  }
  return out;
}

function logSumExp(values: Float64Array): number {
  const most = Math.max(...values);
  return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

describe('quantised caches', () => {
  it.each([
    ['f16', 2e-2],
    ['bf16', 1e-1],
    ['i8', 1e-1],
  ] as const)('%s changes the logits only a little', async (cacheDType, absolute) => {
    const { writer, oracle } = tinyModel();
    writer.write(path);
    const expected = oracleLogits(oracle, tokens);
    await using model = await load(path, { device: { threads: 1 }, cacheDType });
    const rows = await model.logits(tokens);
    expectClose(rows.at(-1) as Float32Array, expected.at(-1) as Float64Array, { absolute, relative: 0.02 });
  });
});

describe('load', () => {
  const refuse = async (change: (writer: GgufWriter) => GgufWriter, code: string, message: RegExp): Promise<void> => {
    change(new GgufWriter()).write(path);
    await expect(load(path)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  };

  it('refuses what it cannot run, saying what it could', async () => {
    await refuse((w) => w, 'ERR_INVALID_MODEL', /general.architecture" is missing/);
    await refuse(
      (w) => w.value('general.architecture', 'string', 'mamba'),
      'ERR_UNSUPPORTED',
      /mamba.*llama, qwen2, qwen3/,
    );
    await refuse((w) => w.value('general.architecture', 'u32', 1), 'ERR_INVALID_MODEL', /must be a string/);
    await expect(load(folder)).rejects.toMatchObject({ code: 'ERR_IO', message: expect.stringMatching(/config.json/) });
    await expect(load(join(folder, 'absent.gguf'))).rejects.toMatchObject({ code: 'ERR_IO' });
    await expect(load('')).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  it('refuses hyperparameters that contradict the tensors or each other', async () => {
    const { writer } = tinyModel();
    writer.write(path);
    const bytes = writer.bytes();
    // Change one 32-bit hyperparameter in place.
    const patched = async (key: string, value: number): Promise<unknown> => {
      const copy = Buffer.from(bytes);
      copy.writeUInt32LE(value, copy.indexOf(key) + key.length + 4);
      writeFileSync(path, copy);
      return load(path).then(
        (model) => model.dispose(),
        (error) => error,
      );
    };
    expect(await patched('llama.attention.head_count', 8)).toMatchObject({ code: 'ERR_INVALID_MODEL' });
    expect(await patched('llama.attention.head_count_kv', 3)).toMatchObject({ code: 'ERR_INVALID_MODEL' });
    expect(await patched('llama.block_count', 3)).toMatchObject({ code: 'ERR_INVALID_MODEL' });
    expect(await patched('llama.block_count', 1)).toMatchObject({
      code: 'ERR_INVALID_MODEL',
      message: expect.stringMatching(/"blk\.1\.\w+\.weight".* 1 layers/),
    });
    expect(await patched('llama.block_count', 1e9)).toMatchObject({ message: expect.stringMatching(/from 1 to 4096/) });
    expect(await patched('llama.feed_forward_length', 64)).toMatchObject({
      message: expect.stringMatching(/ffn_gate/),
    });
    expect(await patched('llama.rope.dimension_count', 7)).toMatchObject({ message: expect.stringMatching(/even/) });
    expect(await patched('llama.context_length', 128)).toBeUndefined();
  });

  it('refuses tensors that it would leave out', async () => {
    const others = ['blk.0.attn_output.bias', 'blk.1.ffn_up.bias', 'blk.1.attn_q.bias', 'output.bias'];
    for (const name of [...others, 'blk.0.attn_sinks.weight', 'rope_factors_long.weight']) {
      tinyModel().writer.tensor(name, [32], new Float32Array(32)).write(path);
      const message = expect.stringContaining(`the tensor "${name}" is not supported`);
      await expect(load(path)).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED', message });
    }
  });

  it('reports progress up to the whole file, and can be aborted', async () => {
    tinyModel().writer.write(path);
    const seen: number[] = [];
    let total = 0;
    const model = await load(path, {
      onProgress: ({ loadedBytes, totalBytes }) => {
        seen.push(loadedBytes);
        total = totalBytes;
      },
    });
    model.dispose();
    expect(seen.at(-1)).toBe(total);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    const controller = new AbortController();
    const aborted = load(path, { signal: controller.signal, onProgress: () => controller.abort(new Error('enough')) });
    await expect(aborted).rejects.toThrow('enough');
    await expect(load(path, { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before');
  });

  it('says which device it chose and why', async () => {
    tinyModel().writer.write(path);
    await using model = await load(path, { device: 'auto' });
    expect(model.device.kind).toBe('cpu');
    expect(model.deviceReason).toMatch(/no usable GPU \(.+\)/);
    await expect(load(path, { device: 'cuda' })).rejects.toMatchObject({ code: 'ERR_DEVICE_UNAVAILABLE' });
    await expect(load(path, { device: 'gpu' as 'cuda' })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  it('takes the memory that it says, and gives it back', async () => {
    tinyModel({ dim: 64, ffnDim: 192 }).writer.write(path);
    const estimate = await estimateMemory(path, { cacheDType: 'f32' });
    const model = await load(path, { cacheDType: 'f32' });
    const used = model.device.bytesInUse;
    expect(used).toBeGreaterThan(estimate.total * 0.9);
    expect(used).toBeLessThan(estimate.total * 1.2 + 65536);
    await model[Symbol.asyncDispose]();
    model.dispose();
    expect(() => model.generate('a')).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
  });

  it('checks the options', async () => {
    tinyModel().writer.write(path);
    for (const options of [{ contextLength: 0 }, { contextLength: 129 }, { chunk: 0.5 }, { cacheTokens: -1 }]) {
      await expect(load(path, options)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }
  });
});
