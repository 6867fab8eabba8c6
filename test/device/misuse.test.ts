// SPDX-License-Identifier: Apache-2.0
import { afterAll, describe, expect, it } from 'vitest';
import {
  type AttentionPlan,
  appendKv,
  argmax,
  attention,
  Device,
  drawCandidates,
  Event,
  embedding,
  gatherKv,
  gatherRows,
  geluMul,
  linear,
  mergeStates,
  PackedMatrix,
  PagedKvCache,
  PagewarpError,
  planAttention,
  rmsNorm,
  rope,
  ropeTable,
  sample,
  siluMul,
  Tensor,
  verify,
} from '../../lib/index.js';
import { everyCpu, referenceCpu } from '../support/devices.js';

const nonsense: unknown[] = [undefined, null, Number.NaN, -1, 1.5, 2 ** 60, 'a', 1n, {}, () => 1, Symbol('x'), true];

/** Calls what is typed otherwise with whatever there is; only results and typed errors are allowed. */
function abuse(name: string, call: (value: never) => unknown): void {
  for (const value of nonsense) {
    try {
      call(value as never);
    } catch (error) {
      if (!(error instanceof PagewarpError)) throw new Error(`${name}(${String(value)}): ${(error as Error).stack}`);
      expect(error.code, name).not.toBe('ERR_INTERNAL');
    }
  }
}

describe('arguments of the wrong type', () => {
  const device = Device.cpu({ threads: 1 });
  afterAll(() => device.dispose());
  const stream = device.defaultStream;
  const x = Tensor.zeros(device, [2, 8], 'f32');
  const own = <T extends { dispose(): void }>(made: T): void => made.dispose();

  it('give typed errors where tensors are made and looked at', () => {
    abuse('empty shape', (shape) => own(Tensor.empty(device, shape, 'f32')));
    abuse('empty dimension', (n) => own(Tensor.empty(device, [n], 'f32')));
    abuse('empty dtype', (dtype) => own(Tensor.empty(device, [2], dtype)));
    abuse('empty device', (other) => own(Tensor.empty(other, [2], 'f32')));
    abuse('from', (data) => own(Tensor.from(device, data, undefined, 'f32')));
    for (const dtype of ['f32', 'f16', 'i8', 'i64'] as const) {
      abuse('from element', (element) => own(Tensor.from(device, [element], undefined, dtype)));
    }
    abuse('write', (data) => x.write(data));
    abuse('fill', (value) => x.fill(value));
    abuse('fill stream', (other) => x.fill(0, other ?? (null as never)));
    abuse('copyFrom', (source) => x.copyFrom(source));
    abuse('slice', (dim) => own(x.slice(dim, 0, 1)));
    abuse('transpose', (dim) => own(x.transpose(0, dim)));
    abuse('asStrided', (shape) => own(x.asStrided(shape, [1])));
    abuse('asStrided strides', (strides) => own(x.asStrided([1], strides)));
    abuse('asStrided offset', (offset) => own(x.asStrided([1], [1], offset)));
    expect(() => x.asStrided([1], [1], 0.5)).toThrow(/offset is 0.5, but must be an integer/);
    expect(() => Tensor.from(device, ['1'] as never, undefined, 'f32')).toThrow(
      /data\[0\] is "1", but must be a number/,
    );
  });

  it('give typed errors in streams and ops', () => {
    abuse('wait', (event) => stream.wait(event));
    abuse('record', (event) => stream.record(event ?? (null as never)));
    abuse('capture', (enqueue) => own(stream.capture(enqueue)));
    abuse('replay', (list) => stream.replay(list));
    const weight = Tensor.zeros(device, [8], 'f32');
    const matrix = PackedMatrix.fromTensor(stream, x, 'f32');
    const ids = Tensor.zeros(device, [1], 'i32');
    for (const op of [
      appendKv,
      argmax,
      attention,
      drawCandidates,
      embedding,
      gatherKv,
      gatherRows,
      geluMul,
      linear,
      mergeStates,
      rmsNorm,
      rope,
      ropeTable,
      sample,
      siluMul,
      verify,
    ]) {
      abuse(`${op.name} options`, (options) => void op(stream, options));
    }
    abuse('pools', (kv) => gatherKv(stream, { kv } as never));
    abuse('key pool', (k) => gatherKv(stream, { kv: { k, v: x } } as never));
    abuse('planAttention', (options) => own(planAttention(options)));
    abuse('cache options', (options) => own(new PagedKvCache(device, options)));
    abuse('rmsNorm x', (tensor) => rmsNorm(stream, { x: tensor, weight, eps: 1 }));
    abuse('rmsNorm stream', (other) => rmsNorm(other, { x, weight, eps: 1 }));
    abuse('rmsNorm eps', (eps) => rmsNorm(stream, { x, weight, eps }));
    abuse('linear x', (tensor) => linear(stream, { x: tensor, weight: matrix }));
    abuse('linear weight', (other) => linear(stream, { x, weight: other }));
    abuse('embedding', (other) => embedding(stream, { ids: other, weight: matrix }));
    abuse('embedding weight', (other) => embedding(stream, { ids, weight: other }));
    abuse('argmax', (logits) => argmax(stream, { logits }));
    abuse('cache', (pages) => own(new PagedKvCache(device, { layers: 1, kvHeads: 1, headDim: 8, pages })));
    abuse('cache dtype', (dtype) =>
      own(new PagedKvCache(device, { layers: 1, kvHeads: 1, headDim: 8, pages: 1, dtype })),
    );
  });

  it('are refused where a result would overwrite what is still read', async () => {
    using matrix = PackedMatrix.fromTensor(stream, Tensor.zeros(device, [4, 4], 'f32'), 'f32');
    using wide = Tensor.zeros(device, [2, 8], 'f32');
    using left = wide.slice(1, 0, 4);
    using right = wide.slice(1, 4, 8);
    using middle = wide.slice(1, 2, 6);
    using indices = Tensor.zeros(device, [2], 'i32');
    expect(linear(stream, { x: left, weight: matrix, out: right })).toBe(right);
    for (const out of [left, middle]) {
      expect(() => linear(stream, { x: left, weight: matrix, out })).toThrow(/out shares memory with x/);
      expect(() => gatherRows(stream, { x: left, indices, out })).toThrow(/out shares memory with x/);
    }
    await stream.synchronize();
  });

  it('are refused where they would be captured in vain', () => {
    expect(() => stream.capture((async () => {}) as never)).toThrow(/enqueue is "an async function"/);
    expect(stream.isCapturing).toBe(false);
    stream.capture(() => x.fill(1)).dispose();
  });
});

