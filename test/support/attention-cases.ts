// SPDX-License-Identifier: Apache-2.0
/** The cases of test/cases/attention.json as tests of any devices. */
import { describe, expect, it } from 'vitest';
import { type Device, type FloatDType, PagedKvCache, PagewarpError } from '../../lib/index.js';
import { AttentionBench, type AttentionCase, type AttentionInputs, makeInputs, subset } from './attention.js';
import { isCodeType } from './cache-codes.js';
import type { NamedDevice } from './devices.js';
import {
  type Combination,
  combinations,
  describeCombination,
  type GridRecord,
  runsFull,
  sampleSize,
  selectCombinations,
} from './grid.js';
import { rounding, roundingStep } from './rounding.js';
import { announceSkip } from './skip.js';
import { allowedError, expectAgreement, expectNearlyAsGoodAs, type Values } from './tolerance.js';

export interface AttentionRecord extends GridRecord {
  factor: number;
}

export interface CaseOptions {
  /** The devices of the next case. */
  devices: () => readonly NamedDevice[];
  /** The float64 contract. */
  reference: Device;
  /** The reference is asked about as many whole sequences as this many multiply-adds allow, at least one. */
  referenceWork: number;
}

const list = (value: unknown, count: number): number[] =>
  Array.isArray(value) ? (value as number[]) : new Array<number>(count).fill(value as number);

/** Multiply-adds of Q K^T, about. */
function cost(c: Combination): number {
  const kv = list(c['kv'], (c['batch'] as number) ?? 1);
  const queries = list(c['queries'], kv.length);
  const heads = (c['heads'] as number) ?? (c['kvHeads'] as number) * (c['group'] as number);
  return kv.reduce((sum, n, s) => sum + n * (queries[s] as number), 0) * heads * (c['headDim'] as number);
}

/** Combinations that mean nothing: a causal prefill or a tree of more rows than keys (group C has those on purpose). */
function isMeaningful(record: AttentionRecord, c: Combination): boolean {
  if (record.group === 'C' || Array.isArray(c['kv'])) return true;
  return c['mask'] === 'none' || (c['queries'] as number) <= (c['kv'] as number);
}

function asCase(record: AttentionRecord, combination: Combination): AttentionCase {
  const given = Object.entries({ seed: record.seed, ...combination }).filter(([, value]) => value !== null);
  return Object.fromEntries(given) as unknown as AttentionCase;
}

function checkedSequences(inputs: AttentionInputs, most: number): number[] {
  const { lengths, headDim } = inputs.pageTable;
  const order = [...lengths.keys()].sort((a, b) => (a % 5) - (b % 5) || b - a);
  const chosen: number[] = [];
  let work = 0;
  for (const s of order) {
    work += (lengths[s] as number) * (inputs.queryLengths[s] as number) * inputs.heads * headDim;
    if (chosen.length > 0 && work > most) break;
    chosen.push(s);
  }
  return chosen.sort((a, b) => a - b);
}

/**
 * What results are rounded to. Tensor cores take a cache's codes as they are, and their scales with the weights, in bf16:
 * in f16 such products can overflow.
 */
function roundedType({ dtype = 'f32', cache }: AttentionCase): FloatDType {
  return dtype === 'f16' && cache !== undefined && isCodeType(cache) ? 'bf16' : dtype;
}

