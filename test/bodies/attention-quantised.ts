// SPDX-License-Identifier: Apache-2.0
/** Group L: attention over a cache that quantises. */
import { describe, expect, it } from 'vitest';
import {
  appendKv,
  attention,
  type Device,
  type FloatDType,
  gatherKv,
  type KvSequence,
  PagedKvCache,
  planAttention,
  Tensor,
} from '../../lib/index.js';
import type { CodeType } from '../support/cache-codes.js';
import type { NamedDevice } from '../support/devices.js';
import {
  type Combination,
  describeCombination,
  type GridRecord,
  readCases,
  selectCombinations,
} from '../support/grid.js';
import { randomNumbers } from '../support/random.js';
import { expectAgreement, expectClose, nmse } from '../support/tolerance.js';

interface QuantisedCase {
  batch: number;
  pages: number;
  headDim: number;
  kvHeads: number;
  group: number;
  queries: number;
  dtype: FloatDType;
  layout: 'NHD' | 'HND';
  cache: CodeType;
}

const pageSize = 256;

interface Inputs {
  c: QuantisedCase;
  lengths: number[];
  q: Float32Array;
  /** All sequences' tokens, one after the other. */
  k: Float32Array;
  v: Float32Array;
}

function makeInputs(c: QuantisedCase, seed: number): Inputs {
  const lengths = Array.from({ length: c.batch }, (_, s) => c.pages * pageSize - 3 - 17 * s);
  const tokens = lengths.reduce((sum, n) => sum + n, 0);
  const row = c.kvHeads * c.headDim;
  const make = (count: number, stream: number): Float32Array => randomNumbers(count, { seed, stream });
  const q = make(c.batch * c.queries * row * c.group, 1);
  return { c, lengths, q, k: make(tokens * row, 2), v: make(tokens * row, 3) };
}

interface Filled {
  cache: PagedKvCache;
  sequences: KvSequence[];
  slots: Tensor<'i32'>;
}

/** A cache with the tokens `k` and `v` in it. */
function fill(
  device: Device,
  { c, lengths }: Inputs,
  k: Tensor<FloatDType>,
  v: Tensor<FloatDType>,
  dtype: CodeType | 'f32',
): Filled {
  const { kvHeads, headDim, layout, batch, pages } = c;
  const cache = new PagedKvCache(device, {
    layers: 1,
    kvHeads,
    headDim,
    layout,
    pageSize,
    pages: batch * pages,
    dtype,
  });
  const sequences = lengths.map(() => cache.sequence());
  const places = sequences.flatMap((sequence, s) => {
    const begin = sequence.reserve(lengths[s] as number);
    return Array.from({ length: lengths[s] as number }, (_, i) => sequence.slot(begin + i));
  });
  const slots = Tensor.from(device, places, undefined, 'i32');
  appendKv(device.defaultStream, { k, v, slots, cache, layer: 0 });
  return { cache, sequences, slots };
}

async function attend(device: Device, filled: Filled, inputs: Inputs, dtype: FloatDType): Promise<number[]> {
  const { c, q } = inputs;
  const heads = c.kvHeads * c.group;
  const { cache } = filled;
  using queries = Tensor.from(device, Array.from(q), [c.batch * c.queries, heads, c.headDim], dtype);
  const batch = cache.batch(filled.sequences.map((sequence) => ({ sequence, queryLength: c.queries })));
  using plan = planAttention({ batch, heads });
  using out = attention(device.defaultStream, { q: queries, cache, layer: 0, plan, lse: false }).out;
  return Array.from(await out.readNumbers());
}

/** Judges attention over int8 codes. @returns it */
async function check(device: Device, reference: Device, inputs: Inputs): Promise<number[]> {
  const { c } = inputs;
  const tokens = inputs.lengths.reduce((sum, n) => sum + n, 0);
  const shape = [tokens, c.kvHeads, c.headDim];
  // Values that every type holds: rounding q is not what is measured here.
  using rounded = Tensor.from(device, Array.from(inputs.q), [inputs.q.length], c.dtype);
  const same = { ...inputs, q: Float32Array.from(await rounded.readNumbers()) };
  using k = Tensor.from(device, inputs.k, shape, 'f32');
  using v = Tensor.from(device, inputs.v, shape, 'f32');
  const quantised = fill(device, inputs, k, v, c.cache);
  const actual = await attend(device, quantised, same, c.dtype);
  using kBack = Tensor.empty(device, shape, 'f32');
  using vBack = Tensor.empty(device, shape, 'f32');
  gatherKv(device.defaultStream, { k: kBack, v: vBack, slots: quantised.slots, cache: quantised.cache, layer: 0 });

  const exactly = async (keys: Float32Array, values: Float32Array): Promise<number[]> => {
    using exactK = Tensor.from(reference, keys, shape, 'f32');
    using exactV = Tensor.from(reference, values, shape, 'f32');
    const filled = fill(reference, inputs, exactK, exactV, 'f32');
    const out = await attend(reference, filled, same, 'f32');
    release(filled);
    return out;
  };
  const held = await exactly(await kBack.read(), await vBack.read());
  expect(nmse(actual, held)).toBeLessThanOrEqual(5e-4);
  const given = await exactly(inputs.k, inputs.v);
  if (c.cache === 'i4') expect(nmse(actual, given)).toBeLessThanOrEqual(0.08);
  else expectClose(actual, given, { absolute: 0.08, relative: 0.01 });
  release(quantised);
  return actual;
}

function release({ cache, sequences, slots }: Filled): void {
  for (const sequence of sequences) sequence.dispose();
  slots.dispose();
  cache.dispose();
}

/**
 * @param forCase the devices of the next case, whose results are compared with each other, too
 * @param mostWork larger combinations are left out
 */
export function quantisedTests(forCase: () => readonly NamedDevice[], reference: Device, mostWork: number): void {
  const cost = (combination: Combination): number => {
    const c = combination as unknown as QuantisedCase;
    return c.batch * c.pages * pageSize * c.queries * c.kvHeads * c.group * c.headDim;
  };
  for (const record of readCases<GridRecord>('attention_quantised')) {
    describe(`attention ${record.group}: ${record.name}`, () => {
      for (const c of selectCombinations(record, cost, (combination) => cost(combination) <= mostWork)) {
        const inputs = (): Inputs => makeInputs(c as unknown as QuantisedCase, record.seed);
        it(describeCombination(c), async () => {
          const results: number[][] = [];
          for (const { device } of forCase()) results.push(await check(device, reference, inputs()));
          // The same codes, attended to in the same types.
          const step = { f32: 1e-5, f16: 2e-3, bf16: 1.6e-2 }[(c as unknown as QuantisedCase).dtype];
          expectAgreement(results, { absolute: step, relative: step });
        });
      }
    });
  }
}
