// SPDX-License-Identifier: Apache-2.0
// The demo models on the simulated GPU, through the public API: token for token what float64 says, as on the CPU.
import { expect, it } from 'vitest';
import { Device, type LanguageModel, load } from '../../lib/index.js';
import { cudaDevice, describeOnGpu, isSimulated } from '../support/cuda.js';
import { demoModel } from '../support/demo.js';
import { temporaryFolder } from '../support/folder.js';
import { modelPath } from '../support/models.js';
import { announceSkip } from '../support/skip.js';
import { nmse } from '../support/tolerance.js';

const temporary = temporaryFolder();
const common = { ignoreEnd: true, speculate: 'off' } as const;

const demo = (name: 'draft' | 'target') => demoModel(name, temporary);

/** Tokens of a prompt that are asked for: all on a real GPU, `most` on the simulated one. */
function affordable(most: number, greedy: readonly number[]): number {
  if (!isSimulated) return greedy.length;
  announceSkip(`generating on the simulated GPU: some prompts run to ${most} of ${greedy.length} tokens`);
  return most;
}

async function streamed(model: LanguageModel, prompt: string, maxTokens: number): Promise<number[]> {
  const tokens: number[] = [];
  for await (const chunk of model.generate(prompt, { ...common, maxTokens })) tokens.push(...chunk.tokens);
  return tokens;
}

describeOnGpu('generating on the GPU', () => {
  const device = cudaDevice();

  it('gives the golden tokens of the draft model, streamed, by replayed graphs', async () => {
    const model = demo('draft');
    if (!model) return;
    const before = device.cudaStatistics.launches;
    await using onGpu = await load(model.path, { device, cacheDType: 'f32', contextLength: 160 });
    const [first, ...others] = model.cases;
    if (!first) throw new Error('no golden case');
    expect(await streamed(onGpu, first.prompt, first.greedy.length)).toEqual(first.greedy);
    const after = device.cudaStatistics.launches;
    expect(after.graphLaunches - before.graphLaunches).toBeGreaterThanOrEqual(first.greedy.length - 1);
    expect(after.graphCaptures - before.graphCaptures).toBeLessThanOrEqual(3);
    for (const { prompt, greedy } of others) {
      const tokens = affordable(4, greedy);
      expect(await streamed(onGpu, prompt, tokens)).toEqual(greedy.slice(0, tokens));
    }
  });

  it('gives the golden tokens of the target model', async () => {
    const model = demo('target');
    const first = model?.cases[0];
    if (!model || !first) return;
    await using onGpu = await load(model.path, { device, cacheDType: 'f32', contextLength: 160 });
    const tokens = affordable(8, first.greedy);
    expect(await streamed(onGpu, first.prompt, tokens)).toEqual(first.greedy.slice(0, tokens));
  });

  it('continues a fork', async () => {
    const model = demo('draft');
    const first = model?.cases[0];
    if (!model || !first) return;
    await using onGpu = await load(model.path, { device, cacheDType: 'f32', contextLength: 160 });
    using trunk = onGpu.createSequence();
    const begin = await onGpu.generate(first.ids, { ...common, maxTokens: 3, sequence: trunk }).complete();
    using branch = trunk.fork();
    trunk.dispose();
    const rest = await onGpu.generate([], { ...common, maxTokens: 5, sequence: branch }).complete();
    expect([...begin.tokens, ...rest.tokens]).toEqual(first.greedy.slice(0, 8));
  });

  it('samples the same tokens as the CPU at the same seed', async () => {
    const model = demo('draft');
    if (!model) return;
    const options = { ...common, maxTokens: 12, temperature: 0.8, topP: 0.95, seed: 11n };
    const texts: number[][] = [];
    for (const where of [device, { threads: 1 }]) {
      await using loaded = await load(model.path, { device: where, cacheDType: 'f32', contextLength: 160 });
      texts.push((await loaded.generate('The President', options).complete()).tokens);
    }
    expect(texts[0]).toEqual(texts[1]);
  });

  it('is what auto finds, and takes 4-bit weights', async () => {
    const path = modelPath('demo', 'draft-Q4_0.gguf');
    const first = demo('draft')?.cases[0];
    if (!path || !first) return;
    await using onGpu = await load(path, { contextLength: 160 });
    expect(onGpu.device.kind).toBe('cuda');
    expect(onGpu.deviceReason).toContain('the first usable GPU');
    await using onCpu = await load(path, { device: { threads: 1 }, contextLength: 160 });
    const [actual, expected] = [await onGpu.logits(first.ids), await onCpu.logits(first.ids)];
    // The CPU rounds activations to 8 bits, the GPU does not.
    expect(nmse(actual.at(-1) as Float32Array, expected.at(-1) as Float32Array)).toBeLessThan(5e-3);
    expect(await streamed(onGpu, first.prompt, 4)).toHaveLength(4);
  });

  it('rounds inputs of linear layers to 8 bits where that is allowed', async () => {
    const path = modelPath('demo', 'draft-Q4_0.gguf');
    const first = demo('draft')?.cases[0];
    if (!path || !first) return;
    const logits: Float32Array[] = [];
    for (const precision of [undefined, 'int8'] as const) {
      await using onGpu = await load(path, { device, contextLength: 160, ...(precision ? { precision } : {}) });
      logits.push((await onGpu.logits(first.ids)).at(-1) as Float32Array);
    }
    const [exact, rounded] = logits as [Float32Array, Float32Array];
    expect(nmse(rounded, exact)).toBeLessThan(1e-2);
    expect(rounded).not.toEqual(exact);
    const wrong = load(path, { device, precision: 'int4' as 'int8' });
    await expect(wrong).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  it('writes the same with 16 bits between layers', async () => {
    const model = demo('draft');
    const first = model?.cases[0];
    if (!model || !first) return;
    const logits: Float32Array[] = [];
    for (const activationDType of ['f32', 'f16', 'bf16'] as const) {
      await using onGpu = await load(model.path, { device, activationDType, contextLength: 160 });
      logits.push((await onGpu.logits(first.ids)).at(-1) as Float32Array);
      if (activationDType === 'f16') {
        const tokens = affordable(8, first.greedy);
        expect(await streamed(onGpu, first.prompt, tokens)).toEqual(first.greedy.slice(0, tokens));
      }
    }
    const [exact, f16, bf16] = logits as [Float32Array, Float32Array, Float32Array];
    expect(nmse(f16, exact)).toBeLessThan(1e-5);
    expect(nmse(bf16, exact)).toBeLessThan(1e-3);
    for (const rounded of [f16, bf16]) expect(rounded).not.toEqual(exact);
    const wrong = load(model.path, { device, activationDType: 'i8' as 'f16' });
    await expect(wrong).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  it('gives the memory back when a model does not fit', async () => {
    const path = modelPath('demo', 'draft-Q4_0.gguf');
    if (!path) return;
    using small = Device.cuda(0, { memoryLimit: 1 << 20 });
    await expect(load(path, { device: small })).rejects.toMatchObject({ code: 'ERR_OUT_OF_MEMORY' });
    expect(small.bytesInUse).toBe(0);
  });
});
