// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { runsFull } from './grid.js';
import { announceSkip } from './skip.js';

/** The combinations of a record whose fields may be lists: one plain record each. Lists in `whole` are values themselves. */
export function expand<T>(record: Record<string, unknown>, whole: readonly string[] = []): T[] {
  let rows: Record<string, unknown>[] = [{}];
  for (const [name, value] of Object.entries(record)) {
    const values = Array.isArray(value) && !whole.includes(name) ? value : [value];
    rows = rows.flatMap((row) => values.map((one) => ({ ...row, [name]: one })));
  }
  return rows as T[];
}

/** The cases of test/cases/<name>.json, expanded; records marked `full` only with `PAGEWARP_FULL=1`, which is said. */
export function casesOf<T>(name: string, whole: readonly string[] = []): T[] {
  const file = new URL(`../cases/${name}.json`, import.meta.url);
  const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: Record<string, unknown>[] };
  const kept = cases.filter((record) => runsFull || record['full'] !== true);
  const left = cases.filter((record) => !kept.includes(record)).flatMap((record) => expand<T>(record, whole)).length;
  if (left > 0) announceSkip(`${name}: ${left} further cases; PAGEWARP_FULL=1 runs all`);
  return kept.flatMap((record) => expand<T>(record, whole));
}
