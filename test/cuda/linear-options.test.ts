// SPDX-License-Identifier: Apache-2.0
/**
 * Packed linear layers on a GPU: numbers of tokens and odd sizes (group N), tiles, gates, int8 activations, tables of each row. Costs
 * some 40 s on the simulated GPU.
 */
import { expect, it } from 'vitest';
import { linear, type MatrixFormat, PackedMatrix, Tensor } from '../../lib/index.js';
import { decodeBlocks, nvfp4Factor } from '../oracle/ggml-blocks.js';
import { linearOracle, roundActivations } from '../oracle/linear.js';
import { cudaDevices, describeOnGpu, inTurn } from '../support/cuda.js';
import { runsFull } from '../support/grid.js';
import {
  expectNonFiniteRows,
  gpuFormats,
  type LinearCase,
  linearReference,
  makeLinearInputs,
  runLinear,
} from '../support/linear.js';
import { announceSkip } from '../support/skip.js';
import { expectClose, meanRelativeError } from '../support/tolerance.js';

/** What has kernels for int8 activations. */
const integers = [
  'q4_0',
  'q4_1',
  'q4_k',
  'q5_0',
  'q8_0',
  'iq4_nl',
  'int4_zp',
  'int4_g16',
] as const satisfies readonly MatrixFormat[];
/** Group N. */
const tokens = [1, 2, 3, 4, 8, 12, 16, 24, 32, 48, 64, 118, 128, 152, 768, 1024] as const;

