// SPDX-License-Identifier: Apache-2.0
/** What an op writes has memory of its own for each element; views for which that is not so are refused before anything runs. */
import { describe, expect, it } from 'vitest';
import {
  appendKv,
  argmax,
  attention,
  type Device,
  type DType,
  embedding,
  gatherKv,
  gatherRows,
  type KvLayer,
  keyBounds,
  linear,
  mergeStates,
  PackedMatrix,
  planAttention,
  rmsNorm,
  rope,
  ropeAppendKv,
  ropeTable,
  type Stream,
  sample,
  siluMul,
  Tensor,
} from '../../lib/index.js';
import type { NamedDevice } from '../support/devices.js';

interface Output {
  /** What the error calls it. */
  name: string;
  shape: number[];
  dtype?: DType;
  write: (to: never) => unknown;
}

/** Views of `shape` whose neighbours along the last dimension but one (of a vector: elements) are `gap` beyond one another. */
function view(memory: Tensor, shape: readonly number[], gap: number): Tensor {
  const strides = new Array<number>(shape.length).fill(1);
  let stride = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    if (d === Math.max(0, shape.length - 2)) stride += gap;
    strides[d] = stride;
    stride *= shape[d] as number;
  }
  return memory.asStrided(shape, strides);
}

/** Every output that a caller can give, of a call that is otherwise right. */
function outputs(device: Device, stream: Stream): Output[] {
  const zeros = <D extends DType>(shape: number[], dtype: D): Tensor<D> => Tensor.zeros(device, shape, dtype);
  const x = zeros([3, 64], 'f32');
  const weight = PackedMatrix.fromTensor(stream, zeros([64, 64], 'f32'), 'f32');
  const norm = zeros([64], 'f32');
  const ids = zeros([3], 'i32');
  const heads = zeros([3, 2, 64], 'f32');
  const frequencies = zeros([2, 32], 'f32');
  const table = zeros([3, 64], 'f32');
  const pool = (): Tensor<'f32'> => zeros([2, 4, 2, 64], 'f32');
  const kv: KvLayer = { k: pool(), v: pool() };
  const slots = Tensor.from(device, [0, 1, 2], undefined, 'i32');
  const rows = { kv, k: heads, v: heads, slots };
  const plan = planAttention({
    queryLengths: [3],
    pageTable: {
      indptr: Int32Array.of(0, 1),
      indices: Int32Array.of(0),
      lengths: Int32Array.of(3),
      pages: 2,
      pageSize: 4,
      kvHeads: 2,
      headDim: 64,
    },
    heads: 2,
    device,
  });
  const parts = { outs: zeros([2, 3, 2, 64], 'f32'), lses: zeros([2, 3, 2], 'f32') };
  const pages = Tensor.from(device, [0], undefined, 'i32');
  const tokens = Tensor.from(device, [3], undefined, 'i32');
  const bounds = zeros([2, 2, 64], 'f32');
  const rotated = { table, pairing: 'halves' } as const;
  const matrix = [3, 64];
  return [
    { name: 'out', shape: matrix, write: (out) => linear(stream, { x, weight, out }) },
    { name: 'out', shape: [3, 32], write: (out) => linear(stream, { x, weight, out, gate: 'silu' }) },
    { name: 'out', shape: matrix, write: (out) => embedding(stream, { ids, weight, out }) },
    { name: 'out', shape: matrix, write: (out) => gatherRows(stream, { x, indices: ids, out }) },
    { name: 'out', shape: matrix, write: (out) => rmsNorm(stream, { x, weight: norm, eps: 1, out }) },
    { name: 'residual', shape: matrix, write: (residual) => rmsNorm(stream, { x, weight: norm, eps: 1, residual }) },
    { name: 'out', shape: matrix, write: (out) => siluMul(stream, { gate: x, up: x, out }) },
    { name: 'out', shape: matrix, write: (out) => ropeTable(stream, { positions: ids, frequencies, out }) },
    { name: 'qOut', shape: [3, 2, 64], write: (q) => rope(stream, { q, ...rotated }) },
    { name: 'qOut', shape: [3, 2, 64], write: (qOut) => rope(stream, { q: heads, qOut, ...rotated }) },
    { name: 'kOut', shape: [3, 2, 64], write: (k) => rope(stream, { q: heads, k, ...rotated }) },
    { name: 'qOut', shape: [3, 2, 64], write: (q) => ropeAppendKv(stream, { ...rows, q, ...rotated }) },
    { name: 'out', shape: [3, 2, 64], write: (out) => attention(stream, { kv, q: heads, plan, out }) },
    { name: 'lse', shape: [3, 2], write: (lse) => attention(stream, { kv, q: heads, plan, lse }) },
    { name: 'out', shape: [3, 2, 64], write: (out) => mergeStates(stream, { ...parts, out }) },
    { name: 'lse', shape: [3, 2], write: (lse) => mergeStates(stream, { ...parts, lse }) },
    { name: 'low', shape: [2, 2, 64], write: (low) => keyBounds(stream, { kv, pages, tokens, low, high: bounds }) },
    { name: 'high', shape: [2, 2, 64], write: (high) => keyBounds(stream, { kv, pages, tokens, low: bounds, high }) },
    { name: 'k', shape: [3, 2, 64], write: (k) => gatherKv(stream, { ...rows, k }) },
    { name: 'v', shape: [3, 2, 64], write: (v) => gatherKv(stream, { ...rows, v }) },
    { name: 'k pool', shape: [2, 4, 2, 64], write: (k) => appendKv(stream, { ...rows, kv: { k, v: kv.v } }) },
    {
      name: 'v pool',
      shape: [2, 4, 2, 64],
      write: (v) => ropeAppendKv(stream, { ...rows, kv: { k: kv.k, v }, ...rotated }),
    },
    { name: 'out', shape: [3], dtype: 'i32', write: (out) => sample(stream, { logits: x, out }) },
    { name: 'out', shape: [3], dtype: 'i64', write: (out) => argmax(stream, { logits: x, out }) },
    { name: 'tensor', shape: matrix, write: (to: Tensor) => to.copyFrom(x, stream) },
    { name: 'tensor', shape: matrix, write: (to: Tensor) => to.write(new Array(192).fill(0), stream) },
  ];
}

