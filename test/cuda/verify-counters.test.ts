// SPDX-License-Identifier: Apache-2.0
/** How often verification and sampling read rows of logits, by the simulator's counters: figures that hold on every GPU. */
import { expect, it } from 'vitest';
import { sample, Tensor, type VerifyOptions, verify } from '../../lib/index.js';
import { countLaunches, describeCounters } from '../support/counters.js';
import { cudaDevice } from '../support/cuda.js';

describeCounters('verification', () => {
  const profileOf = countLaunches();
  const device = cudaDevice();
  const stream = device.defaultStream;
  const token = 7;

  /** Rows whose first token has nearly all of the probability; no token has none. */
  function logits(rows: number, vocabulary: number): Tensor<'f32'> {
    const tensor = Tensor.full(device, [rows, vocabulary], 'f32', -3);
    using column = tensor.slice(1, token, token + 1);
    column.fill(40);
    return tensor;
  }

  /**
   * How many rows of logits a kernel loads: by how much its loads grow with the vocabulary, whatever else it reads. Sums of 256
   * tokens each and the list of rejected tokens, which is looked at as often, grow with it, too, but are less than a tenth.
   */
  async function rowsRead(kernel: string, run: (vocabulary: number) => Promise<void>): Promise<number> {
    const loaded: number[] = [];
    for (const vocabulary of [1 << 14, 1 << 15]) {
      await run(vocabulary);
      await stream.synchronize();
      loaded.push(32 * profileOf(kernel).globalLoadSectors);
    }
    const rows = ((loaded[1] as number) - (loaded[0] as number)) / (4 * (1 << 14));
    expect(rows / Math.round(rows)).toBeGreaterThan(0.999);
    expect(rows / Math.round(rows)).toBeLessThan(1.1);
    return Math.round(rows);
  }

  /** Rows that the verification of one draft reads: of `drafted` tokens, the first `right` of which are right. */
  async function verified(
    drafted: number,
    right: number,
    options: Partial<Omit<VerifyOptions, 'draft'>> & { sampled?: 'independent' | 'distinct' } = {},
  ): Promise<number> {
    const { sampled, ...rest } = options;
    return rowsRead('pw_verify', async (vocabulary) => {
      using target = logits(drafted + 1, vocabulary);
      // The drafter thought one token as likely as another.
      using draft = Tensor.zeros(device, [drafted, vocabulary], 'f32');
      const tokens = Int32Array.from({ length: drafted }, (_, i) => (i < right ? token : token + 1 + i));
      using draftTokens = Tensor.from(device, tokens, [drafted], 'i32');
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
    expect(await verified(4, 0)).toBe(1 + 1);
  });

  it('by rejection on a tree: the rejected rows once more for every rejected sibling that was sampled', async () => {
    const parents = [[-1, -1, -1]];
    expect(await verified(3, 0, { parents })).toBe(1 + 1);
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

  it('by a criterion: rows once, and for the entropy once more where the fixed threshold does not accept', async () => {
    expect(await verified(4, 4, { rule: { kind: 'typical' } })).toBe(5);
    expect(await verified(4, 2, { rule: { kind: 'typical' } })).toBe(3 + 1);
    expect(await verified(4, 4, { rule: { kind: 'threshold', probability: 0.5 } })).toBe(5);
    expect(await verified(4, 2, { rule: { kind: 'threshold', probability: 0.5 } })).toBe(3);
  });

  it('filters need further passes, and so do log-probabilities at another temperature than 1', async () => {
    expect(await verified(1, 1, { rule: 'match', logprobs: true })).toBe(2);
    expect(await verified(1, 1, { rule: 'match', logprobs: true, temperature: 0.7 })).toBe(4);
    expect(await verified(1, 1, { rule: 'match', minP: 0.1 })).toBe(4);
  });

  it('sampling reads a row once', async () => {
    for (const temperature of [0, 1, 0.7]) {
      const rows = await rowsRead('pw_sample', async (vocabulary) => {
        using row = logits(1, vocabulary);
        sample(stream, { logits: row, temperature, seed: 1 }).ids.dispose();
      });
      expect(rows).toBe(1);
    }
  });
});
