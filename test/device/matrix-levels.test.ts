// SPDX-License-Identifier: Apache-2.0
/** Tables of levels, one for each row, and columns in another order than x's. */
import { describe, expect, it } from 'vitest';
import { type Device, linear, PackedMatrix, PagewarpError, philox, Tensor } from '../../lib/index.js';
import { decodeBlocks, lutLevels, randomBlocks } from '../oracle/ggml-blocks.js';
import { linearOracle, roundActivations, roundLevels } from '../oracle/linear.js';
import { onEveryCpu } from '../support/isa.js';
import { randomNumbers } from '../support/random.js';
import { expectClose } from '../support/tolerance.js';

const [n, k] = [37, 96];
const rowBytes = (k / 32) * 18;
const blocks = randomBlocks('lut4', n, k, 3);

/** Levels of each row: the same shape, scaled and shifted. */
const rowLevels = Array.from({ length: n }, (_, row) => lutLevels.map((level) => level * (1 + row / 7) + row / 50));
const allLevels = Float32Array.from(rowLevels.flatMap((levels) => [...levels]));

function decode(levelsOf: (row: number) => ArrayLike<number>): number[] {
  return Array.from({ length: n }, (_, row) => [
    ...decodeBlocks('lut4', blocks.slice(row * rowBytes, (row + 1) * rowBytes), levelsOf(row)),
  ]).flat();
}

function pack(device: Device, levels: Float32Array, order?: Int32Array): PackedMatrix {
  using data = Tensor.from(device, blocks, undefined, 'u8');
  const options = order ? { order } : {};
  return PackedMatrix.fromBlocks(device.defaultStream, [{ data, format: 'lut4', columns: k, levels }], options);
}

describe('lut4', () => {
  it('has a table for each row', async () => {
    for (const m of [1, 7, 20]) {
      const x = randomNumbers(m * k, { seed: m });
      const exact = linearOracle({ x, weight: decode((row) => rowLevels[row] as Float32Array), m, n, k });
      const rounded = linearOracle({
        x: roundActivations(x),
        weight: decode((row) => roundLevels(rowLevels[row] as Float32Array)),
        ...{ m, n, k },
      });
      await onEveryCpu(async (device, name) => {
        using matrix = pack(device, allLevels);
        expect(await matrix.unpack(device.defaultStream).readNumbers()).toEqual(
          decode((row) => rowLevels[row] as Float32Array),
        );
        const out = await linear(device.defaultStream, {
          x: Tensor.from(device, x, [m, k], 'f32'),
          weight: matrix,
        }).read();
        const scale = Math.max(...Array.from(exact, Math.abs));
        expectClose([...out], rounded, { absolute: 1e-5 * scale }, name);
        expectClose([...out], exact, { absolute: 0.02 * scale }, name);
      });
    }
  });

  it('fuses tables of several sources', async () => {
    await onEveryCpu(
      async (device) => {
        const data = Tensor.from(device, blocks, undefined, 'u8');
        const source = { data, format: 'lut4' as const, columns: k };
        using shared = PackedMatrix.fromBlocks(device.defaultStream, [
          { ...source, levels: lutLevels },
          { ...source, levels: lutLevels },
        ]);
        using mixed = PackedMatrix.fromBlocks(device.defaultStream, [
          { ...source, levels: lutLevels },
          { ...source, levels: allLevels },
        ]);
        expect(mixed.bytes - shared.bytes).toBeGreaterThan(2 * n * 64);
        const one = decode(() => lutLevels);
        const each = decode((row) => rowLevels[row] as Float32Array);
        expect(await shared.unpack(device.defaultStream).readNumbers()).toEqual([...one, ...one]);
        expect(await mixed.unpack(device.defaultStream).readNumbers()).toEqual([...one, ...each]);
      },
      [1],
    );
  });

  it('refuses levels that do not fit', () => {
    return onEveryCpu(
      async (device) => {
        const code = (levels: Float32Array | undefined): unknown => {
          try {
            pack(device, levels as Float32Array);
          } catch (error) {
            return (error as PagewarpError).code;
          }
          return undefined;
        };
        expect(code(undefined)).toBe('ERR_INVALID_ARGUMENT');
        expect(code(new Float32Array(15))).toBe('ERR_INVALID_ARGUMENT');
        expect(code(new Float32Array(16).fill(Number.NaN))).toBe('ERR_INVALID_ARGUMENT');
      },
      [1],
    );
  });
});

describe('act-order', () => {
  const order = Int32Array.from({ length: k }, (_, i) => i);
  for (let i = k - 1; i > 0; i--) {
    const j = (philox(5, 0, i)[0] ?? 0) % (i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }

  it('multiplies each column by its own element of x', async () => {
    for (const m of [1, 18]) {
      const x = randomNumbers(m * k, { seed: 40 + m });
      const sorted = Float32Array.from(x, (_, i) => x[Math.floor(i / k) * k + (order[i % k] as number)] as number);
      await onEveryCpu(async (device) => {
        using plain = pack(device, lutLevels);
        using ordered = pack(device, lutLevels, order);
        for (const dtype of ['f32', 'f16'] as const) {
          const run = (values: Float32Array, weight: PackedMatrix) =>
            linear(device.defaultStream, { x: Tensor.from(device, [...values], [m, k], dtype), weight }).readNumbers();
          const [actual, expected] = [await run(x, ordered), await run(sorted, plain)];
          const scale = Math.max(...expected.map(Math.abs));
          // The reference adds in the order of x.
          expectClose(actual, expected, { absolute: 1e-5 * scale }, `${device.isa}, ${dtype}`);
        }
        const [from, to] = [await plain.unpack(device.defaultStream).read(), new Float32Array(n * k)];
        for (let i = 0; i < n * k; i++) to[Math.floor(i / k) * k + (order[i % k] as number)] = from[i] as number;
        expect(await ordered.unpack(device.defaultStream).read()).toEqual(to);
      });
    }
  });

  it('refuses what is no permutation', async () => {
    await onEveryCpu(
      async (device) => {
        for (const bad of [order.slice(1), Int32Array.from(order, (i) => i + 1), order.map((i) => i & ~1)]) {
          expect(() => pack(device, lutLevels, bad)).toThrow(PagewarpError);
        }
      },
      [1],
    );
  });
});
