// SPDX-License-Identifier: Apache-2.0
// What the packed kernel asks of a GPU, by the simulator's counters: exact figures, worked out from the tiles.
import { expect, it } from 'vitest';
import { linear, PackedMatrix, Tensor } from '../../lib/index.js';
import { countLaunches, describeCounters } from '../support/counters.js';
import { cudaDevice } from '../support/cuda.js';
import { runsFull } from '../support/grid.js';
import { announceSkip } from '../support/skip.js';

type Shape = readonly [m: number, n: number, k: number];

/** The layers of a model of 7 billion parameters, for every number of tokens that reads the weights once. */
const full: Shape[] = [1, 2, 3, 4, 8, 12, 16, 24, 32, 48, 64].flatMap((m): Shape[] => [
  [m, 4096, 4096],
  [m, 11008, 4096],
  [m, 4096, 11008],
]);
const some: Shape[] = [
  [1, 4096, 4096],
  [8, 11008, 1024],
  [16, 4096, 4096],
  [3, 1024, 11008],
  [24, 1024, 2048],
  [64, 2048, 2048],
];

describeCounters('the linear kernel', () => {
  const profileOf = countLaunches();
  const device = cudaDevice();
  if (!runsFull) announceSkip(`counters of linear: ${full.length - 2} larger shapes; PAGEWARP_FULL=1 runs all`);

  /** Counters of one call, and how its work was cut. */
  async function measure(m: number, n: number, k: number) {
    using blocks = Tensor.zeros(device, [((n * k) / 32) * 18], 'u8');
    const stream = device.defaultStream;
    using weight = PackedMatrix.fromBlocks(stream, [{ data: blocks, format: 'q4_0', columns: k }]);
    using x = Tensor.zeros(device, [m, k], 'f16');
    using out = linear(stream, { x, weight });
    await out.read();
    const launch = profileOf('pw_linear_w4_');
    const [tokens, strips] = (launch.kernel.split('_').at(-1) as string).split('x').map(Number) as [number, number];
    const rows = 64 * strips;
    const tokenBlocks = Math.ceil(m / tokens);
    const columns = Math.ceil(n / rows);
    const stages = k / (32 * Math.max(8 / strips, 1));
    const perBlock = Math.max(Math.ceil((columns * tokenBlocks * stages) / device.threads), 2);
    expect(launch.grid[0]).toBe(Math.ceil((columns * tokenBlocks * stages) / perBlock));
    // Parts of the tiles that runs of iterations begin or end in.
    let parts = 0;
    for (let tile = 0; tile < columns * tokenBlocks; tile++) {
      const first = Math.floor((tile * stages) / perBlock);
      const last = Math.floor(((tile + 1) * stages - 1) / perBlock);
      if (last > first) parts += last - first + 1;
    }
    return { launch, tokens, rows, tokenBlocks, columns, parts, weightBytes: weight.bytes };
  }

  for (const [m, n, k] of runsFull ? full : some) {
    it(`m ${m}, n ${n}, k ${k}: weights are requested, made operands and multiplied once`, async () => {
      const { launch, tokens, rows, tokenBlocks, columns, parts, weightBytes } = await measure(m, n, k);
      expect(tokenBlocks).toBe(1);
      expect(weightBytes).toBe((n * k * 4.5) / 8);
      const activations = columns * m * k * 2;
      // Parts of tiles, and the arrivals of their blocks.
      expect(launch.globalLoadBytes).toBe(weightBytes + activations + parts * (rows * m * 4 + 4));
      expect(launch.globalStoreBytes).toBe(2 * m * n + parts * rows * m * 4);
      const compulsory = weightBytes + 2 * m * k + 2 * m * n;
      // Wherever the matrix is wide enough for this device, whose blocks are few.
      if (m <= 16 && n >= 4096 && k >= 4096) {
        expect(launch.globalLoadBytes + launch.globalStoreBytes).toBeLessThanOrEqual(1.1 * compulsory);
      }
      // The last tile may have strips of 64 rows that do not exist: they are not multiplied.
      const multiplied = 64 * Math.ceil(n / 64);
      expect(launch.matrixOperations).toBe(2 * multiplied * tokens * k);
      // Bias and offset: one addition or multiply-add for two codes.
      expect(launch.threadByClass.half).toBe((multiplied * k) / 2);
    });
  }

  it('makes a weight an operand with 5/8 integer and 1/2 half instructions, and little beside them', async () => {
    for (const m of [1, 16, 32, 64]) {
      const [strip, tile] = [64, m < 64 ? 128 : 256];
      const classes = async (n: number, k: number) => (await measure(m, n, k)).launch.threadByClass;
      const growth = async (name: 'integer' | 'half', n: number): Promise<number> =>
        (await classes(n, 2048))[name] - (await classes(n, 1024))[name];
      // What grows with k belongs to the loop; what a tile with more strips has more of, to their blocks.
      const perWeight = async (name: 'integer' | 'half'): Promise<number> =>
        ((await growth(name, tile)) - (await growth(name, strip))) / ((tile - strip) * 1024);
      expect(await perWeight('half'), `${m} tokens`).toBe(0.5);
      // With the addresses of codes, scales and activations; of 64 tokens' tiles two warps share a block, and read it twice.
      expect(await perWeight('integer'), `${m} tokens`).toBeLessThanOrEqual(m < 64 ? 1.2 : 1.4);
    }
  });

  it('has no bank conflicts in its steady loop: their number does not grow with k', async () => {
    for (const m of [1, 8, 16, 32, 64]) {
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
