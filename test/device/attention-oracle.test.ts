// SPDX-License-Identifier: Apache-2.0
/** The float64 reference itself, judged by an oracle that works from the raw lengths and rules. */
import { describe, expect, it } from 'vitest';
import { attendRow, isVisible, type OracleMask, positions } from '../oracle/attention.js';
import {
  AttentionBench,
  type AttentionCase,
  type AttentionInputs,
  decodeElement,
  makeInputs,
  sinkLogits,
  slopes,
} from '../support/attention.js';
import { referenceCpu } from '../support/devices.js';
import { generator } from '../support/grid.js';
import { expectClose } from '../support/tolerance.js';

const reference = referenceCpu();

/** Key or value vectors of one sequence and kv head. */
function vectors(inputs: AttentionInputs, which: 'k' | 'v', sequence: number, kvHead: number): number[][] {
  const { indptr, indices, lengths, pageSize, kvHeads, headDim } = inputs.pageTable;
  const { cache = 'f32', layout = 'NHD' } = inputs.parameters;
  const scales = which === 'k' ? inputs.kScale : inputs.vScale;
  return Array.from({ length: lengths[sequence] as number }, (_, key) => {
    const page = indices[(indptr[sequence] as number) + Math.floor(key / pageSize)] as number;
    const offset = key % pageSize;
    const token =
      layout === 'HND' ? (page * kvHeads + kvHead) * pageSize + offset : (page * pageSize + offset) * kvHeads + kvHead;
    const scale = scales?.[token] ?? 1;
    return Array.from({ length: headDim }, (_, d) => scale * decodeElement(inputs[which], cache, token * headDim + d));
  });
}

function oracle(inputs: AttentionInputs): { out: number[]; lse: number[] } {
  const { parameters, heads, queryLengths, pageTable } = inputs;
  const { headDim, kvHeads, lengths } = pageTable;
  const out: number[] = [];
  const lse: number[] = [];
  let row = 0;
  for (const [s, queries] of queryLengths.entries()) {
    const kind = parameters.mask === 'customCausal' ? 'custom' : (parameters.mask ?? 'causal');
    const keys = lengths[s] as number;
    const mask: OracleMask = {
      kind,
      queries,
      keys,
      window: parameters.window,
      sinkTokens: parameters.sinkTokens,
      parents: inputs.parents?.[s],
      custom: (i, j) => j <= keys - queries + i,
    };
    const position = positions(mask);
    for (let i = 0; i < queries; i++, row++) {
      for (let head = 0; head < heads; head++) {
        const kvHead = Math.floor(head / (heads / kvHeads));
        const slope = slopes(heads)[head] as number;
        const result = attendRow({
          q: Array.from({ length: headDim }, (_, d) =>
            decodeElement(inputs.q, parameters.dtype ?? 'f32', (row * heads + head) * headDim + d),
          ),
          k: vectors(inputs, 'k', s, kvHead),
          v: vectors(inputs, 'v', s, kvHead),
          scale: 1 / Math.sqrt(headDim),
          visible: (j) => isVisible(mask, i, j),
          bias: (j) => (parameters.alibi ? -slope * Math.abs(position.query(i) - position.key(j)) : 0),
          softCap: parameters.softCap ?? 0,
          ...(parameters.sinks ? { sink: sinkLogits(heads)[head] as number } : {}),
        });
        out.push(...result.out);
        lse.push(result.lse);
      }
    }
  }
  return { out, lse };
}

const base: AttentionCase = { seed: 5, batch: 2, queries: 3, kv: 21, kvHeads: 2, group: 2, headDim: 16, pageSize: 4 };
const cases: [string, Partial<AttentionCase>][] = [
  ['causal', {}],
  ['no mask', { mask: 'none' }],
  ['more rows than keys', { queries: 9, kv: 4 }],
  ['a tree', { mask: 'tree', queries: 12, kv: 30 }],
  ['a tree in a window', { mask: 'tree', queries: 12, kv: 30, window: 3 }],
  ['a tree in a window with sinks', { mask: 'tree', queries: 12, kv: 30, window: 3, sinkTokens: 5 }],
  ['a tree with ALiBi', { mask: 'tree', queries: 20, kv: 20, alibi: true }],
  ['a tree of more than 64 nodes', { mask: 'tree', queries: [70, 0, 129], kv: [100, 5, 129] }],
  [
    'a tree of more than 64 nodes in a window with sinks',
    { mask: 'tree', queries: 66, kv: 80, window: 3, sinkTokens: 5 },
  ],
  ['custom bits', { mask: 'customCausal' }],
  ['a window', { window: 5 }],
  ['a window with sinks', { window: 5, sinkTokens: 6, queries: 8 }],
  ['a window without causality', { window: 5, mask: 'none' }],
  ['a soft cap', { softCap: 2, scaleQ: 8 }],
  ['ALiBi', { alibi: true }],
  ['ALiBi without causality', { alibi: true, mask: 'none' }],
  ['learned sinks', { sinks: true, queries: 9, kv: 4 }],
  ['f16, HND', { dtype: 'f16', cache: 'f16', layout: 'HND' }],
  ['an int8 cache', { cache: 'i8', layout: 'HND' }],
  ['a cache of fp8', { cache: 'fp8e4m3', layout: 'NHD' }],
  ['an int4 cache', { cache: 'i4', layout: 'HND' }],
  ['a ragged batch', { queries: [0, 1, 7], kv: [3, 0, 12] }],
];

describe('the float64 reference of attention', () => {
  it.each(cases)('agrees with the oracle: %s', async (_, changes) => {
    const inputs = makeInputs({ ...base, ...changes });
    const { out, lse } = oracle(inputs);
    using bench = new AttentionBench(reference, inputs, 'f32');
    const actual = await bench.run();
    // Results are stored as f32: rounding, and nothing more. (The scale is an f32 too.)
    expectClose(actual.out, out, { absolute: 2e-7, relative: 2e-7 }, 'out');
    expectClose(actual.lse, lse, { absolute: 1e-6, relative: 2e-7 }, 'lse');
  });

  it('judges with random trees that are trees', () => {
    const random = generator(3);
    for (let n = 1; n <= 64; n++) {
      const inputs = makeInputs({ ...base, mask: 'tree', queries: n, kv: n + Math.floor(random() * 9), batch: 1 });
      const parents = inputs.parents?.[0] as number[];
      expect(parents.every((parent, node) => parent >= -1 && parent < node)).toBe(true);
    }
  });
});
