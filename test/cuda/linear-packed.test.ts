// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { type Device, linear, type MatrixFormat, PackedMatrix, Tensor } from '../../lib/index.js';
import { decodeBlocks } from '../oracle/ggml-blocks.js';
import { casesOf } from '../support/cases.js';
import { cudaDevices, describeOnGpu, inTurn, isSimulated } from '../support/cuda.js';
import { bestCpu } from '../support/devices.js';
import { sampleSize } from '../support/grid.js';
import {
  expectNonFiniteRows,
  expectRowsAlone,
  gpuFormats,
  type LinearCase,
  linearReference,
  makeLinearInputs,
  runLinear,
  uploadWeights,
} from '../support/linear.js';
import { randomNumbers } from '../support/random.js';
import { announceSkip } from '../support/skip.js';
import { expectClose, meanRelativeError, nmse } from '../support/tolerance.js';

const isPacked = ({ format }: LinearCase): boolean => (gpuFormats as readonly MatrixFormat[]).includes(format);
/** Multiply-adds that a test may leave to the simulator. */
const most = 8e7;

describeOnGpu('linear over packed weights on a GPU', () => {
  const cpu = bestCpu();
  const next = inTurn(cudaDevices());
  const all = casesOf<LinearCase>('linear').map((c, index) => ({ ...c, seed: index + 1 }));
  const packed = all.filter(isPacked);
  const cases = packed.filter(({ m, n, k }) => !isSimulated || m * n * k <= most * sampleSize);
  const left = packed.length - cases.length;
  if (left > 0) announceSkip(`linear on the simulated GPU: ${left} cases of more than ${most * sampleSize} products`);

  for (const c of cases) {
    const { m, n, k, format } = c;
    it(`${format} [${m}, ${k}] x [${n}, ${k}]${c.strided ? ' strided' : ''} ${c.x ?? 'f32'} agrees with float64`, async () => {
      const inputs = makeLinearInputs(c, c.seed);
      const { out, gaps } = await runLinear(next().device, c, inputs);
      expect(out.every(Number.isFinite), 'every element was written').toBe(true);
      expect(gaps.every(Number.isNaN), 'nothing was written between the rows').toBe(true);
      const rounds = c.out === 'bf16' ? 4e-3 : c.out === 'f16' ? 5e-4 : 0;
      expect(meanRelativeError(out, await linearReference(c, inputs))).toBeLessThanOrEqual(
        (format === 'lut4' ? 4e-6 : 1e-6) + rounds,
      );
      // The CPU rounds activations to 8 bits.
      const onCpu = (await runLinear(cpu.device, c, inputs)).out;
      expect(meanRelativeError(out, onCpu)).toBeLessThanOrEqual(0.04);
      expect(nmse(out, onCpu)).toBeLessThanOrEqual(5e-4);
    });
  }

  for (const format of gpuFormats) {
    it(`${format}: packing keeps every value, whatever the sources`, async () => {
      const { device } = next();
      for (const [n, k, sources] of [
        [1, 256, 1],
        [64, 256, 1],
        [131, 512, 3],
      ] as const) {
        const c: LinearCase = { m: 0, n, k, format, sources };
        const inputs = makeLinearInputs(c, n);
        using matrix = uploadWeights(device, c, inputs);
        using values = matrix.unpack(device.defaultStream);
        expect(await values.readNumbers()).toEqual(Array.from(decodeBlocks(format, inputs.blocks), Math.fround));
      }
    });

    it(`${format}: NaN and infinity reach exactly their rows`, async () => {
      const { device } = next();
      for (const x of ['f16', 'bf16', 'f32'] as const) await expectNonFiniteRows(device, { n: 40, k: 256, format, x });
      if (format === 'lut4') await expectNonFiniteRows(device, { n: 40, k: 256, format, rowTables: true, x: 'f16' });
    });
  }

  it('rounds tensors as the CPU does, bit for bit', async () => {
    const { device } = next();
    const [n, k] = [70, 96];
    const numbers = randomNumbers(n * k, { seed: 6, distribution: 'normal' });
    numbers.fill(0, 32, 64); // a group of zeros has scale 0
    numbers.fill(-3, 96, 128);
    numbers.set([1e-8, -1e-8, 65504, -6e4, 0.5, -0.5], 2 * k);
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      for (const format of ['q4_0', 'q4_1', 'q8_0'] as const) {
        const on = async (device: Device): Promise<number[]> => {
          using x = Tensor.from(device, Array.from(numbers), [n, k], dtype);
          using matrix = PackedMatrix.fromTensor(device.defaultStream, x, format);
          using values = matrix.unpack(device.defaultStream);
          return values.readNumbers();
        };
        expect(await on(device), `${dtype} to ${format}`).toEqual(await on(cpu.device));
      }
    }
  });

  it('gives a token the same bits in every batch of up to 32', async () => {
    const { device } = next();
    await expectRowsAlone(device, { m: 32, n: 200, k: 768, format: 'q4_0', x: 'f16' }, [
      [0, 1],
      [3, 8],
      [10, 19],
      [8, 32],
    ]);
  });

  it('gives the same bits every time, whatever earlier calls left in its workspace', async () => {
    const { device } = next();
    const c: LinearCase = { m: 5, n: 300, k: 1024, format: 'q4_0', x: 'f16' };
    const inputs = makeLinearInputs(c, 9);
    const expected = (await runLinear(device, c, inputs)).out;
    for (const [m, n] of [
      [5, 300],
      [3, 200],
      [24, 520],
      [40, 260],
      [7, 700],
    ] as const) {
      // Partial sums that are NaN, and counts of arrivals, where the next call has its own.
      const other: LinearCase = { ...c, m, n };
      const others = makeLinearInputs(other, m);
      const { out } = await runLinear(device, other, { ...others, x: others.x.fill(Number.NaN) });
      expect(out.every(Number.isNaN)).toBe(true);
      expect((await runLinear(device, c, inputs)).out).toEqual(expected);
    }
  });

  it('follows an order of columns', async () => {
    const { device } = next();
    for (const x of ['f16', 'f32'] as const) {
      const c: LinearCase = { m: 9, n: 70, k: 160, format: 'q4_0', x };
      const order = Int32Array.from({ length: c.k }, (_, i) => (i * 37 + 5) % c.k);
      const inputs = { ...makeLinearInputs(c, 12), order };
      const expected = await linearReference(c, inputs);
      expectClose((await runLinear(device, c, inputs)).out, expected, { absolute: 1e-5, relative: 1e-5 });
    }
  });

  it('takes activations of any rank and any strides of their rows, and no rows at all', async () => {
    const { device } = next();
    const c: LinearCase = { m: 12, n: 72, k: 64, format: 'q4_1', x: 'f16' };
    const inputs = makeLinearInputs(c, 11);
    using matrix = uploadWeights(device, c, inputs);
    using flat = Tensor.from(device, Array.from(inputs.x), [c.m, c.k], 'f16');
    const stream = device.defaultStream;
    const expected = await linear(stream, { x: flat, weight: matrix }).readNumbers();
    const cube = linear(stream, { x: flat.reshape(3, 4, c.k), weight: matrix });
    expect(cube.shape).toEqual([3, 4, c.n]);
    expect(await cube.readNumbers()).toEqual(expected);
    const turned = linear(stream, { x: flat.reshape(3, 4, c.k).transpose(0, 1), weight: matrix });
    const rows = Array.from({ length: c.m }, (_, i) => expected.slice(i * c.n, (i + 1) * c.n));
    const order = Array.from({ length: c.m }, (_, i) => (i % 3) * 4 + Math.floor(i / 3));
    expect(await turned.readNumbers()).toEqual(order.flatMap((row) => rows[row]));
    expect(linear(stream, { x: flat.slice(0, 2, 2), weight: matrix }).shape).toEqual([0, c.n]);
    await stream.synchronize();
  });

  it('adds into the residual in place', async () => {
    const { device } = next();
    const c: LinearCase = { m: 3, n: 24, k: 512, format: 'q8_0', residual: true };
    const inputs = makeLinearInputs(c, 10);
    using matrix = uploadWeights(device, c, inputs);
    using x = Tensor.from(device, inputs.x, [c.m, c.k], 'f32');
    using residual = Tensor.from(device, inputs.residual as Float32Array, [c.m, c.n], 'f32');
    const apart = await linear(device.defaultStream, { x, weight: matrix, residual }).read();
    linear(device.defaultStream, { x, weight: matrix, residual, out: residual });
    expect(await residual.read()).toEqual(apart);
  });
});
