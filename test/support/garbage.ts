// SPDX-License-Identifier: Apache-2.0
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Collects garbage, and lets finalizers run, until `isDone` says so. @throws when it never does */
export async function collectGarbage(isDone: () => boolean): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let attempt = 0; attempt < 20; attempt++) {
    collect();
    await setTimeout(1);
    if (isDone()) return;
  }
  throw new Error('what should be garbage was not collected');
}
