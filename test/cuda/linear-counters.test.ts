// SPDX-License-Identifier: Apache-2.0
// What the packed kernels ask of a GPU, by the simulator's counters: exact figures, worked out from the tiles.
import { expect, it } from 'vitest';
import { type FloatDType, linear, PackedMatrix, Tensor } from '../../lib/index.js';
import { formatInfo } from '../../lib/quant/format.js';
import { lutLevels, randomBlocks } from '../oracle/ggml-blocks.js';
import { countLaunches, describeCounters } from '../support/counters.js';
import { cudaDevice } from '../support/cuda.js';
import { runsFull } from '../support/grid.js';
import { gpuFormats } from '../support/linear.js';
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
/** A tile of each number of tokens, and matrices that are wide for this device. */
const few: Shape[] = [
  [9, 256, 1024],
  [64, 256, 1024],
  [8, 2048, 512],
  [16, 4096, 512],
];
/** lut4 with tables of each row's own, as any4 has them. */
type Counted = (typeof gpuFormats)[number] | 'any4';
const counted: Counted[] = [...gpuFormats, 'any4'];
const isTable = (format: Counted): boolean => format === 'lut4' || format === 'any4';
const blocksOf = (format: Counted): (typeof gpuFormats)[number] => (format === 'any4' ? 'lut4' : format);

/**
 * Instructions per weight that make it an operand, of integers, with the addresses and scales of its block, and of halves. What the
 * codes alone take is in cuda/linear/packed_codes.cuh; per block of 64 weights of a lane come four or five for addresses and copies,
 * and one for two or one of 8 (Q4_K, Q5_K) or 16 (MXFP4, NVFP4, Q6_K) scales. Together they are at most 1.2, but for tables of each
 * row's own: every weight has an address of its own, every four a mask, and 8 instructions per block make pairs of activations.
 */
const instructions: Record<Counted, { integer: number; half: number }> = {
  q4_0: { integer: 0.69, half: 0.5 },
  q5_0: { integer: 0.57, half: 0.5 },
  q8_0: { integer: 0.57, half: 0.5 },
  iq4_nl: { integer: 0.57, half: 0.5 },
  int4_g16: { integer: 0.69, half: 0.5 },
  q4_1: { integer: 0.69, half: 0 },
  int4_zp: { integer: 0.77, half: 0 },
  q4_k: { integer: 0.84, half: 0 },
  q5_1: { integer: 0.93, half: 0 },
  q5_k: { integer: 1.08, half: 0 },
  q6_k: { integer: 1.15, half: 0 },
  mxfp4: { integer: 1.19, half: 0 },
  nvfp4: { integer: 1.19, half: 0 },
  lut4: { integer: 1.07, half: 0 },
  any4: { integer: 1.45, half: 0 },
};

/** Codes of eight bits, packed. */
const isBytes = (format: Counted): boolean => ['q8_0', 'q5_0', 'iq4_nl'].includes(format);
const isFourBits = (format: Counted): boolean => !isBytes(format) && !['q5_1', 'q5_k', 'q6_k'].includes(format);
/** Without tiles of many strips of 64 rows: tables of 512 rows, in copies for lanes that read together, have no room beside the stages. */
const narrow: readonly Counted[] = ['any4'];
/** What a strip of 64 rows has for 256 columns, beside its blocks. */
const headerBytes = (format: Counted): number => ({ q4_k: 256, q5_k: 256, q6_k: 128 })[format as string] ?? 0;

/**
 * Instructions per weight where operands are bf16, which has less mantissa: codes of up to six bits are moved more often, and need no
 * halves; those of eight bits, and e2m1 numbers, take two integers more for two weights.
 */
function instructionsOfBf16(format: Counted): { integer: number; half: number } {
  const { integer } = instructions[format];
  if (isTable(format)) return { integer, half: 0 };
  if (isBytes(format) || format === 'mxfp4' || format === 'nvfp4') return { integer: integer + 1, half: 0.5 };
  return { integer: integer + 0.25, half: 0 };
}

