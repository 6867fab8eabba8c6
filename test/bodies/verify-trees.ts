// SPDX-License-Identifier: Apache-2.0
/** Verification of trees, and candidates, for any device. */
import { describe, expect, it } from 'vitest';
import {
  type CandidateOptions,
  type Device,
  type DraftSource,
  drawCandidates,
  sample,
  Tensor,
  type VerifyOptions,
  type VerifyResult,
  verify,
} from '../../lib/index.js';
import { firstMaximum, logSoftmax, targetProbabilities } from '../oracle/sampling.js';
import { randomNumbers } from '../support/random.js';
import { chiSquaredPValue } from '../support/statistics.js';
import { expectClose } from '../support/tolerance.js';

const vocabulary = 60;
/** Every shape that matters: bushy, deep, a chain, nothing, one node, two branches that meet in one token. */
export const trees = [[-1, -1, -1, 0, 0, 1, 3, 3, 5], [-1, 0, 1, 2, 3, 4], [-1, 0, 1], [], [-1], [-1, -1, 0, 1, 2, 3]];
const total = trees.flat().length;

interface Inputs {
  target: Float32Array;
  draft: Float32Array;
  tokens: Int32Array;
}

export function inputs(seed: number): Inputs {
  const draftTokens = randomNumbers(total, { seed, stream: 2, distribution: 'integer', low: 0, high: vocabulary });
  return {
    target: randomNumbers((total + trees.length) * vocabulary, { seed, scale: 2 }),
    draft: randomNumbers(total * vocabulary, { seed, stream: 1, scale: 2 }),
    tokens: Int32Array.from(draftTokens),
  };
}

const begins = trees.map((_, b) => trees.slice(0, b).flat().length);
const rowOf = ({ target }: Inputs, b: number, node: number): Float32Array => {
  const row = (begins[b] as number) + b + node + 1;
  return target.subarray(row * vocabulary, (row + 1) * vocabulary);
};

export function call(
  device: Device,
  { target, draft, tokens }: Inputs,
  options: Partial<VerifyOptions> & { sampled?: 'independent' | 'distinct' },
): VerifyResult {
  const { sampled, ...rest } = options;
  // Siblings share the row of their first one.
  const rows = trees.flatMap((tree, b) => tree.map((parent) => (begins[b] as number) + tree.indexOf(parent)));
  const source: DraftSource | undefined = sampled && {
    kind: 'sampled',
    logits: Tensor.from(device, draft, [total, vocabulary], 'f32'),
    rows: Tensor.from(device, rows, [total], 'i32'),
    distinct: sampled === 'distinct',
  };
  return verify(device.defaultStream, {
    targetLogits: Tensor.from(device, target, [total + trees.length, vocabulary], 'f32'),
    draftTokens: Tensor.from(device, tokens, [total], 'i32'),
    draftLengths: trees.map((tree) => tree.length),
    parents: trees,
    ...(source ? { draft: source } : {}),
    ...rest,
  });
}

export async function readAll(result: VerifyResult) {
  const [tokens, accepted, last, path] = await Promise.all(
    [result.tokens, result.acceptedLengths, result.lastTokens, result.path as Tensor<'i32'>].map((tensor) =>
      tensor.readNumbers(),
    ),
  );
  return { tokens, accepted, last, path } as Record<'tokens' | 'accepted' | 'last' | 'path', number[]>;
}

/** Makes some of the drafted tokens right, so that walks go down. */
export function guide(data: Inputs): void {
  for (const [b, node] of [
    [0, 1],
    [0, 5],
    [1, 0],
    [1, 1],
    [1, 2],
    [2, 0],
    [2, 1],
    [2, 2],
    [5, 0],
    [5, 1],
    [5, 3],
    [5, 5],
  ] as const) {
    data.tokens[(begins[b] as number) + node] = firstMaximum(rowOf(data, b, (trees[b] as number[])[node] as number));
  }
}

