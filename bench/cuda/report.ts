// SPDX-License-Identifier: Apache-2.0
/** What bench/cuda prints: pure functions of times and counters. */
import type { LaunchProfile } from '../../test/support/counters.js';
import { median, spread } from '../support/statistics.js';

/** What a device can do, as measured beside the kernels. */
export interface DeviceLimits {
  /** Bytes read and written by copies of device memory, 10^9 a second. */
  copyGBs: number;
  /** Multiplications and additions of mma.sync, f16 with f32 accumulation, 10^12 a second; undefined: not measured. */
  matrixTflops: number | undefined;
}

export interface Work {
  name: string;
  bytes: number;
  operations: number;
}

/**
 * Inputs that are measured in turn, so that none lies in the second-level cache from the time before: 256 MiB of them, five times
 * the largest such cache. Of a case of less than 4 MiB there are 64, which is less; but its time is mostly that of a launch.
 */
export function copiesFor(bytes: number, coldBytes = 2 ** 28, most = 64): number {
  return Math.min(most, Math.max(1, Math.ceil(coldBytes / bytes)));
}

const share = (part: number, whole: number | undefined): string =>
  whole === undefined ? 'not measured' : `${((100 * part) / whole).toFixed(0)} %`;

export const timedHeader = ['kernel', 'microseconds', 'GB/s', 'of copy rate', 'TFLOP/s', 'of matrix rate'];

/** @param seconds of single runs */
export function timedRow(
  { name, bytes, operations }: Work,
  seconds: readonly number[],
  limits: DeviceLimits,
): string[] {
  const middle = median(seconds);
  const gigabytes = bytes / middle / 1e9;
  const teraflops = operations / middle / 1e12;
  const microseconds = seconds.map((x) => 1e6 * x);
  return [
    name,
    spread(microseconds),
    gigabytes.toFixed(1),
    share(gigabytes, limits.copyGBs),
    operations > 0 ? teraflops.toFixed(2) : '',
    operations > 0 ? share(teraflops, limits.matrixTflops) : '',
  ];
}

/** What launches asked for. */
export interface Counters {
  launches: number;
  bytesRequested: number;
  bytesTouched: number;
  sectors: number;
  idealSectors: number;
  matrixOperations: number;
  /** Passes over the banks of shared memory beyond those of a conflict-free layout. */
  conflicts: number;
  warpInstructions: number;
}

export function addUp(profiles: readonly LaunchProfile[]): Counters {
  const sum = (of: (launch: LaunchProfile) => number): number => profiles.reduce((total, one) => total + of(one), 0);
  return {
    launches: profiles.length,
    bytesRequested: sum((p) => p.globalLoadBytes + p.globalStoreBytes),
    bytesTouched: sum((p) => p.globalBytesTouched),
    sectors: sum((p) => p.globalLoadSectors + p.globalStoreSectors),
    idealSectors: sum((p) => p.globalLoadIdealSectors + p.globalStoreIdealSectors),
    matrixOperations: sum((p) => p.matrixOperations),
    conflicts: sum((p) => p.sharedLoadWavefronts - p.sharedLoadIdeal + p.sharedStoreWavefronts - p.sharedStoreIdeal),
    warpInstructions: sum((p) => p.warpInstructions),
  };
}

export const countedHeader = [
  'kernel (simulated)',
  'launches',
  'bytes requested / compulsory',
  'touched / compulsory',
  'sectors / ideal',
  'tensor operations / arithmetic',
  'bank conflicts',
  'warp instructions',
];

export function countedRow({ name, bytes, operations }: Work, counters: Counters): string[] {
  const ratio = (part: number, whole: number): string => `${part} / ${whole} = ${(part / whole).toFixed(2)}`;
  const { matrixOperations } = counters;
  return [
    name,
    String(counters.launches),
    ratio(counters.bytesRequested, bytes),
    (counters.bytesTouched / bytes).toFixed(2),
    (counters.sectors / counters.idealSectors).toFixed(2),
    matrixOperations > 0 ? ratio(matrixOperations, operations) : '',
    String(counters.conflicts),
    String(counters.warpInstructions),
  ];
}

/** Lines of a Markdown table. */
export function tableLine(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

export function tableHead(header: readonly string[]): string {
  return `${tableLine(header)}\n${tableLine(header.map(() => '---'))}`;
}

/** Largest difference, relative to the root mean square of the second; infinite where one side alone is not a number. */
export function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let largest = actual.length === expected.length ? 0 : Number.POSITIVE_INFINITY;
  let squares = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] as number) - (expected[i] as number));
    largest = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(largest, difference);
    squares += (expected[i] as number) ** 2;
  }
  return largest === 0 ? 0 : largest / Math.sqrt(squares / expected.length);
}
