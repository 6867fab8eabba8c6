// SPDX-License-Identifier: Apache-2.0
/** Trials of group Q on trees, for any device: drafts, `verify`, and a plain draw where one token came. */
import { readFileSync } from 'node:fs';
import { type Device, drawCandidates, gatherRows, packSampling, Tensor, verify } from '../../lib/index.js';
import { type OracleParameters, targetProbabilities } from '../oracle/sampling.js';
import { type Drawing, firstLevelChance, rankOf, type TreeScenario } from '../oracle/treeverification.js';
import { judge, quickRandom, Tally, type Verdict } from '../oracle/verification.js';
import { AliasTables } from './alias.js';
import { randomNumbers } from './random.js';
import { drawNext, seedsOf, singlesOf } from './trials.js';

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
  trialsElsewhere: number;
  cases: TreeCase[];
};

export interface TreeTrials {
  /** Draw the drafts by `drawCandidates`, with the seeds of verification, whose coins must be others. Default: on the host. */
  drawsOnDevice?: boolean;
  /** Trials of one command. Default 4000. */
  batch?: number;
}

/** Runs the trials of one case, and judges them. */
export async function judgeTrees(
  device: Device,
  test: TreeCase,
  trials: number,
  { drawsOnDevice = false, batch = 4_000 }: TreeTrials = {},
): Promise<Verdict & { trials: number }> {
  const scenario = scenarioOf(test);
  const tally = new Tally(test.vocabulary);
  const steps = Math.ceil(trials / batch);
  // Half of them at a time: while the host looks at some, others are computed.
  await Promise.all([0, 1].map((first) => runSteps(device, test, tally, { batch, drawsOnDevice, first, steps })));
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
    return this.rowAt(this.index(prefix.length, prefix.at(-1) ?? 0));
  }

  rowAt(index: number): Float32Array {
    return this.logits.subarray(index * this.#vocabulary, (index + 1) * this.#vocabulary);
  }

  get rows(): number {
    return this.logits.length / this.#vocabulary;
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

/** The children of a node, drawn on the host. */
class SiblingDraws {
  readonly #drawing: Drawing;
  readonly #tables: AliasTables;
  /** Of each row, the tokens of its support, most probable first. */
  readonly #ranks: number[][];

  constructor(test: TreeCase, draft: Table, random: () => number) {
    const parameters = parametersOf(test);
    const rows = Array.from({ length: draft.rows }, (_, i) => targetProbabilities(draft.rowAt(i), parameters));
    this.#drawing = test.drawing;
    this.#tables = new AliasTables(rows, random);
    this.#ranks = rows.map((q) => [...q.keys()].map((i) => rankOf(q, i)).filter((token) => (q[token] as number) > 0));
  }

  /** Puts the tokens of siblings drawn from a row into their places, -1 where the row's support has no more. */
  draw(row: number, tokens: Int32Array, first: number, siblings: readonly number[]): void {
    const ranks = this.#ranks[row] as number[];
    let drawn = 0; // a bit for each token
    for (let i = 0; i < siblings.length; i++) {
      const place = first + (siblings[i] as number);
      if (this.#drawing === 'deterministic') tokens[place] = ranks[i] ?? -1;
      else if (this.#drawing === 'independent') tokens[place] = this.#tables.draw(row);
      else if (i >= ranks.length) tokens[place] = -1;
      else {
        let token = this.#tables.draw(row);
        while ((drawn >> token) & 1) token = this.#tables.draw(row);
        drawn |= 1 << token;
        tokens[place] = token;
      }
    }
  }
}

interface Steps {
  batch: number;
  drawsOnDevice: boolean;
  first: number;
  steps: number;
}

/** Every other step of `batch` trials each, from `first` on. */
async function runSteps(
  device: Device,
  test: TreeCase,
  tally: Tally,
  { batch, drawsOnDevice, first, steps }: Steps,
): Promise<void> {
  const { vocabulary, parents, drawing, rule = 'rejection' } = test;
  const nodes = parents.length;
  const stream = device.defaultStream;
  const { target, draft } = tablesOf(test);
  const tensorOf = (table: Table) => Tensor.from(device, table.logits, [table.rows, vocabulary], 'f32');
  const [targetTable, draftTable] = [tensorOf(target), tensorOf(draft)];
  const parameters = packSampling(stream, batch, parametersOf(test));
  const all = Int32Array.from({ length: batch }, (_, trial) => trial);
  const seed = Tensor.from(device, seedsOf(all), [batch], 'i64');
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
  const draws = new SiblingDraws(test, draft, quickRandom(7 + first));

  /** Draws the children of a node in all trials, from the rows in `secondRows`. */
  const drawFamily = async (parent: number, children: readonly number[], at: number): Promise<void> => {
    if (!drawsOnDevice) {
      for (let b = 0; b < batch; b++) draws.draw(secondRows[b] as number, tokens, b * nodes, children);
      return;
    }
    const count = children.length;
    using rows = upload(secondRows);
    gatherRows(stream, { x: draftTable, indices: rows, out: logits });
    offset.fill(at);
    branches.fill(parent + 1);
    const kind = drawing === 'deterministic' ? 'top' : drawing;
    const drawn = drawCandidates(stream, { logits, count, kind, branches, parameters, seed, offset });
    const ids = await drawn.ids.read(stream);
    for (let b = 0; b < batch; b++) {
      for (let i = 0; i < count; i++) tokens[b * nodes + (children[i] as number)] = ids[b * count + i] as number;
    }
    drawn.ids.dispose();
    drawn.logprobs.dispose();
  };

  for (let step = first; step < steps; step += 2) {
    const base = step * (nodes + 2);
    for (const [parent, children] of families) {
      const depth = parent < 0 ? 0 : (depths[parent] as number);
      const begin = draft.index(depth, 0);
      for (let b = 0; b < batch; b++) {
        const row = parent < 0 ? 0 : begin + Math.max(0, tokens[b * nodes + parent] as number);
        for (let i = 0; i < children.length; i++) draftRows[b * nodes + (children[i] as number)] = row;
        secondRows[b] = row;
      }
      await drawFamily(parent, children, base + depth);
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
    const single = singlesOf(accepted);
    for (let i = 0; i < single.length; i++) {
      secondRows[i] = target.index(1, emitted[(single[i] as number) * width] as number);
    }
    using next = upload(secondRows.subarray(0, single.length));
    using left = gatherRows(stream, { x: targetTable, indices: next });
    const continued = await drawNext(stream, single, base + 1, parameters, { logits: left });
    tally.addAll(emitted, accepted, continued, 1);
    for (const tensor of Object.values(result)) (tensor as Tensor).dispose();
  }
}
