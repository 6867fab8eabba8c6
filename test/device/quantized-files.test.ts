// SPDX-License-Identifier: Apache-2.0
/** What the quantiser writes, judged by others: GGUF files by llama.cpp, safetensors by the format's own rules. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Runner } from '../../bench/model/protocol.js';
import { load, quantize } from '../../lib/index.js';
import { temporaryFolder } from '../support/folder.js';
import { modelPath } from '../support/models.js';
import { announceSkip } from '../support/skip.js';

const temporary = temporaryFolder();
const folder = modelPath('demo', 'draft-hf') as string;
const peers = fileURLToPath(new URL('../../bench/peers', import.meta.url));
const hasPeer =
  existsSync(join(peers, 'node_modules', 'node-llama-cpp')) ||
  !announceSkip('llama.cpp reading quantised files: npm run bench:peers:install has not been run');

describe.runIf(hasPeer)('llama.cpp', () => {
  for (const type of ['q8_0', 'q4_0', 'q4_1'] as const) {
    it(`runs ${type} files: its tokens are ours, or as good as ties`, async () => {
      const path = join(temporary, `${type}.gguf`);
      await quantize(folder, path, { type });
      await using model = await load(path, { device: { threads: 1 } });
      const prompt = 'The President of the United States';
      const ids = model.tokenize(prompt);
      const peer = new Runner([process.execPath, 'node-llama-cpp.mjs', path, '1', '256'], peers);
      const { tokens } = await peer.greedy(ids, 50);
      const words = await peer.ask<{ tokens: number[] }>({ op: 'tokenize', text: prompt });
      peer.close();
      expect(words.tokens).toEqual(model.tokenize(prompt, { addSpecial: false }));
      expect(tokens).toHaveLength(50);
      // Both round activations to 8 bits, each in its own way: logits differ a little.
      const rows = await model.logits([...ids, ...tokens]);
      const lost = tokens.map((token, i) => {
        const row = rows[ids.length - 1 + i] as Float32Array;
        return row.reduce((a, b) => Math.max(a, b)) - (row[token] as number);
      });
      console.log(
        `${type}: llama.cpp chose ${lost.filter((gap) => gap === 0).length} of 50 tokens as we do, at most ${Math.max(...lost).toFixed(3)} below our best logit`,
      );
      expect(Math.max(...lost)).toBeLessThan(0.5);
      expect(lost.filter((gap) => gap === 0).length).toBeGreaterThanOrEqual(45);
    });
  }
});

interface TensorEntry {
  dtype: string;
  shape: number[];
  data_offsets: [begin: number, end: number];
}

/** Checks a file against the published description of safetensors, and returns its tensors. */
function readSafetensors(path: string): Record<string, TensorEntry> {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  expect(length).toBeLessThanOrEqual(100e6);
  expect(bytes[8]).toBe('{'.charCodeAt(0));
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, 8 + length));
  const { __metadata__: metadata = {}, ...tensors } = JSON.parse(text) as Record<string, TensorEntry>;
  expect(Object.values(metadata).every((value) => typeof value === 'string')).toBe(true);
  const widths: Record<string, number> = { F32: 4, F16: 2, BF16: 2, U8: 1, I8: 1, I32: 4, I64: 8 };
  // No holes, no overlaps, nothing behind the last tensor.
  let at = 0;
  for (const { dtype, shape, data_offsets } of Object.values(tensors).toSorted(
    (a, b) => a.data_offsets[0] - b.data_offsets[0],
  )) {
    const [begin, end] = data_offsets;
    expect(begin).toBe(at);
    expect(end - begin).toBe(shape.reduce((a, b) => a * b, widths[dtype] as number));
    at = end;
  }
  expect(8 + length + at).toBe(bytes.length);
  return tensors;
}

describe('folders of safetensors', () => {
  for (const type of ['nf4', 'any4'] as const) {
    it(`in ${type} follow the format, and keep what is not quantised`, async () => {
      const output = join(temporary, type);
      await quantize(folder, output, { type });
      const before = readSafetensors(join(folder, 'model.safetensors'));
      const after = readSafetensors(join(output, 'model.safetensors'));
      for (const [name, { dtype, shape }] of Object.entries(before)) {
        if (/(_proj)\.weight$/.test(name)) expect(after[name], name).toBeUndefined();
        else expect(after[name], name).toMatchObject({ dtype, shape });
      }
      for (const file of readdirSync(folder)) expect(readdirSync(output)).toContain(file);
      const config = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as Record<string, unknown>;
      const original = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<string, unknown>;
      expect(config).toMatchObject(original);
      expect(config).toHaveProperty('quantization_config');
    });
  }
});
