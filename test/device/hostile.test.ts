// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { load, PagewarpError, philox } from '../../lib/index.js';
import { temporaryFolder } from '../support/folder.js';
import { tinyModel } from '../support/tiny-model.js';

const path = join(temporaryFolder(), 'mutated.gguf');
const interesting = [0, 1, 2, 0x7f, 0xff, 0x100, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fc00000, 0x7f800000];

const keys = [
  ...['context_length', 'embedding_length', 'block_count', 'feed_forward_length', 'attention.head_count'],
  ...['attention.head_count_kv', 'attention.key_length', 'attention.value_length', 'rope.dimension_count'],
  ...['attention.layer_norm_rms_epsilon', 'rope.freq_base'],
].map((key) => `llama.${key}`);
const tokenKeys = ['bos_token_id', 'eos_token_id'].map((key) => `tokenizer.ggml.${key}`);

/** Changes that keep the structure (even seeds: values of hyperparameters and of the vocabulary), and any others (odd). */
function mutate(original: Uint8Array, header: number, seed: number): Uint8Array {
  const bytes = Buffer.from(original);
  let counter = 0;
  const random = (n: number): number => (philox(seed, 0, counter++)[0] ?? 0) % n;
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  if (seed % 2 === 0) {
    const key = pick([...keys, ...tokenKeys]);
    if (random(2) === 0) bytes.writeUInt32LE(pick(interesting), bytes.indexOf(key) + key.length + 4);
    const scores = bytes.indexOf('tokenizer.ggml.scores') + 'tokenizer.ggml.scores'.length + 16;
    if (random(2) === 0) bytes.writeUInt32LE(pick(interesting), scores + 4 * random(60));
    return bytes;
  }
  for (let i = 0, n = 1 + random(3); i < n; i++) {
    const at = 8 + random(header - 12);
    if (random(2) === 0) bytes[at] = (bytes[at] as number) ^ (1 << random(8));
    else bytes.writeUInt32LE(pick(interesting), at);
  }
  return random(8) === 0 ? bytes.subarray(0, 1 + random(bytes.length)) : bytes;
}

async function attempt(): Promise<string> {
  await using model = await load(path, { device: { threads: 1 }, chunk: 8 });
  await model.generate('abc', { maxTokens: 3 }).complete();
  return 'ok';
}

it('whatever a model file says, loading and generating end in a result or a typed error', async () => {
  const bytes = tinyModel().writer.bytes();
  const header = Buffer.from(bytes).lastIndexOf('output.weight') + 40;
  const outcomes = new Map<string, number>();
  for (let seed = 0; seed < 400; seed++) {
    writeFileSync(path, mutate(bytes, header, seed));
    const outcome = await attempt().catch((error: unknown) => {
      if (!(error instanceof PagewarpError)) throw new Error(`seed ${seed}: ${(error as Error).stack}`);
      expect(error.code, `seed ${seed}: ${error.message}`).not.toBe('ERR_INTERNAL');
      return error.code;
    });
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  // Both kinds must have been met, or the mutations are too weak or too strong to show anything.
  expect(outcomes.get('ok') ?? 0).toBeGreaterThan(20);
  expect(outcomes.get('ERR_INVALID_MODEL') ?? 0).toBeGreaterThan(50);
});
