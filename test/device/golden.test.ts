// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type LanguageModel, load, promptLookup } from '../../lib/index.js';
import { temporaryFolder } from '../support/folder.js';
import { ggufFromFolder } from '../support/hf-to-gguf.js';
import { availableIsas } from '../support/isa.js';
import { type GoldenCase, goldenModels, modelPath } from '../support/models.js';
import { nmse } from '../support/tolerance.js';

const temporary = temporaryFolder();
const models = goldenModels();
const runs = availableIsas().flatMap((isa) => [1, 2].map((threads) => ({ isa, threads })));

/** So many tokens, three of them from a sequence, the others from a fork that outlives it. */
async function throughFork(model: LanguageModel, ids: readonly number[], count: number): Promise<number[]> {
  const options = { ignoreEnd: true, speculate: 'off' as const };
  using trunk = model.createSequence();
  const first = await model.generate(ids, { ...options, maxTokens: 3, sequence: trunk }).complete();
  using branch = trunk.fork();
  trunk.dispose();
  const rest = await model.generate([], { ...options, maxTokens: count - 3, sequence: branch }).complete();
  return [...first.tokens, ...rest.tokens];
}

describe.each(models)('golden tokens of $name', (golden) => {
  it.each(runs)('on $isa, $threads thread(s): plain, speculated, after a fork', async (device) => {
    const path = golden.file('F32');
    if (!path) return;
    await using model = await load(path, { device, cacheDType: 'f32' });
    let checked = 0;
    for (const { prompt, ids, greedy, last_logits_top5, logits_sum, logits_l2 } of golden.cases) {
      const options = { maxTokens: greedy.length, ignoreEnd: true, speculate: 'off' as const };
      expect(model.tokenize(prompt)).toEqual(ids);
      expect((await model.generate(prompt, options).complete()).tokens).toEqual(greedy);
      const speculated = await model
        .generate(prompt, { ...options, speculate: promptLookup(), adaptive: false })
        .complete();
      expect(speculated.tokens).toEqual(greedy);

      expect(await throughFork(model, ids, greedy.length)).toEqual(greedy);

      const last = (await model.logits(ids)).at(-1) as Float32Array;
      for (const [id, logit] of last_logits_top5) expect(last[id]).toBeCloseTo(logit, 2);
      expect(last.indexOf(Math.max(...last))).toBe(last_logits_top5[0]?.[0]);
      const sum = last.reduce((a, b) => a + b, 0);
      expect(Math.abs(sum - logits_sum)).toBeLessThan(1e-4 * Math.abs(logits_sum) + 0.1);
      expect(Math.hypot(...last)).toBeCloseTo(logits_l2, 1);
      checked++;
    }
    expect(checked).toBe(golden.cases.length);
  });
});

// What a bare clone has: the demo models as Hugging Face folders, whose f16 weights give the same greedy tokens.
describe.each(['target', 'draft'])('golden tokens of the demo %s, from its Hugging Face folder', (name) => {
  it.each(runs)('on $isa, $threads thread(s)', async (device) => {
    const golden = modelPath('demo', `golden-${name}.json`);
    const folder = modelPath('demo', `${name}-hf`);
    if (!golden || !folder) return;
    const path = join(temporary, `${name}.gguf`);
    ggufFromFolder(folder).write(path);
    const { cases } = JSON.parse(readFileSync(golden, 'utf8')) as { cases: GoldenCase[] };
    await using model = await load(path, { device, cacheDType: 'f32' });
    expect(cases.length).toBeGreaterThan(0);
    for (const { prompt, greedy } of cases) {
      for (const speculate of ['off', promptLookup()] as const) {
        const result = await model
          .generate(prompt, { maxTokens: greedy.length, ignoreEnd: true, speculate, adaptive: false })
          .complete();
        expect(result.tokens).toEqual(greedy);
      }
      expect(await throughFork(model, model.tokenize(prompt), greedy.length)).toEqual(greedy);
    }
  });
});

describe.each(models)('other weights of $name', (golden) => {
  const limits = { F16: 1e-4, Q8_0: 5e-3, Q4_0: 0.3 } as const;
  it.each(['F16', 'Q8_0', 'Q4_0'] as const)('%s: near the F32 logits', async (type) => {
    const exact = golden.file('F32');
    const path = golden.file(type);
    if (!exact || !path) return;
    await using model = await load(path);
    await using reference = await load(exact, { cacheDType: 'f32' });
    let agreed = 0;
    let total = 0;
    for (const { ids, greedy } of golden.cases) {
      const [actual, expected] = [await model.logits(ids), await reference.logits(ids)];
      expect(nmse(actual.at(-1) as Float32Array, expected.at(-1) as Float32Array)).toBeLessThan(limits[type]);
      const { tokens } = await model.generate(ids, { maxTokens: greedy.length, ignoreEnd: true }).complete();
      expect(tokens.length).toBe(greedy.length);
      const differs = tokens.findIndex((token, i) => token !== greedy[i]);
      agreed += differs < 0 ? greedy.length : differs;
      total += greedy.length;
    }
    console.log(`${golden.name} ${type}: ${agreed} of ${total} tokens before the first that differs from F32`);
  });
});
