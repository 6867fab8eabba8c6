// SPDX-License-Identifier: Apache-2.0
/** How often verification and sampling read rows of logits, by the simulator's counters: figures that hold on every GPU. */
import { expect, it } from 'vitest';
import {
  drawCandidates,
  type SampleOptions,
  sample,
  Tensor,
  tokenHistory,
  type VerifyOptions,
  verify,
} from '../../lib/index.js';
import { countLaunches, describeCounters } from '../support/counters.js';
import { cudaDevice } from '../support/cuda.js';

describeCounters('verification', () => {
  const profileOf = countLaunches();
  const device = cudaDevice();
  const stream = device.defaultStream;
  const token = 7;

  /** Rows of which a token each has nearly all of the probability; none has nothing. */
  function logits(tokens: readonly number[], vocabulary: number): Tensor<'f32'> {
    const tensor = Tensor.full(device, [tokens.length, vocabulary], 'f32', -3);
    for (const [row, likely] of tokens.entries()) {
      using rows = tensor.slice(0, row, row + 1);
      using place = rows.slice(1, likely, likely + 1);
      place.fill(40);
    }
    return tensor;
  }

  /**
   * How many rows of logits a kernel loads: by how much its loads grow with the vocabulary, whatever else it reads. Sums of 256
   * tokens each and the list of rejected tokens, which is looked at as often, grow with it, too, but are less than a tenth.
   */
  async function rowsRead(kernel: string, run: (vocabulary: number) => Promise<void>): Promise<number> {
    const loaded: number[] = [];
    for (const vocabulary of [1 << 13, 1 << 14]) {
      await run(vocabulary);
      await stream.synchronize();
      loaded.push(32 * profileOf(kernel).globalLoadSectors);
    }
    const rows = ((loaded[1] as number) - (loaded[0] as number)) / (4 * (1 << 13));
    expect(rows / Math.round(rows)).toBeGreaterThan(0.999);
    expect(rows / Math.round(rows)).toBeLessThan(1.1);
    return Math.round(rows);
  }

  /** Rows that the verification of one draft reads: of `drafted` tokens, the first `right` of which are right. */
  async function verified(
    drafted: number,
    right: number,
    options: Partial<Omit<VerifyOptions, 'draft'>> & { sampled?: 'independent' | 'distinct'; certain?: boolean } = {},
  ): Promise<number> {
    const { sampled, certain = false, ...rest } = options;
    return rowsRead('pw_verify', async (vocabulary) => {
      using target = logits(new Array<number>(drafted + 1).fill(token), vocabulary);
      const tokens = Array.from({ length: drafted }, (_, i) => (i < right ? token : token + 1 + i));
      // The drafter thought one token as likely as another, unless it was certain of what it drafted.
      using draft = certain ? logits(tokens, vocabulary) : Tensor.zeros(device, [drafted, vocabulary], 'f32');
      using draftTokens = Tensor.from(device, Int32Array.from(tokens), [drafted], 'i32');
      const result = verify(stream, {
        targetLogits: target,
        draftTokens,
        draftLengths: [drafted],
        seed: 3,
        ...(sampled ? { draft: { kind: 'sampled', logits: draft, distinct: sampled === 'distinct' } } : {}),
        ...rest,
      });
      expect(await result.acceptedLengths.readNumbers(stream)).toEqual([right]);
      for (const tensor of Object.values(result)) (tensor as Tensor).dispose();
    });
  }

  for (const temperature of [0, 1, 0.7]) {
    it(`by match at temperature ${temperature}: each row that the walk comes to, once`, async () => {
      expect(await verified(5, 5, { rule: 'match', temperature })).toBe(6);
      expect(await verified(5, 2, { rule: 'match', temperature })).toBe(3);
      expect(await verified(5, 0, { rule: 'match', temperature })).toBe(1);
    });
  }

  it('by rejection: target and draft rows once, and the rejected ones once more', async () => {
    expect(await verified(4, 4, { sampled: 'independent' })).toBe(4 * 2 + 1);
    expect(await verified(4, 2, { sampled: 'independent' })).toBe(3 * 2 + 2);
    expect(await verified(4, 0, { sampled: 'independent' })).toBe(2 + 2);
  });

  it('by rejection of deterministic drafts: each row once', async () => {
    expect(await verified(4, 4)).toBe(5);
    expect(await verified(4, 2)).toBe(3);
    expect(await verified(4, 0)).toBe(1);
  });

  it('by rejection on a tree: the rejected rows once more for every rejected sibling that was sampled', async () => {
    const parents = [[-1, -1, -1]];
    expect(await verified(3, 0, { parents })).toBe(1);
    expect(await verified(3, 0, { parents, sampled: 'distinct' })).toBe(2 + 3 * 2);
  });

  it('by k-seq: rows once, and the rejected ones once more for the ratio and for the residual', async () => {
    const options = { parents: [[-1, -1, -1]], rule: 'k-seq', sampled: 'independent' } as const;
    expect(await verified(3, 0, options)).toBe(2 + 2 * 2);
    // Beyond doubt whatever the ratio.
    expect(await verified(3, 1, options)).toBe(2 + 1);
  });

  it('by block: rows once, and the rejected ones once more', async () => {
    expect(await verified(4, 4, { rule: 'block', sampled: 'independent' })).toBe(4 * 2 + 1);
    expect(await verified(4, 2, { rule: 'block', sampled: 'independent' })).toBe(4 * 2 + 2);
    expect(await verified(4, 0, { rule: 'block', sampled: 'independent' })).toBe(4 * 2 + 2);
    expect(await verified(4, 4, { rule: 'block' })).toBe(4 + 1);
    expect(await verified(4, 2, { rule: 'block' })).toBe(4 + 1);
  });

  it('by a criterion: each row once, the entropy included', async () => {
    expect(await verified(4, 4, { rule: { kind: 'typical' } })).toBe(5);
    expect(await verified(4, 2, { rule: { kind: 'typical' } })).toBe(3);
    expect(await verified(4, 2, { rule: { kind: 'typical' }, topP: 0.9, logprobs: true })).toBe(3);
    expect(await verified(4, 4, { rule: { kind: 'threshold', probability: 0.5 } })).toBe(5);
    expect(await verified(4, 2, { rule: { kind: 'threshold', probability: 0.5 } })).toBe(3);
  });

  const everything = {
    temperature: 0.7,
    topK: 40,
    topP: 0.95,
    minP: 0.05,
    repetitionPenalty: 1.2,
    frequencyPenalty: 0.1,
  };
  const wishes = {
    'log-probabilities': { logprobs: true },
    'log-probabilities at another temperature': { logprobs: true, temperature: 0.7 },
    'top-k': { topK: 40 },
    'top-p': { topP: 0.9 },
    'min-p': { minP: 0.1 },
    penalties: { repetitionPenalty: 1.2, presencePenalty: 0.1 },
    'all of them': { ...everything, logprobs: true },
  };
  it.each(Object.entries(wishes))('with %s: each row once', async (_what, wish) => {
    expect(await verified(3, 3, { rule: 'match', ...wish })).toBe(4);
    expect(await verified(3, 1, wish)).toBe(2);
    expect(await verified(2, 1, { ...wish, sampled: 'independent', certain: true })).toBeLessThanOrEqual(2 * 2 + 2);
  });

  /** Rows that `sample` reads for one row of these logits. */
  async function sampled(
    options: Partial<Omit<SampleOptions, 'logits'>>,
    row: (vocabulary: number) => Tensor<'f32'> = (vocabulary) => logits([token], vocabulary),
  ): Promise<number> {
    const history = tokenHistory(stream, [[token, 3, 3]]);
    const rows = await rowsRead('pw_sample', async (vocabulary) => {
      using given = row(vocabulary);
      const result = sample(stream, { logits: given, seed: 1, history, ...options });
      for (const tensor of Object.values(result)) (tensor as Tensor).dispose();
    });
    for (const tensor of Object.values(history)) (tensor as Tensor).dispose();
    return rows;
  }

  it('sampling reads a row once, whatever is wanted', async () => {
    for (const temperature of [0, 1, 0.7]) expect(await sampled({ temperature })).toBe(1);
    expect(await sampled(everything)).toBe(1);
    expect(await sampled({ topP: 0.9, logprobs: 5 })).toBe(1);
    expect(await sampled({ topK: 1024, logprobs: 20, temperature: 0.7 })).toBe(1);
    // The most probable tokens are those before penalties, and the draw's are others.
    expect(await sampled({ ...everything, logprobs: 5 })).toBe(2);
  });

  it('sampling reads a row so flat that filters leave more tokens than are listed several times', async () => {
    const ramp = (vocabulary: number): Tensor<'f32'> =>
      Tensor.from(
        device,
        Float32Array.from({ length: vocabulary }, (_, i) => (i * 4) / vocabulary),
        [1, vocabulary],
        'f32',
      );
    expect(await sampled({ topP: 0.9 }, ramp)).toBeLessThanOrEqual(7);
    expect(await sampled({ minP: 0.1 }, ramp)).toBe(2);
    expect(await sampled({ topK: 2000 }, ramp)).toBeLessThanOrEqual(7);
  });

  it.each(['top', 'independent', 'distinct'] as const)('candidates: a row once, %s', async (kind) => {
    const rows = await rowsRead('pw_candidates', async (vocabulary) => {
      using row = logits([token], vocabulary);
      const result = drawCandidates(stream, { logits: row, count: 4, kind, seed: 1, temperature: 0.8, topP: 0.99 });
      for (const tensor of Object.values(result)) (tensor as Tensor).dispose();
    });
    expect(rows).toBe(1);
  });
});
