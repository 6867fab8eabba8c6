// SPDX-License-Identifier: Apache-2.0
import { PagewarpError } from '../../lib/index.js';

/** The `code` of the error that the action throws; 'no error' when it throws none. Other errors are passed on. */
export function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof PagewarpError) return error.code;
    throw error;
  }
  return 'no error';
}
