// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { kernelCases } from '../../bench/cuda/cases.js';
import { addUp, copiesFor, countedRow, largestDifference, tableHead, timedRow } from '../../bench/cuda/report.js';
import type { LaunchProfile } from '../support/counters.js';
import { gpuFormats } from '../support/linear.js';

const launch: LaunchProfile = {
  kernel: 'pw_test',
  grid: [1, 1, 1],
  globalLoadRequests: 2,
  globalLoadSectors: 40,
  globalLoadIdealSectors: 32,
  globalLoadBytes: 1024,
  globalStoreBytes: 256,
  globalStoreSectors: 8,
  globalStoreIdealSectors: 8,
  globalBytesTouched: 1536,
  sharedLoadWavefronts: 12,
  sharedLoadIdeal: 10,
  sharedStoreWavefronts: 5,
  sharedStoreIdeal: 4,
  matrixOperations: 4096,
  warpInstructions: 77,
  threadByClass: { half: 0, integer: 0 },
  conflicts: [],
};

describe('the report of bench/cuda', () => {
  it('relates times to what the device can do', () => {
    const work = { name: 'x', bytes: 2e9, operations: 5e12 };
    const limits = { copyGBs: 2000, matrixTflops: 500 };
    expect(timedRow(work, [0.019, 0.02, 0.03], limits)).toEqual([
      'x',
      '20000.0 [19000.0-30000.0]',
      '100.0',
      '5 %',
      '250.00',
      '50 %',
    ]);
    expect(timedRow(work, [0.02], { ...limits, matrixTflops: undefined }).at(-1)).toBe('not measured');
    expect(timedRow({ ...work, operations: 0 }, [0.02], limits).slice(-2)).toEqual(['', '']);
  });

  it('adds up the counters of launches', () => {
    const counters = addUp([launch, launch]);
    expect(counters).toEqual({
      launches: 2,
      bytesRequested: 2560,
      bytesTouched: 3072,
      sectors: 96,
      idealSectors: 80,
      matrixOperations: 8192,
      conflicts: 6,
      warpInstructions: 154,
    });
    expect(countedRow({ name: 'x', bytes: 1280, operations: 8192 }, counters)).toEqual([
      'x',
      '2',
      '2560 / 1280 = 2.00',
      '2.40',
      '1.20',
      '8192 / 8192 = 1.00',
      '6',
      '154',
    ]);
  });

  it('rotates through more memory than a cache holds', () => {
    expect(copiesFor(2 ** 28)).toBe(1);
    expect(copiesFor(2 ** 26)).toBe(4);
    expect(copiesFor(100)).toBe(64);
  });

  it('sees any difference of results', () => {
    expect(largestDifference([3, 4], [3, 4])).toBe(0);
    expect(largestDifference([3, 5], [3, 4])).toBeCloseTo(1 / Math.sqrt(12.5));
    expect(largestDifference([Number.NaN, 4], [3, 4])).toBe(Number.POSITIVE_INFINITY);
    expect(largestDifference([3], [3, 4])).toBe(Number.POSITIVE_INFINITY);
  });

  it('covers every kind of kernel, on devices and for the simulator', () => {
    for (const isSimulated of [true, false]) {
      const cases = kernelCases(isSimulated);
      expect([...new Set(cases.map(({ name }) => name.replace(/[ ,].*/, '')))].sort()).toEqual(
        [
          ...[
            'attention',
            'mergeStates',
            'appendKv',
            'ropeAppendKv',
            'gatherKv',
            'keyBounds',
            'copyPages',
            'moveSlots',
          ],
          ...['linear', 'rmsNorm', 'rope', 'siluMul', 'embedding', 'copy'],
          ...['sample', 'argmax', 'verify', 'drawCandidates'],
        ].sort(),
      );
      const names = cases.map(({ name }) => name).join('\n');
      for (const kind of ['decode', 'draft trees', 'prefill', 'over a shared prefix']) {
        expect(names).toContain(`attention ${kind}`);
      }
      for (const cache of ['f16', 'bf16', 'i8', 'fp8e4m3', 'i4']) expect(names).toContain(`decode over ${cache}`);
      for (const format of isSimulated ? ['f16', 'q4_0'] : ['f16', 'bf16', ...gpuFormats]) {
        expect(names).toContain(`linear ${format}, [`);
      }
      for (const option of ['int8', 'silu']) expect(names).toContain(`linear q4_0, ${option}, [`);
      for (const { bytes, operations } of cases) {
        expect(bytes).toBeGreaterThan(0);
        expect(operations).toBeGreaterThanOrEqual(0);
      }
    }
    expect(tableHead(['a', 'b'])).toBe('| a | b |\n| --- | --- |');
  });
});
