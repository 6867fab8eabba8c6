// SPDX-License-Identifier: Apache-2.0
/** Trials of group Q on trees, for any device: drafts by `drawCandidates`, `verify`, and a plain draw where one token came. */
import { readFileSync } from 'node:fs';
import { type Device, drawCandidates, gatherRows, packSampling, sample, Tensor, verify } from '../../lib/index.js';
import { type OracleParameters, targetProbabilities } from '../oracle/sampling.js';
import { type Drawing, firstLevelChance, rankOf, type TreeScenario } from '../oracle/treeverification.js';
import { judge, Tally, type Verdict } from '../oracle/verification.js';
import { randomNumbers } from './random.js';

export interface TreeCase extends OracleParameters {
  vocabulary: number;
  parents: number[];
  drawing: Drawing;
  rule?: 'k-seq' | 'block' | 'match';
  everywhere?: boolean;
}

/** test/cases/verify_trees.json */
export const treeCases = JSON.parse(readFileSync(new URL('../cases/verify_trees.json', import.meta.url), 'utf8')) as {
  trials: number;
  fullTrials: number;
  cases: TreeCase[];
};

/** Runs the trials of one case, `batch` at a time, and judges them. */
export async function judgeTrees(
  device: Device,
  test: TreeCase,
  trials: number,
  batch = 4_000,
): Promise<Verdict & { trials: number }> {
  const scenario = scenarioOf(test);
  const tally = new Tally(test.vocabulary);
  const steps = Math.ceil(trials / batch);
  // Half of them at a time: while the host looks at some, others are computed.
  await Promise.all([0, 1].map((first) => runSteps(device, test, tally, batch, first, steps)));
  const chain = { length: test.parents.length, target: scenario.target, draft: scenario.draft };
  return { ...judge(tally, chain, [firstLevelChance(scenario)]), trials: tally.trials };
}

/** Logits after a token at a depth: row (depth, token); after the last committed token row 0. */
class Table {
  readonly logits: Float32Array;
  readonly #vocabulary: number;

  constructor(vocabulary: number, depths: number, seed: number) {
    this.#vocabulary = vocabulary;
    this.logits = randomNumbers((depths + 1) * vocabulary * vocabulary, { seed, scale: 0.8 });
  }

  index(depth: number, token: number): number {
    return depth === 0 ? 0 : depth * this.#vocabulary + token;
  }