describeCounters('the linear kernel', () => {
  const profileOf = countLaunches();
  const device = cudaDevice();
  if (!runsFull) {
    announceSkip(
      `counters of linear: ${full.length - 2} larger shapes, and these of other formats than q4_0; PAGEWARP_FULL=1 runs all`,
    );
  }

  /** Counters of one call, and how its work was cut. */
  async function measure([m, n, k]: Shape, format: Counted = 'q4_0', activation: FloatDType = 'f16') {
    const type = blocksOf(format);
    const { blockColumns, blockBytes } = formatInfo(type);
    // Where levels are read from shared memory depends on the codes.
    using blocks = isTable(format)
      ? Tensor.from(device, randomBlocks(type, n, k, 1), undefined, 'u8')
      : Tensor.zeros(device, [((n * k) / blockColumns) * blockBytes], 'u8');
    const stream = device.defaultStream;
    const levels = Float32Array.from(
      { length: format === 'any4' ? 16 * n : 16 },
      (_, i) => lutLevels[i % 16] as number,
    );
    const tablesOfLevels = isTable(format) ? { levels } : {};
    using weight = PackedMatrix.fromBlocks(stream, [{ data: blocks, format: type, columns: k, ...tablesOfLevels }]);
    using x = Tensor.zeros(device, [m, k], activation);
    using out = linear(stream, { x, weight });
    await out.read();
    const launch = profileOf('pw_linear_w');
    const [tokens, strips] = (launch.kernel.split('_').at(-1) as string).split('x').map(Number) as [number, number];
    const rows = 64 * strips;
    const tokenBlocks = Math.ceil(m / tokens);
    const columns = Math.ceil(n / rows);
    const stages = k / (32 * Math.max(8 / strips, 1));
    const iterations = columns * tokenBlocks * stages;
    const perBlock = Math.max(Math.ceil(iterations / device.threads), 2);
    expect(launch.grid[0]).toBe(Math.ceil(iterations / perBlock));
    // Parts of the tiles that runs of iterations begin or end in.
    let parts = 0;
    for (let tile = 0; tile < columns * tokenBlocks; tile++) {
      const first = Math.floor((tile * stages) / perBlock);
      const last = Math.floor(((tile + 1) * stages - 1) / perBlock);
      if (last > first) parts += last - first + 1;
    }
    // A block reads the levels of a column of tiles when it comes to it.
    const visits =
      columns + Array.from({ length: launch.grid[0] }, (_, b) => b * perBlock).filter((i) => i % stages > 0).length;
    const tables = isTable(format) ? visits * rows * 16 * 4 : 0;
    // A block that begins within the 256 columns of a header reads it, too.
    let headers = 0;
    for (let i = 0; i < iterations; i += perBlock) {
      const column = Math.floor(i / stages / tokenBlocks);
      const within = ((i % stages) * k) / stages / 256;
      if (!Number.isInteger(within)) headers += headerBytes(format) * Math.min(strips, n / 64 - column * strips);
    }
    return { launch, tokens, rows, tokenBlocks, columns, parts, tables, headers, weightBytes: weight.bytes };
  }

  /** All bytes: weights and scales once, activations once per column of tiles, and what blocks that share a tile exchange. */
  async function expectRequestedOnce(shape: Shape, format: Counted, activation: FloatDType): Promise<void> {
    const [m, n, k] = shape;
    const size = activation === 'f32' ? 4 : 2;
    const { launch, tokens, rows, tokenBlocks, columns, parts, tables, headers, weightBytes } = await measure(
      shape,
      format,
      activation,
    );
    // Packed, a matrix has the bytes of its blocks, where these say the same: Q5_0 and IQ4_NL have become eight bits.
    const { blockColumns, blockBytes } = formatInfo(isBytes(format) ? 'q8_0' : blocksOf(format));
    const matrix = (n * k * blockBytes) / blockColumns;
    expect(tokenBlocks).toBe(1);
    // Of each row: its levels, and these as 8 bits with a unit.
    const levels = format === 'any4' ? (16 * 4 + 16 + 4) * n : 0;
    const packed = weightBytes - levels;
    expect(packed).toBeGreaterThanOrEqual(matrix);
    // Q4_K's and Q5_K's scales have eight bits there instead of six.
    expect(packed).toBeLessThanOrEqual(1.03 * matrix);
    // Parts of tiles, and the arrivals of their blocks.
    const loads = packed + headers + columns * m * k * size + parts * (rows * m * 4 + 4);
    const factors = format === 'nvfp4' ? (4 * m * n) / 8 : 0;
    if (tables + factors === 0) expect(launch.globalLoadBytes).toBe(loads);
    expect(launch.globalLoadBytes).toBeLessThanOrEqual(loads + tables + factors);
    expect(launch.globalStoreBytes).toBe(size * m * n + parts * rows * m * 4);
    const compulsory = weightBytes + size * m * (k + n);
    // Wherever the matrix is wide enough for this device, whose blocks are few.
    if (m <= 16 && n >= 2048 && size === 2 && !narrow.includes(format)) {
      expect(launch.globalLoadBytes + launch.globalStoreBytes).toBeLessThanOrEqual(1.1 * compulsory);
    }
    // The last tile may have strips of 64 rows that do not exist: they are not multiplied.
    const multiplied = 64 * Math.ceil(n / 64);
    // A product of f32 activations is three of bf16; a level of a table is the sum of two; minima multiply sums of activations.
    const terms = (activation === 'f32' ? 3 : 1) * (isTable(format) ? 2 : 1);
    const least = 2 * multiplied * tokens * k * terms;
    expect(launch.matrixOperations).toBeGreaterThanOrEqual(least);
    if (format === 'q4_0' && activation === 'f16') {
      expect(launch.matrixOperations).toBe(least);
      // Bias and offset: one addition or multiply-add for two codes.
      expect(launch.threadByClass.half).toBe((multiplied * k) / 2);
    }
  }

  for (const shape of runsFull ? full : some) {
    const [m, n, k] = shape;
    it(`m ${m}, n ${n}, k ${k}: weights are requested, made operands and multiplied once`, () =>
      expectRequestedOnce(shape, 'q4_0', 'f16'));
  }

  announceSkip(`at most 1.1 times the compulsory bytes for up to 16 tokens: ${narrow} have no tiles of many strips`);

  for (const format of counted) {
    it(`${format}: weights and scales are requested once, without bank conflicts in the steady loop`, async () => {
      for (const shape of runsFull ? full : few) await expectRequestedOnce(shape, format, 'f16');
      await expectRequestedOnce([16, 4096, 256], format, 'bf16');
      await expectRequestedOnce([64, 256, 512], format, 'bf16');
      await expectRequestedOnce([5, 256, 512], format, 'f32');
      await expectRequestedOnce([24, 512, 512], format, 'f32');
      for (const [m, rows] of [
        [1, 128],
        [8, 128],
        [8, 512],
        [9, 128],
        [16, 128],
        [16, isFourBits(format) ? 1024 : 512],
        [24, isBytes(format) ? 256 : 128],
        [64, 256],
      ] as const) {
        const excess = async (k: number): Promise<number> => {
          // One tile per block of the grid.
          const { launch } = await measure([m, device.threads * rows, k], format);
          const { sharedLoadWavefronts, sharedLoadIdeal, sharedStoreWavefronts, sharedStoreIdeal } = launch;
          return sharedLoadWavefronts - sharedLoadIdeal + sharedStoreWavefronts - sharedStoreIdeal;
        };
        const growth = (await excess(768)) - (await excess(512));
        // A look for the pairs of 32 lanes takes 16 of them at a time, two for each of 8 copies of the table where there are not 16;
        // one for single codes, 32, of which two share each of two copies where there are not four, and all four the one of 64 tokens.
        const looks = isTable(format) && m > 8 ? (device.threads * rows * 256) / 64 : 0;
        expect(growth, `${m} tokens, ${rows} rows`).toBeGreaterThanOrEqual(0);
        expect(growth, `${m} tokens, ${rows} rows`).toBeLessThanOrEqual((format === 'any4' && m > 32 ? 6 : 2) * looks);
      }
    });

    it(`${format}: instructions that make a weight an operand`, async () => {
      const tokens = format === 'q4_0' ? [1, 16, 32, 64] : format === 'any4' ? [1] : [1, 64];
      for (const [activation, m] of [['bf16', 1], ...tokens.map((m) => ['f16', m] as const)] as const) {
        const [strip, tile] = [64, m < 64 ? 128 : 256];
        // What grows with k belongs to the loop; what a tile with more strips has more of, to their blocks.
        const growth = async (n: number) => {
          const more = await measure([m, n, 2048], format, activation);
          const less = await measure([m, n, 1024], format, activation);
          const of = (name: 'integer' | 'half') =>
            (more.launch.threadByClass[name] ?? 0) - (less.launch.threadByClass[name] ?? 0);
          return { integer: of('integer'), half: of('half') };
        };
        const [ofTile, ofStrip] = [await growth(tile), await growth(strip)];
        const perWeight = (name: 'integer' | 'half'): number =>
          (ofTile[name] - ofStrip[name]) / ((tile - strip) * 1024);
        if (activation === 'bf16') {
          const { integer, half } = instructionsOfBf16(format);
          expect(perWeight('half'), activation).toBe(half);
          expect(perWeight('integer'), activation).toBeLessThanOrEqual(integer);
          continue;
        }
        const { integer, half } = instructions[format];
        expect(perWeight('half'), `${m} tokens`).toBe(half);
        // With more than one tile of tokens, too, both together are at most 1.2.
        expect(perWeight('integer'), `${m} tokens`).toBeLessThanOrEqual(m === 1 ? integer : 1.2 - half);
      }
    });
  }
});
