// SPDX-License-Identifier: Apache-2.0
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  Device,
  embedding,
  formatOfGgufType,
  GgufFile,
  gatherRows,
  type MatrixFormat,
  matrixFormats,
  PackedMatrix,
  Tensor,
} from '../../lib/index.js';
import { decodeBlocks, randomBlocks, tablesOf } from '../oracle/ggml-blocks.js';
import { temporaryFolder } from '../support/folder.js';
import { type GgufBlockType, GgufWriter, ggufTypes } from '../support/gguf-writer.js';
import { onEveryCpu } from '../support/isa.js';
import { runProgram } from '../support/program.js';
import { randomNumbers } from '../support/random.js';
import { announceSkip } from '../support/skip.js';
import { meanRelativeError } from '../support/tolerance.js';

function pack(device: Device, format: MatrixFormat, blocks: readonly Uint8Array[], columns: number): PackedMatrix {
  return PackedMatrix.fromBlocks(
    device.defaultStream,
    blocks.map((bytes) => ({
      data: Tensor.from(device, bytes, undefined, 'u8'),
      format,
      columns,
      ...tablesOf(format),
    })),
  );
}

async function codeOf(fn: () => unknown): Promise<unknown> {
  try {
    await fn();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
}

const folder = temporaryFolder();

describe('PackedMatrix', () => {
  for (const format of matrixFormats) {
    for (const [rows, columns] of [
      [16, 256],
      [37, 512],
      [1, 256],
    ] as const) {
      it(`${format} [${rows}, ${columns}] unpacks to the values of its blocks, bit for bit`, async () => {
        const blocks = randomBlocks(format, rows, columns, rows);
        await onEveryCpu(async (device) => {
          using matrix = pack(device, format, [blocks], columns);
          expect(matrix.shape).toEqual([rows, columns]);
          using unpacked = matrix.unpack(device.defaultStream);
          expect(await unpacked.read()).toEqual(decodeBlocks(format, blocks));
          expect(matrix.rowsDone).toBe(rows);
        });
      });
    }

    it(`${format}: fused sources lie below one another`, async () => {
      const parts = [19, 3, 26].map((rows, i) => randomBlocks(format, rows, 256, 40 + i));
      using device = Device.cpu({ threads: 2 });
      using matrix = pack(device, format, parts, 256);
      expect(matrix.shape).toEqual([48, 256]);
      const expected = parts.flatMap((bytes) => [...decodeBlocks(format, bytes)]);
      expect(await matrix.unpack(device.defaultStream).readNumbers()).toEqual(expected);
    });
  }

  it('packs tensors of a GGUF file, which may be disposed at once', async () => {
    const path = join(folder, 'packed.gguf');
    const blocks = new Map<string, [type: GgufBlockType, format: MatrixFormat, rows: number]>([
      ['q', ['Q4_0', 'q4_0', 1000]],
      ['k', ['Q4_0', 'q4_0', 24]],
      ['deep', ['Q4_K', 'q4_k', 33]],
      ['plain', ['F16', 'f16', 20]],
    ]);
    const writer = new GgufWriter();
    const bytes = new Map<string, Uint8Array>();
    for (const [name, [type, format, rows]] of blocks) {
      const data = randomBlocks(format, rows, 256, rows);
      bytes.set(name, data);
      writer.blocks(name, [rows, 256], type, data);
    }
    writer.blocks('odd', [16, 256], 'Q2_K', new Uint8Array(16 * 84));
    writer.write(path);
    const values = (name: string): number[] => {
      const [, format] = blocks.get(name) as [GgufBlockType, MatrixFormat, number];
      return [...decodeBlocks(format, bytes.get(name) as Uint8Array)];
    };
    await onEveryCpu(async (device) => {
      const stream = device.defaultStream;
      const file = GgufFile.open(path);
      const fused = PackedMatrix.fromGguf(stream, file, ['q', 'k']);
      const kept = PackedMatrix.fromGguf(stream, file, ['deep'], { dropPages: false });
      const copied = PackedMatrix.fromGguf(stream, file, ['plain', 'plain']);
      const viewed = PackedMatrix.viewGguf(device, file, 'plain');
      expect(await codeOf(() => PackedMatrix.fromGguf(stream, file, ['absent']))).toBe('ERR_INVALID_MODEL');
      expect(await codeOf(() => PackedMatrix.fromGguf(stream, file, ['odd']))).toBe('ERR_UNSUPPORTED');
      expect(await codeOf(() => PackedMatrix.fromGguf(stream, file, ['q', 'deep']))).toBe('ERR_UNSUPPORTED');
      expect(await codeOf(() => PackedMatrix.viewGguf(device, file, 'q'))).toBe('ERR_UNSUPPORTED');
      file.dispose();
      expect([fused.n, fused.k, fused.format]).toEqual([1024, 256, 'q4_0']);
      expect(viewed.bytes).toBe(0);
      expect(await fused.unpack(stream).readNumbers()).toEqual([...values('q'), ...values('k')]);
      expect(await kept.unpack(stream).readNumbers()).toEqual(values('deep'));
      expect(await copied.unpack(stream).readNumbers()).toEqual([...values('plain'), ...values('plain')]);
      expect(await viewed.unpack(stream).readNumbers()).toEqual(values('plain'));
      expect(fused.rowsDone).toBe(1024);
    });
  });

  const hasPeak = existsSync('/proc/self/status') || !announceSkip('peak memory of packing: /proc is not there');
  it.runIf(hasPeak)('never has the file and the packed matrix resident together', async () => {
    const path = join(folder, 'large.gguf');
    const shape = [8192, 8192] as const;
    const bytes = (shape[0] * shape[1] * 18) / 32;
    new GgufWriter().blocks('weight', shape, 'Q4_0', new Uint8Array(bytes)).write(path);
    const { grown, packed } = JSON.parse((await runProgram('resident-packing', [path, 'weight'])).stdout);
    rmSync(path);
    expect(packed).toBe(bytes);
    expect(grown).toBeGreaterThan(packed / 2); // it was measured
    expect(grown).toBeLessThan(1.4 * packed); // both would be twice as much
  });

  it('keeps the values of every type that a GGUF file may have, or names the type that it does not hold', async () => {
    const path = join(folder, 'types.gguf');
    const writer = new GgufWriter();
    const values = new Map<GgufBlockType, Float32Array>();
    for (const type of ggufTypes) {
      const format = formatOfGgufType(type);
      const blocks = format ? randomBlocks(format, 3, 256, 60) : new Uint8Array(3 * 256 * 8);
      if (format) values.set(type, decodeBlocks(format, blocks));
      writer.blocks(type, [3, 256], type, blocks);
    }
    writer.write(path);
    const floats = ['F32', 'F16', 'BF16'];
    const kernels = ['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q4_K', 'Q5_K', 'Q6_K', 'IQ4_NL', 'MXFP4'];
    expect([...values.keys()].sort()).toEqual([...floats, ...kernels].sort());
    using device = Device.cpu({ threads: 1 });
    using file = GgufFile.open(path);
    for (const type of ggufTypes) {
      const expected = values.get(type);
      const packed = (): PackedMatrix => PackedMatrix.fromGguf(device.defaultStream, file, [type]);
      if (!expected) {
        expect(packed).toThrow(
          expect.objectContaining({
            code: 'ERR_UNSUPPORTED',
            message: expect.stringMatching(new RegExp(`of type ${type}\\b.*q4_0`, 's')),
          }),
        );
        continue;
      }
      using matrix = packed();
      expect(await matrix.unpack(device.defaultStream).read(), type).toEqual(expected);
    }
  });

  it('rounds tensors to nearest', async () => {
    using device = Device.cpu({ threads: 1 });
    const values = randomNumbers(48 * 96, { seed: 3 });
    values.fill(0, 32, 64); // a group of zeros has scale 0
    const x = Tensor.from(device, values, [48, 96], 'f32');
    const errors: Record<string, number> = {};
    for (const format of ['f32', 'f16', 'bf16', 'q8_0', 'q4_1', 'q4_0'] as const) {
      using matrix = PackedMatrix.fromTensor(device.defaultStream, x, format);
      const unpacked = await matrix.unpack(device.defaultStream).read();
      expect(unpacked.slice(32, 64).every((value) => value === 0)).toBe(true);
      errors[format] = meanRelativeError(unpacked, values);
    }
    expect(errors['f32']).toBe(0);
    expect(errors['f16']).toBeLessThan(4e-4);
    expect(errors['bf16']).toBeLessThan(3e-3);
    expect(errors['q8_0']).toBeLessThan(0.007);
    expect(errors['q4_1']).toBeLessThan(0.1);
    expect(errors['q4_0']).toBeLessThan(0.11);
  });

  it('occupies what its format needs, and gives it back', async () => {
    using device = Device.cpu({ threads: 1 });
    using x = Tensor.zeros(device, [64, 1024], 'f32');
    const before = device.bytesInUse;
    const matrix = PackedMatrix.fromTensor(device.defaultStream, x, 'q4_0');
    expect(matrix.bytes).toBe((64 * 1024 * 4.5) / 8);
    expect(device.bytesInUse - before).toBeGreaterThanOrEqual(matrix.bytes);
    matrix.dispose();
    await device.defaultStream.synchronize();
    expect(device.bytesInUse).toBe(before);
  });

  it('refuses what it cannot hold', async () => {
    using device = Device.cpu({ threads: 1 });
    const stream = device.defaultStream;
    const bytes = (n: number): Tensor<'u8'> => Tensor.zeros(device, [n], 'u8');
    const from = (format: MatrixFormat, n: number, columns: number) => () =>
      PackedMatrix.fromBlocks(stream, [{ data: bytes(n), format, columns }]);
    expect(await codeOf(from('q4_0', 18, 31))).toBe('ERR_SHAPE_MISMATCH');
    expect(await codeOf(from('q4_k', 144, 32))).toBe('ERR_SHAPE_MISMATCH');
    expect(await codeOf(from('q4_0', 17, 32))).toBe('ERR_SHAPE_MISMATCH');
    expect(await codeOf(from('q4_0', 0, 32))).toBe('ERR_SHAPE_MISMATCH');
    expect(await codeOf(from('q4_0', 18, 0))).toBe('ERR_INVALID_ARGUMENT');
    expect(await codeOf(from('q2_k' as MatrixFormat, 18, 32))).toBe('ERR_UNSUPPORTED');
    expect(await codeOf(() => PackedMatrix.fromBlocks(stream, []))).toBe('ERR_INVALID_ARGUMENT');
    const mixed = [
      { data: bytes(18), format: 'q4_0', columns: 32 },
      { data: bytes(34), format: 'q8_0', columns: 32 },
    ] as const;
    expect(await codeOf(() => PackedMatrix.fromBlocks(stream, mixed))).toBe('ERR_UNSUPPORTED');
    const widths = [
      { data: bytes(18), format: 'q4_0', columns: 32 },
      { data: bytes(36), format: 'q4_0', columns: 64 },
    ] as const;
    expect(await codeOf(() => PackedMatrix.fromBlocks(stream, widths))).toBe('ERR_SHAPE_MISMATCH');
    const x = Tensor.zeros(device, [2, 48], 'f32');
    expect(await codeOf(() => PackedMatrix.fromTensor(stream, x, 'q4_0'))).toBe('ERR_SHAPE_MISMATCH');
    expect(await codeOf(() => PackedMatrix.fromTensor(stream, x, 'q6_k' as never))).toBe('ERR_UNSUPPORTED');
  });
});

describe('embedding', () => {
  it('gathers rows of every format, rounded to the dtype of out', async () => {
    for (const format of matrixFormats) {
      const blocks = randomBlocks(format, 33, 256, 5);
      const values = decodeBlocks(format, blocks);
      await onEveryCpu(async (device) => {
        using weight = pack(device, format, [blocks], 256);
        const ids = Tensor.from(device, [32, 0, 7, 7, 15, 16], undefined, 'i32');
        const expected = [32, 0, 7, 7, 15, 16].flatMap((id) => [...values.slice(id * 256, (id + 1) * 256)]);
        const out = embedding(device.defaultStream, { ids, weight });
        expect(await out.readNumbers()).toEqual(expected);
        for (const dtype of ['f16', 'bf16'] as const) {
          const narrow = Tensor.empty(device, [6, 256], dtype);
          embedding(device.defaultStream, { ids, weight, out: narrow });
          expect(await narrow.read()).toEqual(await Tensor.from(device, expected, [6, 256], dtype).read());
        }
      });
    }
  });

  it('reports ids outside the vocabulary and leaves zeros', async () => {
    await onEveryCpu(async (device) => {
      const stream = device.defaultStream;
      const weight = PackedMatrix.fromTensor(stream, Tensor.full(device, [10, 32], 'f32', 2), 'q8_0');
      for (const bad of [-1, 10, 2 ** 31 - 1, -(2 ** 31)]) {
        const ids = Tensor.from(device, [3, bad], undefined, 'i32');
        const out = Tensor.full(device, [2, 32], 'f32', Number.NaN);
        await stream.synchronize();
        embedding(stream, { ids, weight, out });
        expect(await codeOf(() => stream.synchronize())).toBe('ERR_INVALID_TOKEN');
        const values = await out.readNumbers();
        expect(values.slice(32)).toEqual(new Array(32).fill(0));
        expect(values.slice(0, 32).every((value) => Math.abs(value - 2) < 0.01)).toBe(true);
      }
    });
  });

  it('refuses what does not fit', async () => {
    using device = Device.cpu({ threads: 1 });
    const stream = device.defaultStream;
    const weight = PackedMatrix.fromTensor(stream, Tensor.zeros(device, [10, 32], 'f32'), 'f16');
    const ids = Tensor.zeros(device, [2], 'i32');
    expect(await codeOf(() => embedding(stream, { ids: Tensor.zeros(device, [2], 'i64') as never, weight }))).toBe(
      'ERR_UNSUPPORTED',
    );
    expect(await codeOf(() => embedding(stream, { ids: ids.reshape(1, 2), weight }))).toBe('ERR_SHAPE_MISMATCH');
    const out = Tensor.zeros(device, [2, 31], 'f32');
    expect(await codeOf(() => embedding(stream, { ids, weight, out }))).toBe('ERR_SHAPE_MISMATCH');
  });
});

describe('gatherRows', () => {
  it('selects rows of any dtype, also of a view with gaps', async () => {
    await onEveryCpu(async (device) => {
      for (const dtype of ['f32', 'f16', 'bf16', 'i8', 'u8', 'i32', 'i64'] as const) {
        const wide = Tensor.from(
          device,
          Array.from({ length: 60 }, (_, i) => i),
          [10, 6],
          dtype,
        );
        const x = wide.slice(1, 1, 5);
        const indices = Tensor.from(device, [9, 0, 4, 4], undefined, 'i32');
        const out = gatherRows(device.defaultStream, { x, indices });
        expect(out.dtype).toBe(dtype);
        expect((await out.readNumbers()).map(Number)).toEqual(
          [9, 0, 4, 4].flatMap((row) => [1, 2, 3, 4].map((i) => 6 * row + i)),
        );
      }
    });
  });

  it('reports indices outside x and leaves zeros', async () => {
    using device = Device.cpu({ threads: 1 });
    const x = Tensor.full(device, [3, 2], 'f32', 1);
    const indices = Tensor.from(device, [1, 3, -1], undefined, 'i32');
    await device.defaultStream.synchronize();
    const out = gatherRows(device.defaultStream, { x, indices });
    expect(await codeOf(() => device.defaultStream.synchronize())).toBe('ERR_INVALID_ARGUMENT');
    expect(await out.readNumbers()).toEqual([1, 1, 0, 0, 0, 0]);
  });
});