describeOnGpu('options of linear over packed weights on a GPU', () => {
  const next = inTurn(cudaDevices());
  if (!runsFull) announceSkip('group N on the GPU: one of 16 numbers of tokens per format; PAGEWARP_FULL=1 runs all');
  const kinds: Pick<LinearCase, 'format' | 'rowTables'>[] = [
    ...gpuFormats.map((format) => ({ format })),
    { format: 'lut4', rowTables: true },
  ];
  for (const [i, kind] of kinds.entries()) {
    const { format, rowTables } = kind;
    const some = [tokens[(5 * i + 6) % 11] as number];
    for (const m of runsFull ? tokens : some) {
      it(`${format}${rowTables ? ', tables of rows,' : ''} [${m}, 1024] x [512, 1024] f16 agrees with float64`, async () => {
        const { device } = next();
        const c: LinearCase = { m, n: 512, k: 1024, ...kind, x: 'f16', out: 'f32', strided: true };
        const inputs = makeLinearInputs(c, m);
        const { out, gaps } = await runLinear(device, c, inputs);
        expect(gaps.every(Number.isNaN)).toBe(true);
        expect(meanRelativeError(out, await linearReference(c, inputs))).toBeLessThanOrEqual(
          format === 'lut4' ? 4e-6 : 1e-6,
        );
      });
    }
  }

  it('takes rows that end within a strip and columns that end within a stage', async () => {
    const { device } = next();
    for (const [n, k, x] of [
      [7392, 96, 'f16'],
      [40, 64, 'f16'],
      [72, 192, 'bf16'],
      [1025, 832, 'bf16'],
      [8, 896, 'f16'],
    ] as const) {
      for (const m of [3, 11]) {
        const c: LinearCase = { m, n, k, format: 'q4_0', x, out: 'f32' };
        const inputs = makeLinearInputs(c, n);
        const { out } = await runLinear(device, c, inputs);
        expect(
          meanRelativeError(out, await linearReference(c, inputs)),
          `${n} x ${k}, ${m} tokens`,
        ).toBeLessThanOrEqual(1e-6);
      }
    }
  });

  it('takes tiles of many strips where they move less', async () => {
    const { device } = next();
    for (const [x, m, n, k] of [
      ['f16', 5, 2048, 256],
      ['bf16', 5, 1000, 1024],
      ['f32', 5, 1000, 1024],
      ['f16', 13, 4096, 256],
      ['bf16', 13, 4096, 256],
      ...(runsFull ? ([['f16', 9, 3000, 2048]] as const) : []),
    ] as const) {
      const c: LinearCase = { m, n, k, format: 'q4_0', x, out: 'f32' };
      const inputs = makeLinearInputs(c, n);
      const { out } = await runLinear(device, c, inputs);
      expect(meanRelativeError(out, await linearReference(c, inputs)), `${x}, ${m} tokens`).toBeLessThanOrEqual(1e-6);
    }
  });

  for (const kind of kinds) {
    const { format, rowTables } = kind;
    it(`${format}${rowTables ? ', tables of rows' : ''}: tiles of all sizes agree with float64`, async () => {
      const { device } = next();
      for (const [x, m, n] of [
        ['f16', 5, 70],
        ['f16', 5, 2000],
        ['f16', 13, 70],
        ['f16', 13, 4000],
        ['f16', 21, 70],
        ['f16', 41, 300],
        ['bf16', 5, 70],
        ['bf16', 5, 2000],
        ['bf16', 13, 70],
        ['bf16', 13, 4000],
        ['bf16', 21, 70],
        ['bf16', 41, 300],
        ['f32', 21, 300],
      ] as const) {
        const c: LinearCase = { m, n, k: 512, ...kind, x, out: 'f32' };
        const inputs = makeLinearInputs(c, m);
        const { out } = await runLinear(device, c, inputs);
        expect(meanRelativeError(out, await linearReference(c, inputs)), `${x}, ${m} x ${n}`).toBeLessThanOrEqual(
          format === 'lut4' ? 4e-6 : 1e-6,
        );
      }
    });
  }

  for (const format of ['q4_0', 'q8_0', 'nvfp4', 'lut4'] as const) {
    it(`${format}: silu(gate) * up in one kernel agrees with float64`, async () => {
      const { device } = next();
      for (const [m, n, x] of [
        [1, 256, 'f16'],
        [9, 384, 'f32'],
        [33, 128, 'f16'],
        [70, 640, 'bf16'],
      ] as const) {
        const c: LinearCase = { m, n, k: 256, format, x, out: 'f32', bias: true, strided: m === 9, gate: 'silu' };
        const inputs = makeLinearInputs(c, n);
        const { out, gaps } = await runLinear(device, c, inputs);
        expect(gaps.every(Number.isNaN)).toBe(true);
        expect(meanRelativeError(out, await linearReference(c, inputs)), `${m} x ${n} ${x}`).toBeLessThanOrEqual(4e-6);
      }
    });
  }

  it('gates halves of any size, and dense weights, by a kernel of its own', async () => {
    const { device } = next();
    for (const [format, n] of [
      ['q4_0', 200],
      ['f16', 96],
    ] as const) {
      const c: LinearCase = { m: 5, n, k: 64, format, x: 'f16', out: 'f32', gate: 'silu' };
      const inputs = makeLinearInputs(c, n);
      expect(
        meanRelativeError((await runLinear(device, c, inputs)).out, await linearReference(c, inputs)),
      ).toBeLessThan(4e-6);
    }
  });

  for (const format of integers) {
    it(`${format} by int8 activations: exact sums of what rounding leaves`, async () => {
      const { device } = next();
      for (const [m, x] of [
        [1, 'f16'],
        [17, 'f32'],
        [70, 'bf16'],
      ] as const) {
        const c: LinearCase = { m, n: 136, k: 768, format, x, out: 'f32', bias: true, precision: 'int8' };
        const inputs = makeLinearInputs(c, m);
        const { out, x: given } = await runLinear(device, c, inputs);
        expect(meanRelativeError(out, await linearReference(c, inputs))).toBeLessThanOrEqual(0.04);
        const rounded = Float32Array.from(roundActivations(given, c.k));
        const exact = await linearReference({ ...c, x: 'f32' }, { ...inputs, x: rounded });
        expect(meanRelativeError(out, exact)).toBeLessThanOrEqual(1e-6);
      }
      await expectNonFiniteRows(device, { n: 40, k: 256, format, x: 'f16', precision: 'int8' });
    });
  }

  it('follows an order of columns with int8 activations, and refuses other formats', async () => {
    const { device } = next();
    const c: LinearCase = { m: 9, n: 70, k: 160, format: 'q4_0', x: 'f16', out: 'f32', precision: 'int8' };
    const order = Int32Array.from({ length: c.k }, (_, i) => (i * 37 + 5) % c.k);
    const inputs = { ...makeLinearInputs(c, 12), order };
    expect(meanRelativeError((await runLinear(device, c, inputs)).out, await linearReference(c, inputs))).toBeLessThan(
      0.04,
    );
    const other: LinearCase = { ...c, k: 256, format: 'q6_k' };
    await expect(runLinear(device, other, makeLinearInputs(other, 1))).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_UNSUPPORTED', message: expect.stringContaining('q4_0') }),
    );
  });

  it('takes levels of each row, whatever the activations', async () => {
    for (const x of ['f16', 'bf16', 'f32'] as const) {
      for (const m of [3, 11]) {
        const { device } = next();
        const c: LinearCase = { m, n: 150, k: 160, format: 'lut4', rowTables: true, sources: 2, x, out: 'f32' };
        const inputs = makeLinearInputs(c, m);
        const { out } = await runLinear(device, c, inputs);
        expect(meanRelativeError(out, await linearReference(c, inputs)), `${x}, ${m} tokens`).toBeLessThanOrEqual(4e-6);
      }
    }
  });

  it('takes factors of each source', async () => {
    const { device } = next();
    const [n, k, m] = [70, 128, 5];
    const stream = device.defaultStream;
    using x = Tensor.from(device, Array.from(makeLinearInputs({ m, n, k, format: 'q4_0' }, 3).x), [m, k], 'f16');
    const factors = [0.5, 0.03];
    const { blocks } = makeLinearInputs({ m, n, k, format: 'nvfp4' }, 4);
    using data = Tensor.from(device, blocks, undefined, 'u8');
    const half = data.size / 2;
    using weight = PackedMatrix.fromBlocks(
      stream,
      factors.map((factor, i) => ({
        data: data.slice(0, i * half, (i + 1) * half),
        format: 'nvfp4',
        columns: k,
        factor,
      })),
    );
    const own = decodeBlocks('nvfp4', blocks).map(
      (value, i) => (value / nvfp4Factor) * (factors[i < (n * k) / 2 ? 0 : 1] as number),
    );
    const unpacked = await weight.unpack(stream).readNumbers();
    expectClose(unpacked, own, { absolute: 0, relative: 1e-6 });
    const out = Tensor.empty(device, [m, n], 'f32');
    linear(stream, { x, weight, out });
    const expected = linearOracle({ x: await x.readNumbers(), weight: unpacked, m, n, k });
    expect(meanRelativeError(await out.readNumbers(), expected)).toBeLessThanOrEqual(4e-6);
  });
});
