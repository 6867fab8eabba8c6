// SPDX-License-Identifier: Apache-2.0
/** Records of test/cases: lists of parameter values that stand for all of their combinations. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { announceSkip } from './skip.js';

/** A combination: one value per parameter. */
export type Combination = Record<string, unknown>;

export interface GridRecord {
  /** The group of acceptance cases that it belongs to. */
  group: string;
  name: string;
  seed: number;
  /** Combinations are those of `grid`, each with the values of one of `sets` (default: one empty set). */
  grid: Record<string, unknown[]>;
  sets?: Combination[];
}

/** `PAGEWARP_FULL=1` runs every combination of every record. */
export const runsFull = process.env['PAGEWARP_FULL'] === '1';

/**
 * `PAGEWARP_SAMPLE=n`: samples hold every value of every parameter n times, and reduced runs may cost n times as much.
 */
export const sampleSize = Math.max(1, Math.floor(Number(process.env['PAGEWARP_SAMPLE'] ?? 1)) || 1);

/** The records of test/cases/`name`.json. */
export function readCases<R extends GridRecord>(name: string): R[] {
  const path = fileURLToPath(new URL(`../cases/${name}.json`, import.meta.url));
  return (JSON.parse(readFileSync(path, 'utf8')) as { records: R[] }).records;
}

export function combinations(record: GridRecord): Combination[] {
  let all: Combination[] = record.sets ?? [{}];
  for (const [name, values] of Object.entries(record.grid)) {
    all = all.flatMap((combination) => values.map((value) => ({ ...combination, [name]: value })));
  }
  return all;
}

/**
 * The combinations to run: all of them with `PAGEWARP_FULL=1`, else a sample in which every value of every parameter (and
 * every set) occurs `sampleSize` times, in the cheapest of a few combinations drawn for it. Says how many were left out.
 * @param isMeaningful combinations for which it is false stand for no case
 */
export function selectCombinations(
  record: GridRecord,
  cost: (combination: Combination) => number,
  isMeaningful: (combination: Combination) => boolean = () => true,
): Combination[] {
  const all = combinations(record).filter(isMeaningful);
  if (runsFull) return all;
  const chosen = new Set<Combination>();
  const random = generator(record.seed);
  for (const [name, values] of [...Object.entries(record.grid), ['set', record.sets ?? []] as const]) {
    for (const value of values) {
      const having = all.filter((combination) =>
        name === 'set'
          ? Object.entries(value as object).every(([k, v]) => combination[k] === v)
          : combination[name] === value,
      );
      const open = having.filter((combination) => !chosen.has(combination));
      for (let n = having.length - open.length; n < sampleSize && open.length > 0; n++) {
        const drawn = Array.from({ length: 6 }, () => open[Math.floor(random() * open.length)] as Combination);
        const cheapest = drawn.reduce((best, other) => (cost(other) < cost(best) ? other : best));
        chosen.add(cheapest);
        open.splice(open.indexOf(cheapest), 1);
      }
    }
  }
  const left = all.length - chosen.size;
  if (left > 0) {
    announceSkip(
      `group ${record.group}, ${record.name}: ${left} of ${all.length} combinations; PAGEWARP_FULL=1 runs all`,
    );
  }
  return [...chosen];
}

/** A small linear congruential generator: which cases are sampled should not change from run to run. */
export function generator(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** `name value, name value ...` for a test's title. */
export function describeCombination(combination: Combination): string {
  return Object.entries(combination)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');
}