describe('memory', () => {
  it('that JavaScript has none for is a typed error, not the end of the process', async () => {
    using device = Device.cpu({ threads: 1 });
    using one = Tensor.zeros(device, [1], 'f32');
    using vast = one.asStrided([2 ** 20, 2 ** 20], [0, 0]);
    await expect(vast.read()).rejects.toMatchObject({ code: 'ERR_OUT_OF_MEMORY' });
    expect(await one.readNumbers()).toEqual([0]);
  });

  it('that threads share can be written from', async () => {
    using device = Device.cpu({ threads: 1 });
    const shared = new Float32Array(new SharedArrayBuffer(16));
    shared.set([1, 2, 3, 4]);
    using tensor = Tensor.from(device, shared, undefined, 'f32');
    expect(await tensor.readNumbers()).toEqual([1, 2, 3, 4]);
  });

  it('of another device is refused', () => {
    using a = Device.cpu({ threads: 1 });
    using b = Device.cpu({ threads: 1 });
    using x = Tensor.zeros(a, [2], 'f32');
    using y = Tensor.zeros(b, [2], 'f32');
    expect(() => x.copyFrom(y)).toThrow(/source belongs to another device/);
    expect(() => x.write([1, 2], b.defaultStream)).toThrow(/the stream belongs to another device/);
  });
});

describe('numbers that an integer type does not hold', () => {
  it('become the nearest that it does, NaN 0', async () => {
    using device = Device.cpu({ threads: 1 });
    const values = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e30, -1e30, 1.9, -1.9];
    using from = Tensor.from(device, values, undefined, 'f32');
    const expected = { i8: [127, -128], u8: [255, 0], i32: [2 ** 31 - 1, -(2 ** 31)], i64: [2 ** 63, -(2 ** 63)] };
    for (const [dtype, [most, least]] of Object.entries(expected)) {
      using to = from.to(dtype as 'i8');
      const small = dtype === 'u8' ? 0 : -1;
      expect(await to.readNumbers(), dtype).toEqual([0, most, least, most, least, 1, small]);
    }
  });
});

