// SPDX-License-Identifier: Apache-2.0
/** What the layer kernels ask of memory, by the simulator's counters: figures that hold on every GPU. */
import { expect, it } from 'vitest';
import { type FloatDType, linear, PackedMatrix, rmsNorm, siluMul, Tensor } from '../../lib/index.js';
import { countLaunches, describeCounters, type LaunchProfile } from '../support/counters.js';
import { cudaDevice } from '../support/cuda.js';

describeCounters('the layer kernels', () => {
  const profileOf = countLaunches();
  const device = cudaDevice();
  const stream = device.defaultStream;

  /** The last launch of a kernel whose name begins like this. */
  async function lastLaunch(name: string): Promise<LaunchProfile> {
    await stream.synchronize();
    return profileOf(name);
  }

  /** No sector is touched for less than it could give, and every access of a warp has 512 bytes. */
  function expectWide(launch: LaunchProfile): void {
    expect(launch.globalLoadSectors).toBe(launch.globalLoadIdealSectors);
    expect(launch.globalStoreSectors).toBe(launch.globalStoreIdealSectors);
    expect(launch.globalLoadBytes).toBe(512 * launch.globalLoadRequests);
  }

  async function multiply(m: number, x: FloatDType, format: FloatDType): Promise<LaunchProfile> {
    const [n, k] = [512, 1024];
    using dense = Tensor.zeros(device, [n, k], 'f32');
    using weight = PackedMatrix.fromTensor(stream, dense, format);
    using activations = Tensor.zeros(device, [m, k], x);
    linear(stream, { x: activations, weight }).dispose();
    return lastLaunch('pw_linear_');
  }

  for (const [x, format] of [
    ['f16', 'f16'],
    ['bf16', 'bf16'],
    ['f32', 'f32'],
    ['f32', 'f16'],
  ] as const) {
    it(`linear of ${x} over ${format}, one row: whole sectors, and each byte of the weights once`, async () => {
      const launch = await multiply(1, x, format);
      expect(launch.kernel).toMatch(/^pw_linear_few_/);
      const size = format === 'f32' ? 4 : 2;
      const compulsory = 512 * 1024 * size + 1024 * (x === 'f32' ? 4 : 2) + 512 * (x === 'f32' ? 4 : 2);
      expect(launch.globalBytesTouched).toBeLessThanOrEqual(1.01 * compulsory);
      // Over 16-bit weights two lanes share a sector of f32 activations, which the first-level cache serves.
      const twice = x !== format ? (512 / 16) * (1024 / 8) : 0;
      expect(launch.globalLoadSectors).toBe(launch.globalLoadIdealSectors + twice);
      expect(launch.globalStoreSectors).toBe(launch.globalStoreIdealSectors);
    });
  }

  it('linear over tiles: whole sectors, no bank conflicts, no more products than the padded shape has', async () => {
    const launch = await multiply(64, 'f16', 'f16');
    expect(launch.kernel).toBe('pw_linear_many_f16');
    expect(launch.matrixOperations).toBe(2 * 64 * 512 * 1024);
    expect(launch.globalLoadSectors).toBe(launch.globalLoadIdealSectors);
    expect(launch.sharedLoadWavefronts).toBe(launch.sharedLoadIdeal);
    expect(launch.sharedStoreWavefronts).toBe(launch.sharedStoreIdeal);
  });

  for (const dtype of ['f32', 'f16', 'bf16'] as const) {
    it(`rmsNorm of ${dtype}: 16 bytes per access, each byte once`, async () => {
      const [rows, dim] = [3, 2048];
      const size = dtype === 'f32' ? 4 : 2;
      using x = Tensor.full(device, [rows, dim], dtype, 1);
      using weight = Tensor.full(device, [dim], dtype, 1);
      rmsNorm(stream, { x, weight, eps: 1e-5 }).dispose();
      const launch = await lastLaunch('pw_rmsnorm_');
      expectWide(launch);
      expect(launch.globalLoadBytes).toBe(2 * rows * dim * size);
      expect(launch.globalBytesTouched).toBe((2 * rows + 1) * dim * size);
    });

    it(`a gated unit of ${dtype}: 16 bytes per access, each byte once`, async () => {
      const [rows, n] = [3, 1024];
      const size = dtype === 'f32' ? 4 : 2;
      using fused = Tensor.full(device, [rows, 2 * n], dtype, 1);
      siluMul(stream, { fused }).dispose();
      const launch = await lastLaunch('pw_gated_');
      expectWide(launch);
      expect(launch.globalBytesTouched).toBe(3 * rows * n * size);
    });
  }
});
