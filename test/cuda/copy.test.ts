// SPDX-License-Identifier: Apache-2.0
/** Copies, fills and gathers move and round exactly, so the GPU must give what the CPU gives, bit for bit. */
import { expect, it } from 'vitest';
import { Device, type DType, embedding, type FloatDType, gatherRows, PackedMatrix, Tensor } from '../../lib/index.js';
import { cudaDevice, describeOnGpu } from '../support/cuda.js';
import { randomNumbers } from '../support/random.js';

const dtypes = ['f32', 'f16', 'bf16', 'i8', 'u8', 'i32', 'i64'] as const satisfies readonly DType[];
const floats = ['f32', 'f16', 'bf16'] as const satisfies readonly FloatDType[];

/** Views of a [4, 6, 8] tensor: dense, with gaps, transposed, reversed, repeated, from an odd element on. */
const views: Record<string, (t: Tensor) => Tensor> = {
  dense: (t) => t.slice(0, 0, 4),
  'rows with gaps': (t) => t.slice(2, 0, 4),
  'rows that begin anywhere': (t) => t.slice(2, 3, 8),
  transposed: (t) => t.transpose(0, 2),
  'inner two exchanged': (t) => t.transpose(1, 2),
  reversed: (t) => t.asStrided([4, 6, 8], [48, 8, -1], 7),
  'every other element': (t) => t.asStrided([4, 3, 4], [48, 16, 2]),
  repeated: (t) => t.asStrided([5, 6, 8], [0, 8, 1]),
  'one column': (t) => t.select(2, 5),
  'one element': (t) => t.asStrided([1], [1], 17),
};

describeOnGpu('moving elements on the GPU', () => {
  const gpu = cudaDevice();
  const cpu = Device.cpu({ threads: 1 });

  for (const [name, view] of Object.entries(views)) {
    it(`copies, converts, reads and writes: ${name}`, async () => {
      const numbers = Array.from(randomNumbers(192, { seed: 3, scale: 40 }), (x) => Math.abs(Math.round(x)) % 100);
      for (const from of dtypes) {
        const on = async (device: Device): Promise<number[][]> => {
          using base = Tensor.from(device, numbers, [4, 6, 8], from);
          using source = view(base);
          const results = [await source.readNumbers()];
          for (const to of dtypes) {
            if (to !== from && !(floats as readonly DType[]).includes(to) && from !== 'f32') continue;
            using dense = source.to(to);
            results.push(await dense.readNumbers());
          }
          if (name === 'repeated') return results;
          using target = Tensor.zeros(device, [4, 6, 8], 'f32');
          using targetView = view(target);
          using sourceAsFloat = source.to('f32');
          targetView.copyFrom(sourceAsFloat);
          results.push(await target.readNumbers());
          targetView.fill(-3);
          results.push(await target.readNumbers());
          source.fill(7);
          source.write((await source.readNumbers()).map((x, i) => (x + i) % 100));
          results.push(await base.readNumbers());
          return results;
        };
        expect(await on(gpu), from).toEqual(await on(cpu));
      }
    });
  }

  it('rounds as the CPU does, special values too', async () => {
    const x = [0, -0, 1e-8, 6e-8, 1e-5, 65504, 65519, 65520, 1e30, -1e39, Number.NaN, Number.POSITIVE_INFINITY];
    const numbers = [...x, ...randomNumbers(200, { seed: 5 })];
    for (const to of ['f16', 'bf16'] as const) {
      const on = async (device: Device): Promise<number[]> => {
        using tensor = Tensor.from(device, numbers, [numbers.length], 'f32');
        using rounded = tensor.to(to);
        return rounded.readNumbers();
      };
      expect(await on(gpu)).toEqual(await on(cpu));
    }
  });

  it('fills i64 with any number', async () => {
    using tensor = Tensor.full(gpu, [9], 'i64', 2 ** 40 + 3);
    expect(await tensor.readNumbers()).toEqual(new Array(9).fill(2 ** 40 + 3));
  });

  it('looks up rows of dense matrices in every type', async () => {
    for (const k of [64, 52, 7]) {
      for (const format of floats) {
        for (const out of floats) {
          const on = async (device: Device): Promise<number[]> => {
            const stream = device.defaultStream;
            using table = Tensor.from(device, randomNumbers(20 * k, { seed: 6 }), [20, k], 'f32');
            using weight = PackedMatrix.fromTensor(stream, table, format);
            using ids = Tensor.from(device, [3, 19, 0, 3], [4], 'i32');
            using rows = embedding(stream, { ids, weight, out: Tensor.empty(device, [4, k], out) });
            return rows.readNumbers();
          };
          expect(await on(gpu), `${format} ${k} ${out}`).toEqual(await on(cpu));
        }
      }
    }
  });

  it('selects rows of any dtype, also of views', async () => {
    for (const dtype of dtypes) {
      const on = async (device: Device): Promise<number[][]> => {
        const numbers = Array.from({ length: 90 }, (_, i) => i);
        using x = Tensor.from(device, numbers, [6, 15], dtype);
        using view = x.slice(1, 1, 14);
        using indices = Tensor.from(device, [5, 0, 0, 3], [4], 'i32');
        using all = gatherRows(device.defaultStream, { x, indices });
        using some = gatherRows(device.defaultStream, { x: view, indices });
        return [await all.readNumbers(), await some.readNumbers()];
      };
      expect(await on(gpu), dtype).toEqual(await on(cpu));
    }
  });

  it('reports ids and indices that do not exist, and leaves zeros', async () => {
    const stream = gpu.defaultStream;
    using table = Tensor.full(gpu, [5, 8], 'f32', 2);
    using weight = PackedMatrix.fromTensor(stream, table, 'f16');
    using ids = Tensor.from(gpu, [4, 5, -1], [3], 'i32');
    const expected = [...new Array(8).fill(2), ...new Array(16).fill(0)];
    using rows = embedding(stream, { ids, weight });
    await expect(stream.synchronize()).rejects.toMatchObject({ code: 'ERR_INVALID_TOKEN' });
    expect(await rows.readNumbers()).toEqual(expected);
    using gathered = gatherRows(stream, { x: table, indices: ids });
    await expect(stream.synchronize()).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(await gathered.readNumbers()).toEqual(expected);
  });
});