/** What `verify` does with trees, on any device. */
export function verifyTreesTests(name: string, open: (threads: number) => Device): void {
  describe(`verify on trees (${name})`, () => {
    it('follows the argmax exactly under the greedy rule', async () => {
      using device = open(2);
      const data = inputs(1);
      rowOf(data, 5, 1).set(rowOf(data, 5, 0)); // one continuation, one distribution
      guide(data);
      // Node 0 of tree 0 is wrong; 1 and 5 are right. In tree 5, nodes 0 and 1 are the same token, and the right token
      // after it is found below the second.
      data.tokens[0] = (data.tokens[1] as number) === 3 ? 4 : 3;
      data.tokens[(begins[5] as number) + 2] = (data.tokens[(begins[5] as number) + 3] as number) === 3 ? 4 : 3;
      const positions = Tensor.from(device, [5, 6, 7, 8, 9, 10], undefined, 'i32');
      const result = call(device, data, { rule: 'greedy', temperature: 0.5, positions, logprobs: true });
      const { tokens, accepted, last, path } = await readAll(result);
      const paths = [[1, 5], [0, 1, 2], [0, 1, 2], [], [], [1, 3, 5]];
      const logprobs = await (result.logprobs as Tensor<'f32'>).read();
      expect(accepted.slice(0, 4)).toEqual([2, 3, 3, 0]);
      expect(accepted[5]).toBe(3);
      for (const [b, nodes] of paths.entries()) {
        if (b === 4) continue; // by chance
        expect(path.slice(6 * b, 6 * b + 6)).toEqual([...nodes, ...new Array<number>(6 - nodes.length).fill(-1)]);
        const expected = [-1, ...nodes].map((node) => firstMaximum(rowOf(data, b, node)));
        expect(tokens.slice(7 * b, 7 * b + 7)).toEqual([
          ...expected,
          ...new Array<number>(7 - expected.length).fill(-1),
        ]);
        expect(last[b]).toBe(expected.at(-1));
        expectClose(
          logprobs.subarray(7 * b, 7 * b + expected.length),
          [-1, ...nodes].map((node, i) => logSoftmax(rowOf(data, b, node))[expected[i] as number] as number),
          { absolute: 1e-5 },
        );
      }
      const next = await (result.nextPositions as Tensor).readNumbers();
      expect(next).toEqual(accepted.map((count, b) => 5 + b + count + 1));
    });

    it('treats a chain as the tree with one child everywhere', async () => {
      using device = open(1);
      const stream = device.defaultStream;
      const lengths = [5, 3, 0, 7];
      const count = 15;
      const shared = {
        targetLogits: Tensor.from(device, randomNumbers(19 * 40, { seed: 2, scale: 1.5 }), [19, 40], 'f32'),
        draftTokens: Tensor.from(
          device,
          Int32Array.from(randomNumbers(count, { seed: 3, distribution: 'integer', low: 0, high: 40 })),
          [count],
          'i32',
        ),
        draftLengths: lengths,
        topK: 20,
        repetitionPenalty: 1.3,
      };
      const logits = Tensor.from(device, randomNumbers(count * 40, { seed: 4 }), [count, 40], 'f32');
      for (const draft of [{ kind: 'deterministic' }, { kind: 'sampled', logits }] as const) {
        for (let seed = 0; seed < 30; seed++) {
          const chain = verify(stream, { ...shared, draft, seed });
          const parents = lengths.map((length) => Array.from({ length }, (_, i) => i - 1));
          const tree = verify(stream, { ...shared, draft, seed, parents });
          expect(await tree.tokens.readNumbers()).toEqual(await chain.tokens.readNumbers());
        }
      }
    });

    it('skips padding, and everything below it', async () => {
      using device = open(1);
      const data = inputs(4);
      guide(data);
      data.tokens[(begins[1] as number) + 1] = -1;
      const { accepted } = await readAll(call(device, data, { rule: 'greedy' }));
      expect(accepted[1]).toBe(1);
    });

    it('gives a request the same tokens in every batch', async () => {
      using device = open(2);
      const data = inputs(5);
      const seed = trees.map((_, b) => b);
      const together = await readAll(call(device, data, { seed, sampled: 'independent' }));
      for (const [b, parents] of trees.entries()) {
        const begin = begins[b] as number;
        const end = begin + parents.length;
        const rows = parents.map((parent) => parents.indexOf(parent));
        const alone = verify(device.defaultStream, {
          targetLogits: Tensor.from(
            device,
            data.target.subarray((begin + b) * vocabulary, (end + b + 1) * vocabulary),
            [parents.length + 1, vocabulary],
            'f32',
          ),
          draftTokens: Tensor.from(device, data.tokens.subarray(begin, end), [parents.length], 'i32'),
          draftLengths: [parents.length],
          parents: [parents],
          draft: {
            kind: 'sampled',
            logits: Tensor.from(
              device,
              data.draft.subarray(begin * vocabulary, end * vocabulary),
              [parents.length, vocabulary],
              'f32',
            ),
            rows: Tensor.from(device, rows, [rows.length], 'i32'),
          },
          seed: b,
        });
        const tokens = (await alone.tokens.readNumbers()).filter((token) => token >= 0);
        expect(tokens).toEqual(together.tokens.slice(7 * b, 7 * b + 7).filter((token) => token >= 0));
      }
    });

    it('accepts by threshold and by typicality, the deepest path first', async () => {
      using device = open(1);
      const data = inputs(6);
      const probability = (b: number, node: number): number => {
        const p = targetProbabilities(rowOf(data, b, (trees[b] as number[])[node] as number));
        return p[data.tokens[(begins[b] as number) + node] as number] as number;
      };
      const entropy = (b: number, node: number): number =>
        -targetProbabilities(rowOf(data, b, node)).reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0);
      for (const rule of [
        { kind: 'threshold', probability: 0.01 },
        { kind: 'threshold', probability: 0 },
        { kind: 'typical', epsilon: 0.02, delta: 0.2 },
      ] as const) {
        const result = call(device, data, { rule, logprobs: true });
        const { accepted, path } = await readAll(result);
        for (const [b, parents] of trees.entries()) {
          const depths: number[] = [];
          for (const [node, parent] of parents.entries()) {
            const least =
              rule.kind === 'threshold'
                ? rule.probability
                : Math.min(rule.epsilon, rule.delta * Math.exp(-entropy(b, parent)));
            const above = parent < 0 ? 0 : (depths[parent] as number);
            depths.push(above >= 0 && probability(b, node) >= least ? above + 1 : -1);
          }
          const deepest = Math.max(0, ...depths);
          expect(accepted[b]).toBe(deepest);
          if (deepest > 0) expect(depths[path[6 * b + deepest - 1] as number]).toBe(deepest);
        }
        const { tokens } = await readAll(result);
        const logprobs = await (result.logprobs as Tensor<'f32'>).read();
        const above = [-1, ...path.slice(0, accepted[0])];
        for (const [i, node] of above.entries()) {
          expect(logprobs[i]).toBeCloseTo(logSoftmax(rowOf(data, 0, node))[tokens[i] as number] as number, 4);
        }
      }
    });

    it('reports what is no tree, and bad tokens', async () => {
      using device = open(1);
      const stream = device.defaultStream;
      const base = {
        targetLogits: Tensor.from(device, randomNumbers(4 * 10, { seed: 1 }), [4, 10], 'f32'),
        draftLengths: { indptr: Tensor.from(device, [0, 3], undefined, 'i32'), maxLength: 3 },
      };
      const attempt = async (tokens: number[], parents: number[], maxDepth = 3): Promise<unknown> => {
        const result = verify(stream, {
          ...base,
          draftTokens: Tensor.from(device, tokens, [3], 'i32'),
          parents: { parents: Tensor.from(device, parents, [3], 'i32'), maxDepth },
        });
        const code = await stream.synchronize().then(
          () => 'fine',
          (error: { code: string }) => error.code,
        );
        if (code !== 'fine') expect(await result.lastTokens.readNumbers()).toEqual([-1]);
        return code;
      };
      expect(await attempt([1, 2, 3], [-1, 0, 0])).toBe('fine');
      expect(await attempt([1, 2, 3], [-1, 1, 0])).toBe('ERR_INVALID_ARGUMENT');
      expect(await attempt([1, 2, 3], [-1, 0, -2])).toBe('ERR_INVALID_ARGUMENT');
      expect(await attempt([1, 2, 3], [-1, 0, 1], 2)).toBe('ERR_INVALID_ARGUMENT');
      expect(await attempt([1, 10, 3], [-1, 0, 0])).toBe('ERR_INVALID_TOKEN');
    });
  });
}

