// SPDX-License-Identifier: Apache-2.0
/** The middle value (the mean of the middle two for even counts). */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** "12.3 [11.9-12.8]": the median and the range. */
export function spread(values: readonly number[], digits = 1): string {
  const text = (x: number): string => x.toFixed(digits);
  return `${text(median(values))} [${text(Math.min(...values))}-${text(Math.max(...values))}]`;
}
