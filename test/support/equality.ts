// SPDX-License-Identifier: Apache-2.0
/** Set-up of every test file: `toEqual` compares long runs of numbers quickly. Only what differs goes the slow way, which says where. */
import { expect } from 'vitest';

function isNumbers(value: unknown): value is ArrayLike<number | bigint> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

/** True for equal numbers; undefined where the usual comparison has to decide. */
function sameNumbers(a: unknown, b: unknown): true | undefined {
  if (!isNumbers(a) || !isNumbers(b) || a.constructor !== b.constructor || a.length !== b.length) return undefined;
  for (let i = 0; i < a.length; i++) {
    if ((typeof a[i] !== 'number' && typeof a[i] !== 'bigint') || !Object.is(a[i], b[i])) return undefined;
  }
  return true;
}

expect.addEqualityTesters([sameNumbers]);
