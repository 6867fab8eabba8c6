// SPDX-License-Identifier: Apache-2.0
/**
 * 4-bit linear layers through the public API beside onnxruntime-node's MatMulNBits with int8 activations (accuracy level 4,
 * the faster of its two ways): the same codes and scales, in turns. "chain" streams more weights than caches hold.
 *
 *     npm run bench:linear:peers -- [--threads 1] [--repeats 7] [--only chain] [--rows 1,4]
 *
 * `--only` takes the shapes whose name contains it, `--rows` the numbers of tokens.
 * Milliseconds per run from JavaScript, medians [range].
 */
import { parseArgs } from 'node:util';
import { Device, linear, numberToF16, PackedMatrix, Tensor } from '../../lib/index.js';
import { linearCode, linearNumbers, linearScale } from '../peers/inputs.mjs';
import type { Child } from '../support/child.js';
import { compareInTurns, describeComparison, relativeDifference, startOnnxRuntime } from '../support/operator.js';
import { probe } from '../support/probe.js';

const { values: options } = parseArgs({
  options: {
    threads: { type: 'string', default: '1' },
    repeats: { type: 'string', default: '7' },
    only: { type: 'string', default: '' },
    rows: { type: 'string', default: '1,2,4,8,32,512' },
  },
});
const threads = Number(options.threads);
const wanted = options.rows.split(',').map(Number);

const shapes: { name: string; widths: number[]; rows: number[] }[] = [
  { name: '4096 x 4096', widths: [4096, 4096], rows: [1, 2, 4, 8, 32, 512] },
  { name: '4096 x 11008', widths: [4096, 11008], rows: [1, 2, 4, 8, 32, 512] },
  { name: 'chain of 24 4096 x 4096', widths: new Array<number>(25).fill(4096), rows: [1, 2, 4, 8, 32] },
  {
    name: 'chain of 10 4096 x 11008',
    widths: Array.from({ length: 11 }, (_, i) => (i % 2 ? 11008 : 4096)),
    rows: [1, 2, 4, 8, 32],
  },
];

/** The layer in GGUF's Q4_0 blocks: an f16 scale, then columns i and i + 16 of a block in the nibbles of byte i. */
function q4Blocks(layer: number, n: number, k: number): Uint8Array {
  const scale = numberToF16(linearScale(k));
  const bytes = new Uint8Array((n * k * 18) / 32);
  for (let block = 0; block < (n * k) / 32; block++) {
    bytes[block * 18] = scale & 0xff;
    bytes[block * 18 + 1] = scale >> 8;
    for (let i = 0; i < 16; i++) {
      const index = block * 32 + i;
      bytes[block * 18 + 2 + i] = linearCode(layer, index) | (linearCode(layer, index + 16) << 4);
    }
  }
  return bytes;
}

async function makeLayers(device: Device, widths: readonly number[]): Promise<PackedMatrix[]> {
  const layers: PackedMatrix[] = [];
  for (let layer = 0; layer + 1 < widths.length; layer++) {
    const [k, n] = [widths[layer] as number, widths[layer + 1] as number];
    const bytes = q4Blocks(layer, n, k);
    using data = Tensor.from(device, bytes, [bytes.length], 'u8');
    layers.push(PackedMatrix.fromBlocks(device.defaultStream, [{ data, format: 'q4_0', columns: k }]));
    await device.defaultStream.synchronize();
  }
  return layers;
}

/** Checks the results of both, then times both. */
async function measure(
  device: Device,
  layers: readonly PackedMatrix[],
  m: number,
  peer: Child | undefined,
): Promise<string> {
  const stream = device.defaultStream;
  const k = (layers[0] as PackedMatrix).k;
  const tensors: Tensor<'f32'>[] = [Tensor.from(device, linearNumbers(m * k), [m, k], 'f32')];
  for (const { n } of layers) tensors.push(Tensor.empty(device, [m, n], 'f32'));
  const commands = stream.capture(() => {
    for (const [i, weight] of layers.entries()) {
      linear(stream, { x: tensors[i] as Tensor<'f32'>, weight, out: tensors[i + 1] as Tensor<'f32'> });
    }
  });
  const run = (): void => stream.replay(commands);
  try {
    run();
    if (peer) {
      await peer.ask({ op: 'rows', m, k });
      const ours = (await (tensors.at(-1) as Tensor<'f32'>).read()).subarray(0, 4096);
      const { values } = await peer.ask<{ values: number[] }>({ op: 'output', count: ours.length });
      const difference = relativeDifference(ours, values);
      // Both round activations to int8, each in groups of its own; a chain adds up the differences of its layers.
      if (!(difference < 0.2)) throw new Error(`the results differ by ${difference.toFixed(3)} of their deviation`);
    }
    return describeComparison(await compareInTurns(stream, run, peer, Number(options.repeats)));
  } finally {
    commands.dispose();
    for (const tensor of tensors) tensor.dispose();
  }
}

const peer = startOnnxRuntime(threads);
using device = Device.cpu({ threads });
const limits = probe(threads).limits.at(-1);
console.log(
  `${device.name}, ${device.isa}, ${threads} thread(s): reads ${limits?.readGBs.toFixed(1)} GB/s, int8 ${limits?.int8Gops.toFixed(0)} GOP/s`,
);
console.log('layers | block of the peer | m | pagewarp q4_0 ms | onnxruntime ms | times faster');
for (const { name, widths, rows } of shapes.filter((shape) => shape.name.includes(options.only))) {
  const layers = await makeLayers(device, widths);
  for (const block of peer ? [32, 128] : [32]) {
    await peer?.ask({ op: 'linear', widths, block });
    for (const m of rows.filter((m) => wanted.includes(m)))
      console.log(`${name} | ${block} | ${m} | ${await measure(device, layers, m, peer)}`);
  }
  for (const layer of layers) layer.dispose();
}
peer?.close();
