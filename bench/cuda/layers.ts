// SPDX-License-Identifier: Apache-2.0
/** The rest of a decoder layer, and what moves its numbers. */
import {
  type Device,
  embedding,
  type FloatDType,
  linear,
  type MatrixFormat,
  PackedMatrix,
  QuantizedRows,
  type RoundingFormat,
  rmsNorm,
  rope,
  siluMul,
  Tensor,
} from '../../lib/index.js';
import { formatInfo } from '../../lib/quant/format.js';
import { randomBlocks, tablesOf } from '../../test/oracle/ggml-blocks.js';
import { headDim, heads, type KernelCase, keep, kvHeads, numbers, prepared, ropeTableFor, running } from './kernel.js';

const rounded: readonly MatrixFormat[] = ['f32', 'f16', 'bf16', 'q4_0', 'q4_1', 'q8_0'] satisfies RoundingFormat[];

function weightBytes(rows: number, columns: number, format: MatrixFormat): number {
  const { blockColumns, blockBytes } = formatInfo(format);
  return ((rows * columns) / blockColumns) * blockBytes;
}

/** Random numbers, rounded; of formats that are not rounded to, random blocks, the same for all 64 rows. */
function weights(device: Device, rows: number, columns: number, format: MatrixFormat): PackedMatrix {
  const stream = device.defaultStream;
  if (rounded.includes(format)) {
    using dense = numbers(device, [rows, columns], 'f32', 2);
    return PackedMatrix.fromTensor(stream, dense, format as RoundingFormat);
  }
  const tile = randomBlocks(format, Math.min(rows, 64), columns, 2);
  const all = new Uint8Array(weightBytes(rows, columns, format));
  for (let at = 0; at < all.length; at += tile.length) all.set(tile.subarray(0, all.length - at), at);
  using data = Tensor.from(device, all, [all.length], 'u8');
  return PackedMatrix.fromBlocks(stream, [{ data, format, columns, ...tablesOf(format) }]);
}

export interface LinearOptions {
  /** Activations are rounded to 8 bits. */
  precision?: 'int8';
  /** The product is large: f32. */
  gate?: 'silu';
}

export function linearCase(
  m: number,
  n: number,
  k: number,
  format: MatrixFormat,
  options: LinearOptions = {},
): KernelCase {
  const names = [format, ...Object.values(options)].join(', ');
  const [columns, dtype, width] = options.gate ? ([n / 2, 'f32', 4] as const) : ([n, 'f16', 2] as const);
  return {
    name: `linear ${names}, [${m}, ${k}] x [${n}, ${k}]`,
    bytes: weightBytes(n, k, format) + m * (2 * k + width * columns),
    operations: 2 * m * n * k,
    // CPUs round activations to 8 bits where weights are quantised; a gate multiplies two such sums.
    tolerance: options.gate ? 0.5 : format === 'f16' || format === 'bf16' ? 0.02 : 0.2,
    prepare: (device) =>
      prepared((owned) => {
        const weight = keep(owned, weights(device, n, k, format));
        const x = keep(owned, numbers(device, [m, k], 'f16', 3));
        const out = keep(owned, Tensor.empty(device, [m, columns], dtype));
        return running(() => void linear(device.defaultStream, { x, weight, out, ...options }), out);
      }),
  };
}

