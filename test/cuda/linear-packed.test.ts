// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { Device, type FloatDType, linear, type MatrixFormat, PackedMatrix, Tensor } from '../../lib/index.js';
import { decodeBlocks, lutLevels, randomBlocks } from '../oracle/ggml-blocks.js';
import { casesOf } from '../support/cases.js';
import { cudaDevice, hasCuda } from '../support/cuda.js';
import { randomNumbers } from '../support/random.js';
import { announceSkip } from '../support/skip.js';
import { expectClose, meanRelativeError } from '../support/tolerance.js';

interface Case {
  m: number;
  n: number;
  k: number;
  format: MatrixFormat;
  x?: FloatDType;
  out?: FloatDType;
  bias?: boolean;
  biasType?: FloatDType;
  residual?: boolean;
  residualType?: FloatDType;
  strided?: boolean;
  sources?: number;
  large?: boolean;
}

const formats = [
  'q4_0',
  'q4_1',
  'q4_k',
  'q5_0',
  'q5_k',
  'q6_k',
  'q8_0',
  'iq4_nl',
  'mxfp4',
  'int4_zp',
  'lut4',
] as const satisfies readonly MatrixFormat[];
const isPacked = ({ format }: Case): boolean => (formats as readonly MatrixFormat[]).includes(format);
/** Multiply-adds that a test may leave to the simulator. */
const most = 4e7;

function pack(
  device: Device,
  { n, k, format, sources = 1 }: Case,
  blocks: Uint8Array,
  order?: Int32Array,
): PackedMatrix {
  const rowBytes = blocks.length / n;
  const list = [];
  for (let i = 0, row = 0; i < sources; i++) {
    const end = i === sources - 1 ? n : row + Math.max(1, Math.floor(n / (sources + 1)));
    const data = Tensor.from(device, blocks.slice(row * rowBytes, end * rowBytes), undefined, 'u8');
    list.push({ data, format, columns: k, ...(format === 'lut4' ? { levels: lutLevels } : {}) });
    row = end;
  }
  const matrix = PackedMatrix.fromBlocks(device.defaultStream, list, order ? { order } : {});
  for (const { data } of list) data.dispose();
  return matrix;
}

interface Inputs {
  blocks: Uint8Array;
  x: Float32Array;
  bias: Float32Array | undefined;
  residual: Float32Array | undefined;
  order?: Int32Array;
}

function makeInputs(c: Case, seed: number): Inputs {
  return {
    blocks: randomBlocks(c.format, c.n, c.k, seed),
    x: randomNumbers(c.m * c.k, { seed, stream: 2 }),
    bias: c.bias ? randomNumbers(c.n, { seed, stream: 3 }) : undefined,
    residual: c.residual ? randomNumbers(c.m * c.n, { seed, stream: 4 }) : undefined,
  };
}

/** [rows, width] with `gap` columns of `fill` behind each row. */
function spread(values: Float32Array, rows: number, gap: number, fill: number): number[] {
  const width = values.length / rows;
  return Array.from({ length: rows }, (_, row) => [
    ...values.subarray(row * width, (row + 1) * width),
    ...new Array<number>(gap).fill(fill),
  ]).flat();
}

/** out [m, n], and what lies between its rows. */
async function run(device: Device, c: Case, inputs: Inputs): Promise<{ out: number[]; gaps: number[] }> {
  const gap = c.strided ? 5 : 0;
  using matrix = pack(device, c, inputs.blocks, inputs.order);
  using wide = Tensor.from(device, spread(inputs.x, c.m, gap, Number.NaN), [c.m, c.k + gap], c.x ?? 'f32');
  using outs = Tensor.full(device, [c.m, c.n + gap], c.out ?? 'f32', Number.NaN);
  using x = wide.slice(1, 0, c.k);
  using out = outs.slice(1, 0, c.n);
  const options: Parameters<typeof linear>[1] = { x, weight: matrix, out };
  if (inputs.bias) options.bias = Tensor.from(device, Array.from(inputs.bias), [c.n], c.biasType ?? 'f32');
  if (inputs.residual) {
    options.residual = Tensor.from(device, Array.from(inputs.residual), [c.m, c.n], c.residualType ?? 'f32');
  }
  linear(device.defaultStream, options);
  const all = await outs.readNumbers();
  options.bias?.dispose();
  options.residual?.dispose();
  const width = c.n + gap;
  return { out: all.filter((_, i) => i % width < c.n), gaps: all.filter((_, i) => i % width >= c.n) };
}

/** The same in float64 over the same dtypes. */
async function reference(c: Case, inputs: Inputs): Promise<number[]> {
  using device = Device.cpu({ isa: 'reference', threads: 1 });
  return (await run(device, { ...c, out: 'f32' }, inputs)).out;
}