/**
 * What `drawCandidates` does, on any device.
 * @param rows drawn at once, and how often, to see the distribution
 */
export function drawCandidatesTests(name: string, open: (threads: number) => Device, rows = 500, repeats = 20): void {
  describe(`drawCandidates (${name})`, () => {
    const size = 12;
    const row = randomNumbers(size, { seed: 8 });
    const options = { temperature: 0.9, topK: 8, topP: 0.95 };
    const q = targetProbabilities(row, options);

    async function draw(device: Device, more: Partial<CandidateOptions>) {
      const logits = Tensor.from(device, row, [1, size], 'f32').asStrided([rows, size], [0, 1]);
      const seed = Array.from({ length: rows }, (_, i) => i);
      const result = drawCandidates(device.defaultStream, {
        logits,
        count: 3,
        kind: 'distinct',
        seed,
        ...options,
        ...more,
      });
      const ids = await result.ids.readNumbers();
      const logprobs = await result.logprobs.read();
      return { ids, logprobs, keys: result.keys && (await result.keys.read()) };
    }

    it('draws from the distribution, in order, the first as sample does', async () => {
      using device = open(2);
      const pairs = new Float64Array(size * size);
      const expected = new Float64Array(size * size);
      for (let x = 0; x < size; x++) {
        for (let y = 0; y < size; y++) {
          if (x !== y) expected[x * size + y] = ((q[x] as number) * (q[y] as number)) / (1 - (q[x] as number));
        }
      }
      for (let branch = 0; branch < repeats; branch++) {
        const branches = Tensor.full(device, [rows], 'i32', branch);
        const { ids, logprobs, keys } = await draw(device, { branches, keys: true });
        for (let r = 0; r < rows; r++) {
          const [a, b, c] = ids.slice(3 * r, 3 * r + 3) as [number, number, number];
          expect(new Set([a, b, c]).size).toBe(3);
          pairs[a * size + b] = (pairs[a * size + b] as number) + 1;
          expect(logprobs[3 * r]).toBeCloseTo(Math.log(q[a] as number), 4);
          const [first, second, third] = (keys as Float32Array).slice(3 * r, 3 * r + 3) as unknown as number[];
          expect(first as number).toBeGreaterThanOrEqual(second as number);
          expect(second as number).toBeGreaterThanOrEqual(third as number);
        }
        if (branch > 0) continue;
        const logits = Tensor.from(device, row, [1, size], 'f32').asStrided([rows, size], [0, 1]);
        const seed = Array.from({ length: rows }, (_, i) => i);
        const plain = await sample(device.defaultStream, { logits, seed, ...options }).ids.readNumbers();
        expect(ids.filter((_, i) => i % 3 === 0)).toEqual(plain);
        const independent = await draw(device, { kind: 'independent' });
        expect(independent.ids.filter((_, i) => i % 3 === 0)).toEqual(plain);
      }
      expect(chiSquaredPValue(pairs, expected)).toBeGreaterThan(1e-6);
    });

    it('has keys that are Gumbel numbers, and follows given first keys', async () => {
      using device = open(1);
      const { keys } = await draw(device, { keys: true });
      let mean = 0;
      for (let r = 0; r < rows; r++) mean += ((keys as Float32Array)[3 * r] as number) / rows;
      expect(Math.abs(mean - 0.5772)).toBeLessThan((5 * 1.2825) / Math.sqrt(rows));
      const first = Tensor.full(device, [rows], 'f32', -3);
      const given = await draw(device, { keys: first });
      for (let r = 0; r < rows; r++) {
        expect((given.keys as Float32Array)[3 * r]).toBe(-3);
        expect((given.keys as Float32Array)[3 * r + 1] as number).toBeLessThanOrEqual(-3);
      }
    });

    it('gives the most probable ones in order, and nothing beyond the support', async () => {
      using device = open(1);
      const order = Array.from(q.keys()).sort((a, b) => (q[b] as number) - (q[a] as number));
      const support = q.filter((p) => p > 0).length;
      for (const kind of ['top', 'distinct'] as const) {
        const { ids, logprobs } = await draw(device, { kind, count: 12 });
        const head = ids.slice(0, 12);
        expect(head.slice(support).every((id) => id === -1)).toBe(true);
        expect(logprobs[11]).toBe(Number.NEGATIVE_INFINITY);
        if (kind === 'top') expect(head.slice(0, support)).toEqual(order.slice(0, support));
        else expect(new Set(head.slice(0, support)).size).toBe(support);
      }
      const greedy = await draw(device, { temperature: 0 });
      expect(greedy.ids.slice(0, 3)).toEqual([firstMaximum(row), -1, -1]);
    });
  });
}
