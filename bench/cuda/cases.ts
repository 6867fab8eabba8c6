// SPDX-License-Identifier: Apache-2.0
/** The kernels that bench/cuda measures: inputs, what they must move and compute, and their results. */
import {
  appendKv,
  type Device,
  type FloatDType,
  linear,
  PackedMatrix,
  PagedKvCache,
  type RoundingFormat,
  rmsNorm,
  rope,
  ropeFrequencies,
  ropeFrequencyTensor,
  ropeTable,
  sample,
  Tensor,
  verify,
} from '../../lib/index.js';
import { AttentionBench, type AttentionCase, makeInputs } from '../../test/support/attention.js';
import { tiledNumbers } from '../../test/support/tile.js';

interface Kernel {
  enqueue(): void;
  /** Runs it once: what it computes. */
  result(): Promise<ArrayLike<number>>;
}

/** A kernel with its inputs on a device. */
export type Prepared = Kernel & Disposable;

export interface KernelCase {
  name: string;
  /** Bytes of its inputs and outputs, each once. */
  bytes: number;
  /** Multiplications and additions; 0 where they are not what it is about. */
  operations: number;
  /** Largest difference between the results of two devices, relative to their root mean square; 0: the same tokens. */
  tolerance: number;
  prepare(device: Device): Prepared;
}

type Owned = Disposable[];

/** A prepared kernel from what `make` builds; it owns what `make` adds to `owned`. */
function prepared(make: (owned: Owned) => Kernel): Prepared {
  const owned: Owned = [];
  return {
    ...make(owned),
    [Symbol.dispose]() {
      for (const one of owned.reverse()) one[Symbol.dispose]();
    },
  };
}

/** A kernel that leaves its result in `out`. */
function running(enqueue: () => void, out: Tensor): Kernel {
  const result = (): Promise<number[]> => {
    enqueue();
    return out.readNumbers();
  };
  return { enqueue, result };
}

function keep<T extends Disposable>(owned: Owned, one: T): T {
  owned.push(one);
  return one;
}

function numbers(device: Device, shape: readonly number[], dtype: FloatDType, seed: number): Tensor<FloatDType> {
  const count = shape.reduce((product, length) => product * length, 1);
  const exact = Tensor.from(device, tiledNumbers(count, { seed }), shape, 'f32');
  if (dtype === 'f32') return exact;
  using _ = exact;
  return exact.to(dtype);
}

const kvHeads = 8;
const heads = 32;

function attentionCase(
  name: string,
  shape: { batch: number; queries: number; kv: number },
  headDim: number,
): KernelCase {
  const { batch, queries, kv } = shape;
  const parameters: AttentionCase = {
    ...{ seed: 1, batch, queries, kv, heads, kvHeads, headDim, pageSize: 16 },
    ...{ cache: 'f16', dtype: 'f16' },
  };
  const visible = queries * (kv - queries) + (queries * (queries + 1)) / 2;
  return {
    name: `attention ${name}, ${batch} x ${queries} rows, ${kv} keys`,
    bytes: 2 * batch * (2 * kv * kvHeads * headDim + 2 * queries * heads * headDim),
    operations: 4 * batch * heads * headDim * visible,
    tolerance: 0.02,
    prepare: (device) =>
      prepared((owned) => {
        const bench = keep(owned, new AttentionBench(device, makeInputs(parameters, 2 ** 30)));
        return { enqueue: () => bench.enqueue(), result: async () => (await bench.run()).out };
      }),
  };
}

const weightBits: Record<RoundingFormat, number> = { f32: 32, f16: 16, bf16: 16, q4_0: 4.5, q4_1: 5, q8_0: 8.5 };

