// SPDX-License-Identifier: Apache-2.0
// onnxruntime-node as a benchmark runner for single operators: `node onnxruntime.mjs THREADS`. bench/support/child.ts says how
// it is talked to; bench/linear/compare.ts and bench/attention/compare.ts say what it is asked.
import { createInterface } from 'node:readline';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { attentionNumbers, linearCode, linearNumbers, linearScale } from './inputs.mjs';
import { constant, encodeModel, node, value } from './onnx-model.mjs';

const threads = Number(process.argv[2]);
let session;
let feeds;

async function open(model) {
  await session?.release();
  session = await InferenceSession.create(model, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
  });
}

/** Codes of one layer, [n][k / block][block / 2] bytes, an even column in the low nibble. */
function codes(layer, n, k) {
  const bytes = new Uint8Array((n * k) / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = linearCode(layer, 2 * i) | (linearCode(layer, 2 * i + 1) << 4);
  return bytes;
}

const operations = {
  /** Opens a chain of MatMulNBits with int8 activations, the faster of its two ways. */
  linear: async ({ widths, block }) => {
    const nodes = [];
    const constants = [];
    for (let layer = 0; layer + 1 < widths.length; layer++) {
      const [k, n] = [widths[layer], widths[layer + 1]];
      const scales = new Float32Array((n * k) / block).fill(linearScale(k));
      constants.push(
        constant(`b${layer}`, 'uint8', [n, k / block, block / 2], codes(layer, n, k)),
        constant(`s${layer}`, 'float32', [n, k / block], new Uint8Array(scales.buffer)),
      );
      const attributes = { K: k, N: n, bits: 4, block_size: block, accuracy_level: 4 };
      nodes.push(node('MatMulNBits', [`x${layer}`, `b${layer}`, `s${layer}`], [`x${layer + 1}`], attributes));
    }
    const inputs = [value('x0', 'float32', ['m', widths[0]])];
    const outputs = [value(`x${widths.length - 1}`, 'float32', ['m', widths.at(-1)])];
    await open(encodeModel({ nodes, constants, inputs, outputs }));
    return {};
  },
  /** Sets the input of the chain: m rows. */
  rows: async ({ m, k }) => {
    feeds = { x0: new Tensor('float32', linearNumbers(m * k), [m, k]) };
    return {};
  },
  /** Opens GroupQueryAttention over a past of its own, `rows` new tokens. */
  attention: async ({ heads, kvHeads, headDim, rows, past }) => {
    const [q, kv] = [heads * headDim, kvHeads * headDim];
    const inputs = [
      value('q', 'float32', [1, 's', q]),
      value('k', 'float32', [1, 's', kv]),
      value('v', 'float32', [1, 's', kv]),
      value('pastK', 'float32', [1, kvHeads, 'p', headDim]),
      value('pastV', 'float32', [1, kvHeads, 'p', headDim]),
      value('last', 'int32', [1]),
      value('total', 'int32', []),
    ];
    const outputs = [
      value('out', 'float32', [1, 's', q]),
      value('presentK', 'float32', [1, kvHeads, 't', headDim]),
      value('presentV', 'float32', [1, kvHeads, 't', headDim]),
    ];
    const nodes = [
      node(
        'GroupQueryAttention',
        inputs.map(({ name }) => name),
        outputs.map(({ name }) => name),
        { num_heads: heads, kv_num_heads: kvHeads },
      ),
    ];
    await open(encodeModel({ nodes, inputs, outputs }));
    const total = rows + past;
    const tensor = (name, dims) => {
      const count = dims.reduce((product, d) => product * d, 1);
      return new Tensor('float32', attentionNumbers(name, count), dims);
    };
    feeds = {
      q: tensor('q', [1, rows, q]),
      k: tensor('k', [1, rows, kv]),
      v: tensor('v', [1, rows, kv]),
      pastK: tensor('pastK', [1, kvHeads, past, headDim]),
      pastV: tensor('pastV', [1, kvHeads, past, headDim]),
      last: new Tensor('int32', Int32Array.of(total - 1), [1]),
      total: new Tensor('int32', Int32Array.of(total), []),
    };
    return {};
  },
  /** Milliseconds per run. */
  time: async ({ runs }) => {
    const start = performance.now();
    for (let i = 0; i < runs; i++) await session.run(feeds);
    return { milliseconds: (performance.now() - start) / runs };
  },
  /** The first values of the first output. */
  output: async ({ count }) => {
    const results = await session.run(feeds);
    return { values: Array.from(results[session.outputNames[0]].data.subarray(0, count)) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.op === 'exit') break;
  process.stdout.write(`${JSON.stringify(await operations[request.op](request))}\n`);
}
await session?.release();
