// SPDX-License-Identifier: Apache-2.0
// What the packed kernel asks of a GPU, by the simulator's counters: exact figures, worked out from the tiles.
import { expect, it } from 'vitest';
import { linear, PackedMatrix, Tensor } from '../../lib/index.js';
import { countLaunches, describeCounters } from '../support/counters.js';
import { cudaDevice } from '../support/cuda.js';

describeCounters('the linear kernel', () => {
  const profileOf = countLaunches();
  const device = cudaDevice();

  /** Counters of one call with f16 activations, and how its work was cut. */
  async function measure(m: number, n: number, k: number) {
    using blocks = Tensor.zeros(device, [((n * k) / 32) * 18], 'u8');
    const stream = device.defaultStream;
    using weight = PackedMatrix.fromBlocks(stream, [{ data: blocks, format: 'q4_0', columns: k }]);
    using x = Tensor.zeros(device, [m, k], 'f16');
    using out = linear(stream, { x, weight });
    await out.read();
    const launch = profileOf('pw_linear_w4_f16_');
    const tokens = Number(launch.kernel.split('_').at(-1));
    const rows = tokens < 64 ? 128 : 256;
    const tokenBlocks = Math.ceil(m / tokens);
    const columns = Math.ceil(n / rows);
    const stages = k / (rows === 128 ? 128 : 64);
    const blocksOfGrid = launch.grid[0];
    const perBlock = Math.max(Math.ceil((columns * tokenBlocks * stages) / device.threads), 2);
    expect(blocksOfGrid).toBe(Math.ceil((columns * tokenBlocks * stages) / perBlock));
    // Partial sums of the tiles that runs of iterations begin or end in.
    let shares = 0;
    for (let tile = 0; tile < columns * tokenBlocks; tile++) {
      const first = Math.floor((tile * stages) / perBlock);
      const last = Math.floor(((tile + 1) * stages - 1) / perBlock);
      if (last > first) shares += last - first + 1;
    }
    const weightBytes = weight.bytes;
    const compulsory = weightBytes + 2 * m * k + 2 * m * n;
    return { launch, tokens, rows, tokenBlocks, columns, shares, weightBytes, compulsory };
  }

  for (const [m, n, k] of [
    [1, 4096, 4096],
    [16, 4096, 4096],
    [64, 2048, 2048],
    [8, 11008, 1024],
    [3, 1024, 11008],
  ] as const) {
    it(`m ${m}, n ${n}, k ${k}: weights and scales are requested once, and multiplied once`, async () => {
      const { launch, tokens, rows, tokenBlocks, columns, shares, weightBytes, compulsory } = await measure(m, n, k);
      expect(weightBytes).toBe((n * k * 4.5) / 8);
      const activations = columns * m * k * 2;
      // Shares of a tile, and the arrivals of their blocks.
      const partials = shares * (rows * (m / tokenBlocks) * 4 + 4);
      expect(launch.globalLoadBytes).toBe(tokenBlocks * weightBytes + activations + partials);
      // What no cache can avoid; partial sums included, which stay in the second-level cache of a GPU.
      if (m <= 16) expect(launch.globalBytesTouched).toBeLessThanOrEqual(1.1 * compulsory);
      expect(launch.matrixOperations).toBe(2 * columns * rows * tokenBlocks * tokens * k);
      // Bias and offset: one addition or multiply-add for two codes, for each half of the tokens where a tile has 64.
      expect(launch.threadByClass.half).toBe((columns * rows * k * tokenBlocks * (tokens < 64 ? 1 : 2)) / 2);
    });
  }

  it('has no bank conflicts in its steady loop: their number does not grow with k', async () => {
    for (const m of [1, 16, 32, 64]) {
      const excess = async (k: number): Promise<number> => {
        // One tile per block of the grid.
        const { launch } = await measure(m, device.threads * (m < 64 ? 128 : 256), k);
        return (
          launch.sharedLoadWavefronts - launch.sharedLoadIdeal + launch.sharedStoreWavefronts - launch.sharedStoreIdeal
        );
      };
      expect(await excess(2048)).toBe(await excess(512));
    }
  });
});