function linearCase(m: number, n: number, k: number, format: RoundingFormat): KernelCase {
  return {
    name: `linear ${format}, [${m}, ${k}] x [${n}, ${k}]`,
    bytes: (n * k * weightBits[format]) / 8 + 2 * m * (n + k),
    operations: 2 * m * n * k,
    // CPUs round activations to 8 bits where weights are quantised.
    tolerance: format === 'f16' ? 0.02 : 0.2,
    prepare: (device) =>
      prepared((owned) => {
        const stream = device.defaultStream;
        using dense = numbers(device, [n, k], 'f32', 2);
        const weight = keep(owned, PackedMatrix.fromTensor(stream, dense, format));
        const x = keep(owned, numbers(device, [m, k], 'f16', 3));
        const out = keep(owned, Tensor.empty(device, [m, n], 'f16'));
        const enqueue = (): void => void linear(stream, { x, weight, out });
        return running(enqueue, out);
      }),
  };
}

function normCase(rows: number, dim: number): KernelCase {
  return {
    name: `rmsNorm f16, [${rows}, ${dim}]`,
    bytes: 2 * (2 * rows * dim + dim),
    operations: 0,
    tolerance: 0.02,
    prepare: (device) =>
      prepared((owned) => {
        const x = keep(owned, numbers(device, [rows, dim], 'f16', 4));
        const weight = keep(owned, numbers(device, [dim], 'f16', 5));
        const out = keep(owned, Tensor.empty(device, [rows, dim], 'f16'));
        const enqueue = (): void => void rmsNorm(device.defaultStream, { x, weight, eps: 1e-5, out });
        return running(enqueue, out);
      }),
  };
}

function ropeCase(rows: number, headDim: number): KernelCase {
  return {
    name: `rope f16, ${rows} rows of ${heads} + ${kvHeads} heads`,
    bytes: 2 * 2 * rows * (heads + kvHeads) * headDim + 4 * rows * headDim,
    operations: 0,
    tolerance: 0.02,
    prepare: (device) =>
      prepared((owned) => {
        const stream = device.defaultStream;
        using positions = Tensor.from(
          device,
          Int32Array.from({ length: rows }, (_, i) => i),
          [rows],
          'i32',
        );
        using frequencies = ropeFrequencyTensor(device, ropeFrequencies({ rotaryDim: headDim, theta: 500000 }));
        const table = keep(owned, ropeTable(stream, { positions, frequencies }));
        const q = keep(owned, numbers(device, [rows, heads, headDim], 'f16', 6));
        const k = keep(owned, numbers(device, [rows, kvHeads, headDim], 'f16', 7));
        const qOut = keep(owned, Tensor.empty(device, [rows, heads, headDim], 'f16'));
        const kOut = keep(owned, Tensor.empty(device, [rows, kvHeads, headDim], 'f16'));
        const enqueue = (): void => void rope(stream, { q, k, table, pairing: 'halves', qOut, kOut });
        return running(enqueue, qOut);
      }),
  };
}

function appendCase(rows: number, headDim: number): KernelCase {
  const pageSize = 16;
  const pages = Math.ceil(rows / pageSize);
  return {
    name: `appendKv f16, ${rows} tokens of ${kvHeads} heads`,
    bytes: 4 * 2 * rows * kvHeads * headDim + 4 * rows,
    operations: 0,
    tolerance: 1e-6,
    prepare: (device) =>
      prepared((owned) => {
        const shape = { layers: 1, kvHeads, headDim, pageSize, pages, dtype: 'f16' } as const;
        const cache = keep(owned, new PagedKvCache(device, shape));
        const k = keep(owned, numbers(device, [rows, kvHeads, headDim], 'f16', 8));
        const v = keep(owned, numbers(device, [rows, kvHeads, headDim], 'f16', 9));
        const places = Int32Array.from({ length: rows }, (_, i) => i ^ (rows > 8 ? 7 : 0));
        const slots = keep(owned, Tensor.from(device, places, [rows], 'i32'));
        const enqueue = (): void => appendKv(device.defaultStream, { k, v, slots, cache, layer: 0 });
        return running(enqueue, cache.layer(0).k);
      }),
  };
}