describe.skipIf(!hasCuda())('linear over packed weights on a GPU', () => {
  const device = cudaDevice();
  const all = casesOf<Case>('linear').map((c, index) => ({ ...c, seed: index + 1 }));
  const packed = all.filter(isPacked);
  const cases = packed.filter(({ m, n, k }) => m * n * k <= most);
  announceSkip(`linear on the GPU: ${packed.length - cases.length} cases of more than ${most} products`);

  for (const c of cases) {
    const { m, n, k, format } = c;
    it(`${format} [${m}, ${k}] x [${n}, ${k}]${c.strided ? ' strided' : ''} ${c.x ?? 'f32'} agrees with float64`, async () => {
      const inputs = makeInputs(c, c.seed);
      const { out, gaps } = await run(device, c, inputs);
      expect(out.every(Number.isFinite), 'every element was written').toBe(true);
      expect(gaps.every(Number.isNaN), 'nothing was written between the rows').toBe(true);
      const rounds = c.out === 'bf16' ? 4e-3 : c.out === 'f16' ? 5e-4 : 0;
      expect(meanRelativeError(out, await reference(c, inputs))).toBeLessThanOrEqual(
        (format === 'lut4' ? 4e-6 : 1e-6) + rounds,
      );
    });
  }

  for (const format of formats) {
    it(`${format}: packing keeps every value, whatever the sources`, async () => {
      for (const [n, k, sources] of [
        [1, 256, 1],
        [64, 256, 1],
        [131, 512, 3],
      ] as const) {
        const c: Case = { m: 0, n, k, format, sources };
        const { blocks } = makeInputs(c, n);
        using matrix = pack(device, c, blocks);
        using values = matrix.unpack(device.defaultStream);
        expect(await values.readNumbers()).toEqual(Array.from(decodeBlocks(format, blocks), Math.fround));
      }
    });

    it(`${format}: NaN and infinity reach exactly their rows`, async () => {
      for (const x of ['f16', 'bf16', 'f32'] as const) {
        const c: Case = { m: 19, n: 40, k: 256, format, x };
        const inputs = makeInputs(c, 8);
        const clean = (await run(device, c, inputs)).out;
        const bad = new Map([
          [0, Number.NaN],
          [7, Number.POSITIVE_INFINITY],
          [18, Number.NEGATIVE_INFINITY],
        ]);
        const values = inputs.x.slice();
        for (const [row, value] of bad) values[row * c.k + 11 * row] = value;
        const { out } = await run(device, c, { ...inputs, x: values });
        for (let row = 0; row < c.m; row++) {
          const result = out.slice(row * c.n, (row + 1) * c.n);
          if (!bad.has(row)) expect(result).toEqual(clean.slice(row * c.n, (row + 1) * c.n));
          else if (Number.isNaN(bad.get(row))) expect(result.every(Number.isNaN)).toBe(true);
          else expect(result.some(Number.isFinite)).toBe(false);
        }
      }
    });
  }

  it('gives a token the same bits in every batch of up to 32', async () => {
    const c: Case = { m: 32, n: 200, k: 768, format: 'q4_0', x: 'f16' };
    const inputs = makeInputs(c, 7);
    const { out } = await run(device, c, inputs);
    for (const [begin, end] of [
      [0, 1],
      [3, 8],
      [10, 19],
      [8, 32],
    ] as const) {
      const part = { ...inputs, x: inputs.x.slice(begin * c.k, end * c.k) };
      expect((await run(device, { ...c, m: end - begin }, part)).out).toEqual(out.slice(begin * c.n, end * c.n));
    }
  });

  it('gives the same bits every time, in poisoned memory', async () => {
    const c: Case = { m: 5, n: 300, k: 1024, format: 'q4_0', x: 'f16' };
    const inputs = makeInputs(c, 9);
    const expected = (await run(device, c, inputs)).out;
    for (let i = 0; i < 5; i++) expect((await run(device, c, inputs)).out).toEqual(expected);
  });

  it('follows an order of columns', async () => {
    for (const x of ['f16', 'f32'] as const) {
      const c: Case = { m: 9, n: 70, k: 160, format: 'q4_0', x };
      const order = Int32Array.from({ length: c.k }, (_, i) => (i * 37 + 5) % c.k);
      const inputs = { ...makeInputs(c, 12), order };
      const expected = await reference(c, inputs);
      expectClose((await run(device, c, inputs)).out, expected, { absolute: 1e-5, relative: 1e-5 });
    }
  });

  it('takes activations of any rank and any strides of their rows, and no rows at all', async () => {
    const c: Case = { m: 12, n: 72, k: 64, format: 'q4_1', x: 'f16' };
    const inputs = makeInputs(c, 11);
    using matrix = pack(device, c, inputs.blocks);
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
    const c: Case = { m: 3, n: 24, k: 512, format: 'q8_0', residual: true };
    const inputs = makeInputs(c, 10);
    using matrix = pack(device, c, inputs.blocks);
    using x = Tensor.from(device, inputs.x, [c.m, c.k], 'f32');
    using residual = Tensor.from(device, inputs.residual as Float32Array, [c.m, c.n], 'f32');
    const apart = await linear(device.defaultStream, { x, weight: matrix, residual }).read();
    linear(device.defaultStream, { x, weight: matrix, residual, out: residual });
    expect(await residual.read()).toEqual(apart);
  });

  it('names the formats that it has', () => {
    const c: Case = { m: 0, n: 8, k: 64, format: 'q5_1' };
    expect(() => pack(device, c, makeInputs(c, 1).blocks)).toThrow(
      expect.objectContaining({
        code: 'ERR_UNSUPPORTED',
        message: expect.stringMatching(/q5_1.*all formats but q5_1/),
      }),
    );
  });
});