export function overlappingOutputTests(devices: readonly NamedDevice[]): void {
  describe.each(devices)('outputs: $name', ({ device }) => {
    it('are refused where their elements overlap, and written through any other strides', async () => {
      const stream = device.defaultStream;
      for (const { name, shape, dtype = 'f32', write } of outputs(device, stream)) {
        using memory = Tensor.zeros(device, [2048], dtype);
        const call = (to: Tensor): unknown => write(to as never);
        const message = new RegExp(`^${name} is "strides .* of elements that do not overlap`);
        const whole = shape.length === 1 ? 1 : (shape.at(-1) as number);
        for (const gap of [-1, -whole]) {
          using to = view(memory, shape, gap);
          expect(() => call(to), `${write}`).toThrow(
            expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', message: expect.stringMatching(message) }),
          );
        }
        using apart = view(memory, shape, 4);
        expect(() => call(apart), `${write}`).not.toThrow();
        await stream.synchronize();
      }
    });

    it('may be written through views that are reversed, transposed or of a single row', async () => {
      using memory = Tensor.zeros(device, [16], 'f32');
      using source = Tensor.from(device, [1, 2, 3, 4, 5, 6], [2, 3], 'f32');
      for (const strides of [
        [-4, 1],
        [1, 4],
        [3, -1],
      ]) {
        using to = memory.asStrided([2, 3], strides, 4);
        to.copyFrom(source);
        expect(await to.readNumbers(), `${strides}`).toEqual([1, 2, 3, 4, 5, 6]);
      }
      using one = memory.asStrided([1, 3], [0, 1]);
      one.copyFrom(source.slice(0, 1, 2));
      expect(await one.readNumbers()).toEqual([4, 5, 6]);
    });
  });
}
