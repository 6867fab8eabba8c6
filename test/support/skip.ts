// SPDX-License-Identifier: Apache-2.0
import { writeSync } from 'node:fs';

const announced = new Set<string>();

/**
 * Prints `skipped: <reason>` as one line, once per process and reason. Whatever a test leaves out on this machine is
 * announced here; nothing is skipped in silence. Returns true, so that it can stand in a condition.
 */
export function announceSkip(reason: string): true {
  if (!announced.has(reason)) {
    announced.add(reason);
    writeSync(1, `skipped: ${reason.replaceAll('\n', ' ')}\n`);
  }
  return true;
}
