// SPDX-License-Identifier: Apache-2.0
/** The parts of bench/cuda that need a GPU: its cases are right, and its clock runs. No speed is judged. */
import { expect, it } from 'vitest';
import { kernelCases } from '../../bench/cuda/cases.js';
import type { Prepared } from '../../bench/cuda/kernel.js';
import { checkCase, measureCopies, timeLaunches } from '../../bench/cuda/measure.js';
import type { Device } from '../../lib/index.js';
import { cudaDevices, describeOnGpu, inTurn } from '../support/cuda.js';
import { bestCpu } from '../support/devices.js';

describeOnGpu('bench/cuda', () => {
  const { device: cpu } = bestCpu();
  const next = inTurn(cudaDevices());

  it.each(kernelCases(true))('checks $name against the CPU', async (one) => {
    await checkCase(one, next().device, cpu);
  });

  it('does not time what is wrong', async () => {
    const norm = kernelCases(true).find(({ name }) => name.startsWith('rmsNorm'));
    if (!norm) throw new Error('no norm is measured');
    const prepare = (device: Device): Prepared => ({
      ...norm.prepare(device),
      result: async () => [1, 1, 1, device === cpu ? 1 : 2],
    });
    await expect(checkCase({ ...norm, prepare }, next().device, cpu)).rejects.toThrow(`${norm.name} is wrong`);
  });

  it('measures copies by events around a replayed graph', async () => {
    expect(await measureCopies(next().device, 3, 2 ** 16)).toBeGreaterThan(0);
  });

  it('measures launches one by one of what cannot be captured', async () => {
    const { device } = next();
    for (const one of kernelCases(true).filter(({ isDirect }) => isDirect)) {
      using kernel = one.prepare(device);
      const seconds = await timeLaunches(device, () => kernel.enqueue(), 2, 3);
      expect(seconds).toHaveLength(3);
      expect(Math.min(...seconds)).toBeGreaterThan(0);
    }
  });
});