describe('ops at their edges', () => {
  const devices = [...everyCpu([2]), { name: 'reference', device: referenceCpu() }];

  it.each(devices)('rows without elements can be gathered ($name)', async ({ device }) => {
    using x = Tensor.zeros(device, [3, 4], 'f32');
    using none = x.slice(1, 0, 0);
    using indices = Tensor.from(device, [0, 2], undefined, 'i32');
    using out = gatherRows(device.defaultStream, { x: none, indices });
    expect(out.shape).toEqual([2, 0]);
    expect(await out.readNumbers()).toEqual([]);
  });

  it.each(devices)('sampling parameters on the device are checked there ($name)', async ({ device }) => {
    const stream = device.defaultStream;
    using logits = Tensor.zeros(device, [2, 3000], 'f32');
    using draftTokens = Tensor.from(device, [1], undefined, 'i32');
    const fine = [1, 0, 1, 0, 1, 0, 0, 0];
    for (const [column, value] of [
      [0, Number.NaN],
      [0, Number.POSITIVE_INFINITY],
      [0, -1],
      [2, Number.NaN],
      [3, 5],
      [4, 0],
      [6, Number.NEGATIVE_INFINITY],
    ] as const) {
      using parameters = Tensor.from(device, [...fine, ...fine.with(column, value)], [2, 8], 'f32');
      const { ids } = sample(stream, { logits, parameters });
      await expect(ids.read(), `${column}: ${value}`).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
      expect((await ids.readNumbers())[1]).toBe(-1);
      expect((await ids.readNumbers())[0]).toBeGreaterThanOrEqual(0);
      using one = parameters.slice(0, 1, 2);
      const { tokens } = verify(stream, { targetLogits: logits, draftTokens, draftLengths: [1], parameters: one });
      await expect(tokens.read(), `${column}: ${value}`).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
      expect(await tokens.readNumbers()).toEqual([-1, -1]);
    }
  });

  it('parameters that an f32 cannot hold are refused', () => {
    using device = Device.cpu({ threads: 1 });
    using logits = Tensor.zeros(device, [1, 4], 'f32');
    const stream = device.defaultStream;
    expect(() => sample(stream, { logits, temperature: 1e39 })).toThrow(/temperature is 1e\+39/);
    expect(() => sample(stream, { logits, repetitionPenalty: 1e-50 })).toThrow(/repetitionPenalty is 1e-50/);
    expect(() => sample(stream, { logits, presencePenalty: -1e39 })).toThrow(/presencePenalty is -1e\+39/);
    sample(stream, { logits, temperature: 1e-50, topK: 2 ** 53 }).ids.dispose();
  });
});

describe('streams', () => {
  it('report an error where it happened, whatever fails later', async () => {
    using device = Device.cpu({ threads: 1 });
    const stream = device.defaultStream;
    using good = Tensor.zeros(device, [1, 4], 'f32');
    using bad = Tensor.full(device, [1, 4], 'f32', Number.NaN);
    const before = argmax(stream, { logits: good }).read();
    const failed = argmax(stream, { logits: bad }).read();
    const after = argmax(stream, { logits: good }).read();
    // All three have run when the first of them is looked at.
    const until = performance.now() + 100;
    while (performance.now() < until);
    const outcomes = await Promise.allSettled([before, failed, after]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('keep the newer plans of a replayed list when it contains another list', async () => {
    using device = Device.cpu({ threads: 1 });
    const stream = device.defaultStream;
    const cache = new PagedKvCache(device, { layers: 1, kvHeads: 1, headDim: 4, pages: 4, pageSize: 4, dtype: 'f32' });
    const sequence = cache.sequence();
    const { appendKv, attention, planAttention } = await import('../../lib/index.js');
    using q = Tensor.zeros(device, [1, 1, 4], 'f32');
    const append = (value: number): void => {
      sequence.reserve(1, stream);
      using slots = Tensor.from(device, cache.batch([{ sequence, queryLength: 1 }]).slots, undefined, 'i32');
      using row = Tensor.full(device, [1, 1, 4], 'f32', value);
      appendKv(stream, { cache, layer: 0, k: row, v: row, slots });
    };
    const plan = (): AttentionPlan => planAttention({ batch: cache.batch([{ sequence, queryLength: 1 }]), heads: 1 });
    append(1);
    const old = plan();
    let first: Tensor | undefined;
    let second: Tensor | undefined;
    const inner = stream.capture(() => {
      first = attention(stream, { cache, layer: 0, q, plan: old }).out;
    });
    const outer = stream.capture(() => {
      stream.replay(inner);
      second = attention(stream, { cache, layer: 0, q, plan: old }).out;
    });
    append(3);
    stream.replay(outer, { plans: [[old, plan()]] });
    // Both see both tokens: the mean of 1 and 3.
    expect(await first?.readNumbers()).toEqual([2, 2, 2, 2]);
    expect(await second?.readNumbers()).toEqual([2, 2, 2, 2]);
    cache.dispose();
  });

  it('do not wait for an event that could not be recorded', async () => {
    using device = Device.cpu({ threads: 1 });
    const gone = Device.cpu({ threads: 1 });
    const stream = gone.stream();
    gone.dispose();
    using event = new Event();
    expect(() => stream.record(event)).toThrow(/disposed/);
    expect(event.done).toBe(true);
    device.defaultStream.wait(event);
    await device.defaultStream.synchronize();
  });
});