/** @param rounds the result is rounded to 8 bits, for a linear layer; checked by what a layer makes of it */
export function normCase(rows: number, dim: number, rounds = false): KernelCase {
  return {
    name: `rmsNorm f16 with f32 residual${rounds ? ', rounded to 8 bits' : ''}, [${rows}, ${dim}]`,
    bytes: rows * dim * (2 + 8 + (rounds ? 1 : 2)) + 2 * dim,
    operations: 0,
    tolerance: rounds ? 0.2 : 0.02,
    prepare: (device) =>
      prepared((owned) => {
        const stream = device.defaultStream;
        const x = keep(owned, numbers(device, [rows, dim], 'f16', 4));
        const weight = keep(owned, numbers(device, [dim], 'f16', 5));
        const residual = keep(owned, Tensor.zeros(device, [rows, dim], 'f32'));
        const common = { x, weight, residual, eps: 1e-5 };
        if (!rounds) {
          const out = keep(owned, Tensor.empty(device, [rows, dim], 'f16'));
          return running(() => void rmsNorm(stream, { ...common, out }), out);
        }
        const out = keep(owned, QuantizedRows.empty(device, [rows, dim]));
        const enqueue = (): void => void rmsNorm(stream, { ...common, out });
        return {
          enqueue,
          result: async () => {
            enqueue();
            using weight = weights(device, 8, dim, 'q8_0');
            using product = linear(stream, { x: out, weight });
            return await product.readNumbers();
          },
        };
      }),
  };
}

export function ropeCase(rows: number): KernelCase {
  return {
    name: `rope f16, ${rows} rows of ${heads} + ${kvHeads} heads`,
    bytes: 2 * 2 * rows * (heads + kvHeads) * headDim + 4 * rows * headDim,
    operations: 0,
    tolerance: 0.02,
    prepare: (device) =>
      prepared((owned) => {
        const stream = device.defaultStream;
        const table = ropeTableFor(device, owned, rows);
        const q = keep(owned, numbers(device, [rows, heads, headDim], 'f16', 6));
        const k = keep(owned, numbers(device, [rows, kvHeads, headDim], 'f16', 7));
        const qOut = keep(owned, Tensor.empty(device, [rows, heads, headDim], 'f16'));
        const kOut = keep(owned, Tensor.empty(device, [rows, kvHeads, headDim], 'f16'));
        const enqueue = (): void => void rope(stream, { q, k, table, pairing: 'halves', qOut, kOut });
        return running(enqueue, qOut);
      }),
  };
}

export function gatedCase(rows: number, n: number): KernelCase {
  return {
    name: `siluMul f16, [${rows}, 2 x ${n}]`,
    bytes: 2 * 3 * rows * n,
    operations: 0,
    tolerance: 0.02,
    prepare: (device) =>
      prepared((owned) => {
        const fused = keep(owned, numbers(device, [rows, 2 * n], 'f16', 18));
        const out = keep(owned, Tensor.empty(device, [rows, n], 'f16'));
        return running(() => void siluMul(device.defaultStream, { fused, out }), out);
      }),
  };
}

export function embeddingCase(rows: number, dim: number, format: MatrixFormat): KernelCase {
  return {
    name: `embedding ${format}, ${rows} rows of ${dim}`,
    bytes: weightBytes(rows, dim, format) + 2 * rows * dim + 4 * rows,
    operations: 0,
    tolerance: 0.02,
    prepare: (device) =>
      prepared((owned) => {
        const weight = keep(owned, weights(device, 4 * rows, dim, format));
        const list = Int32Array.from({ length: rows }, (_, i) => (i * 7) % (4 * rows));
        const ids = keep(owned, Tensor.from(device, list, [rows], 'i32'));
        const out = keep(owned, Tensor.empty(device, [rows, dim], 'f16'));
        return running(() => void embedding(device.defaultStream, { ids, weight, out }), out);
      }),
  };
}

/** Heads and rows change places, which the driver cannot do. */
export function transposeCase(rows: number, to: FloatDType): KernelCase {
  const width = to === 'f32' ? 4 : 2;
  return {
    name: `copy f16 to ${to}, [${rows}, ${heads}] rows transposed`,
    bytes: rows * heads * headDim * (2 + width),
    operations: 0,
    tolerance: 1e-6,
    prepare: (device) =>
      prepared((owned) => {
        const source = keep(owned, numbers(device, [rows, heads, headDim], 'f16', 19));
        const view = keep(owned, source.transpose(0, 1));
        const out = keep(owned, Tensor.empty(device, [heads, rows, headDim], to));
        return running(() => out.copyFrom(view), out);
      }),
  };
}