  row(prefix: readonly number[]): Float32Array {
    const at = this.index(prefix.length, prefix.at(-1) ?? 0) * this.#vocabulary;
    return this.logits.subarray(at, at + this.#vocabulary);
  }
}

function tablesOf({ vocabulary, parents }: TreeCase): { target: Table; draft: Table } {
  const seed = 100 * vocabulary + parents.length;
  return {
    target: new Table(vocabulary, parents.length, seed),
    draft: new Table(vocabulary, parents.length, seed + 1),
  };
}

function parametersOf({ temperature, topK, topP, minP }: TreeCase): OracleParameters {
  return Object.fromEntries(
    Object.entries({ temperature, topK, topP, minP }).filter(([, value]) => value !== undefined),
  );
}

function scenarioOf(test: TreeCase): TreeScenario {
  const { target, draft } = tablesOf(test);
  const parameters = parametersOf(test);
  return {
    parents: test.parents,
    drawing: test.drawing,
    // By chance, a deterministic draft fares alike: a node is accepted as often as the target draws its token.
    rule: test.rule === 'match' ? 'rejection' : (test.rule ?? 'rejection'),
    target: (prefix) => targetProbabilities(target.row(prefix), parameters),
    draft: (prefix) => {
      const q = targetProbabilities(draft.row(prefix), parameters);
      // Deterministic siblings are the ranks of q; a deterministic chain is its first.
      return test.rule === 'block' && test.drawing === 'deterministic'
        ? q.map((_, i) => Number(i === rankOf(q, 0)))
        : q;
    },
  };
}

/** Every other step of `batch` trials each, from `first` on. */
async function runSteps(
  device: Device,
  test: TreeCase,
  tally: Tally,
  batch: number,
  first: number,
  steps: number,
): Promise<void> {
  const { vocabulary, parents, drawing, rule = 'rejection' } = test;
  const nodes = parents.length;
  const stream = device.defaultStream;
  const { target, draft } = tablesOf(test);
  const tensorOf = (table: Table) =>
    Tensor.from(device, table.logits, [table.logits.length / vocabulary, vocabulary], 'f32');
  const [targetTable, draftTable] = [tensorOf(target), tensorOf(draft)];
  const parameters = packSampling(stream, batch, parametersOf(test));
  const seed = Tensor.from(
    device,
    BigInt64Array.from({ length: batch }, (_, b) => BigInt(b) + (1n << 34n)),
    [batch],
    'i64',
  );
  const depths = parents.map(() => 0);
  for (const [node, parent] of parents.entries()) depths[node] = parent < 0 ? 1 : (depths[parent] as number) + 1;
  const families = new Map<number, number[]>();
  for (const [node, parent] of parents.entries()) families.set(parent, [...(families.get(parent) ?? []), node]);
  const tokens = new Int32Array(batch * nodes);
  const draftRows = new Int32Array(batch * nodes);
  const targetRows = new Int32Array(batch * (nodes + 1));
  const secondRows = new Int32Array(batch);
  const upload = (values: Int32Array): Tensor<'i32'> => Tensor.from(device, values, [values.length], 'i32');
  const treeParents = upload(Int32Array.from({ length: batch * nodes }, (_, i) => parents[i % nodes] as number));
  const indptr = upload(Int32Array.from({ length: batch + 1 }, (_, b) => b * nodes));
  const logits = Tensor.empty(device, [batch, vocabulary], 'f32');
  const targetLogits = Tensor.empty(device, [batch * (nodes + 1), vocabulary], 'f32');
  const offset = Tensor.empty(device, [batch], 'i32');
  const branches = Tensor.empty(device, [batch], 'i32');
  const firsts = depths.map((depth) => target.index(depth, 0));

  for (let step = first; step < steps; step += 2) {
    const base = step * (nodes + 2);
    for (const [parent, children] of families) {
      const depth = parent < 0 ? 0 : (depths[parent] as number);
      const [count, begin] = [children.length, draft.index(depth, 0)];
      for (let b = 0; b < batch; b++) {
        const row = parent < 0 ? 0 : begin + (tokens[b * nodes + parent] as number);
        for (let i = 0; i < count; i++) draftRows[b * nodes + (children[i] as number)] = row;
        secondRows[b] = row;
      }
      using rows = upload(secondRows);
      gatherRows(stream, { x: draftTable, indices: rows, out: logits });
      offset.fill(base + depth);
      branches.fill(parent + 1);
      const kind = drawing === 'deterministic' ? 'top' : drawing;
      const drawn = drawCandidates(stream, {
        logits,
        count,
        kind,
        branches,
        parameters,
        seed,
        offset,
      });
      const ids = await drawn.ids.read(stream);
      for (let b = 0; b < batch; b++) {
        for (let i = 0; i < count; i++) tokens[b * nodes + (children[i] as number)] = ids[b * count + i] as number;
      }
      drawn.ids.dispose();
      drawn.logprobs.dispose();
    }
    for (let b = 0, at = 0; b < batch; b++) {
      targetRows[at++] = 0;
      for (let node = 0; node < nodes; node++) {
        targetRows[at++] = (firsts[node] as number) + Math.max(0, tokens[b * nodes + node] as number);
      }
    }
    using draftTokens = upload(tokens);
    using sources = upload(draftRows);
    using indices = upload(targetRows);
    gatherRows(stream, { x: targetTable, indices, out: targetLogits });
    offset.fill(base);
    const chain = rule === 'block';
    const result = verify(stream, {
      targetLogits,
      draftTokens,
      draftLengths: { indptr, maxLength: nodes },
      ...(chain ? {} : { parents: { parents: treeParents, maxDepth: Math.max(...depths) } }),
      draft:
        drawing === 'deterministic'
          ? { kind: 'deterministic' }
          : { kind: 'sampled', logits: draftTable, rows: sources, distinct: drawing === 'distinct' },
      rule,
      parameters,
      seed,
      offset,
    });
    const [emitted, accepted] = await Promise.all([result.tokens.read(stream), result.acceptedLengths.read(stream)]);
    const width = emitted.length / batch;
    for (let b = 0; b < batch; b++) secondRows[b] = target.index(1, emitted[b * width] as number);
    using next = upload(secondRows);
    gatherRows(stream, { x: targetTable, indices: next, out: logits });
    offset.fill(base + 1);
    const { ids } = sample(stream, { logits, parameters, seed, offset });
    const continued = (await ids.read(stream)) as Int32Array;
    tally.addAll(emitted, accepted, continued, 1);
    for (const tensor of [...Object.values(result), ids]) (tensor as Tensor).dispose();
  }
}