/** Runs one case on every device and judges it by the tolerance rule. */
async function checkAttentionCase(parameters: AttentionCase, factor: number, options: CaseOptions): Promise<void> {
  const inputs = makeInputs(parameters);
  const sequences = checkedSequences(inputs, options.referenceWork);
  using oracle = new AttentionBench(options.reference, subset(inputs, sequences), 'f32');
  const exact = await oracle.run();
  const type = roundedType(parameters);
  // The least error that any implementation with these types has.
  const naive = exact.out.map(rounding[type]);
  const outs: Values[] = [];
  const lses: Values[] = [];
  for (const { name, device } of options.devices()) {
    using bench = new AttentionBench(device, inputs);
    const { out, lse } = await bench.run();
    const kernel = bench.rowsOf(out, sequences);
    expectNearlyAsGoodAs({ kernel, naive, exact: exact.out }, { factor, what: `out on ${name}` });
    const kernelLse = bench.rowsOf(lse, sequences);
    const states = { kernel: kernelLse, naive: exact.lse, exact: exact.lse };
    expectNearlyAsGoodAs(states, { floor: 2e-5, what: `lse on ${name}` });
    expect(out.some(Number.isNaN) || lse.some(Number.isNaN), `unwritten or NaN results on ${name}`).toBe(false);
    outs.push(out);
    lses.push(lse);
  }
  // Neighbouring numbers of the output's type, where the exact one lies between them.
  const relative = roundingStep[type];
  expectAgreement(outs, { absolute: allowedError({ naive, exact: exact.out }, { factor }), relative }, 'out');
  expectAgreement(lses, { absolute: 2e-5 }, 'lse');
}

/** A cache type that no backend stores yet is refused, not replaced. */
function checkRefused(parameters: AttentionCase, device: Device): void {
  const { kvHeads, headDim, pageSize } = parameters;
  const make = (): PagedKvCache =>
    new PagedKvCache(device, { layers: 1, pages: 4, kvHeads, headDim, pageSize, dtype: parameters.cache as never });
  expect(make).toThrow(PagewarpError);
  expect(make).toThrow(/not supported/);
}

export interface Reduction {
  /** Combinations of more multiply-adds are left out, and said to be. */
  mostWork: number;
  /** Batches of more sequences have this many: sequences differ in nothing but their pages. */
  mostSequences?: number;
  /** Types that every combination is run with, in place of its own. */
  type?: 'f16' | 'bf16';
}

/** The record with smaller batches, which is said. */
function withBatches(record: AttentionRecord, most: number): AttentionRecord {
  const cut = <T extends Record<string, unknown>>(one: T): T =>
    typeof one['batch'] === 'number' ? { ...one, batch: Math.min(one['batch'], most) } : one;
  const sizes = [...(record.grid['batch'] ?? []), ...(record.sets ?? []).map((set) => set['batch'])];
  if (!sizes.some((size) => (size as number) > most)) return record;
  announceSkip(`group ${record.group}, ${record.name}: batches of more than ${most} sequences have ${most}`);
  const batches = new Set((record.grid['batch'] ?? []).map((batch) => Math.min(batch as number, most)));
  const grid = batches.size > 0 ? { ...record.grid, batch: [...batches] } : record.grid;
  const sets = new Map(record.sets?.map((set) => [JSON.stringify(cut(set)), cut(set)]));
  return { ...record, grid, ...(record.sets ? { sets: [...sets.values()] } : {}) };
}

/** A test per selected combination of the record; nothing where all are left out. */
export function describeAttentionRecord(whole: AttentionRecord, options: CaseOptions, reduction?: Reduction): void {
  const reduces = reduction && !runsFull;
  const record = reduces ? withBatches(whole, reduction.mostSequences ?? Number.POSITIVE_INFINITY) : whole;
  const most = reduces ? reduction.mostWork * sampleSize : Number.POSITIVE_INFINITY;
  const keep = (c: Combination): boolean => isMeaningful(record, c) && cost(c) <= most;
  const large = combinations(record).filter((c) => isMeaningful(record, c) && cost(c) > most).length;
  if (large > 0)
    announceSkip(`group ${record.group}, ${record.name}: ${large} large combinations; PAGEWARP_FULL=1 runs all`);
  const type = reduction?.type;
  const selected = selectCombinations(record, cost, keep);
  if (selected.length === 0) return;
  describe(`attention ${record.group}: ${record.name}${type ? ` with ${type}` : ''}`, () => {
    for (const one of selected) {
      const combination = type ? { ...one, dtype: type, cache: type } : one;
      const parameters = asCase(record, combination);
      const title = describeCombination(combination);
      if ((combination['cache'] as string) === 'fp8e5m2') {
        it(`refuses ${title}`, () => checkRefused(parameters, options.reference));
      } else {
        it(title, () => checkAttentionCase(parameters, record.factor, options), runsFull ? 600_000 : 60_000);
      }
    }
  });
}