const sampling = { temperature: 0.8, topK: 50, topP: 0.95, seed: 11 };

function sampleCase(rows: number, vocabulary: number): KernelCase {
  return {
    name: `sample, ${rows} rows of ${vocabulary} logits`,
    bytes: 4 * rows * vocabulary,
    operations: 0,
    tolerance: 0,
    prepare: (device) =>
      prepared((owned) => {
        const logits = keep(owned, numbers(device, [rows, vocabulary], 'f32', 10));
        const out = keep(owned, Tensor.empty(device, [rows], 'i32'));
        const enqueue = (): void => void sample(device.defaultStream, { logits, out, ...sampling });
        return running(enqueue, out);
      }),
  };
}

function verifyCase(requests: number, drafted: number, vocabulary: number): KernelCase {
  const total = requests * drafted;
  return {
    name: `verify, ${requests} chains of ${drafted}, ${vocabulary} logits`,
    bytes: 4 * (total + requests) * vocabulary,
    operations: 0,
    tolerance: 0,
    prepare: (device) =>
      prepared((owned) => {
        const targetLogits = keep(owned, numbers(device, [total + requests, vocabulary], 'f32', 12));
        // Tokens that are all but certain, so that every row is read.
        using column = targetLogits.slice(1, 5, 6);
        column.fill(40);
        const draftTokens = keep(owned, Tensor.full(device, [total], 'i32', 5));
        const draftLengths = new Array<number>(requests).fill(drafted);
        const run = (): Tensor<'i32'> => {
          const options = { targetLogits, draftTokens, draftLengths, temperature: 0.8, seed: 11 };
          const { tokens, acceptedLengths, lastTokens } = verify(device.defaultStream, options);
          acceptedLengths.dispose();
          lastTokens.dispose();
          return tokens;
        };
        return {
          enqueue: () => run().dispose(),
          result: async () => {
            using tokens = run();
            return await tokens.readNumbers();
          },
        };
      }),
  };
}

/** @param isSimulated shapes that a simulator can run in a second, for their counters */
export function kernelCases(isSimulated: boolean): KernelCase[] {
  if (isSimulated) {
    return [
      attentionCase('decode', { batch: 2, queries: 1, kv: 512 }, 128),
      attentionCase('draft trees', { batch: 1, queries: 8, kv: 256 }, 128),
      attentionCase('prefill', { batch: 1, queries: 64, kv: 64 }, 128),
      ...[1, 16].map((m) => linearCase(m, 512, 1024, 'f16')),
      ...[1, 16].map((m) => linearCase(m, 1024, 1024, 'q4_0')),
      normCase(4, 4096),
      ropeCase(8, 128),
      appendCase(16, 128),
      sampleCase(1, 32_000),
      verifyCase(1, 3, 32_000),
    ];
  }
  return [
    ...[1, 16, 64].flatMap((batch) =>
      [2048, 8192].map((kv) => attentionCase('decode', { batch, queries: 1, kv }, 128)),
    ),
    ...[8, 16].map((queries) => attentionCase('draft trees', { batch: 16, queries, kv: 2048 }, 128)),
    ...[2048, 8192].map((n) => attentionCase('prefill', { batch: 1, queries: n, kv: n }, 128)),
    ...(['f16', 'q4_0'] as const).flatMap((format) =>
      [1, 4, 16, 64, 256, 4096].map((m) => linearCase(m, 4096, 4096, format)),
    ),
    ...[16, 4096].map((rows) => normCase(rows, 4096)),
    ...[16, 4096].map((rows) => ropeCase(rows, 128)),
    ...[16, 4096].map((rows) => appendCase(rows, 128)),
    ...[1, 64].map((rows) => sampleCase(rows, 128_256)),
    ...[1, 16].map((requests) => verifyCase(requests, 7, 128_256)),
  ];
}
