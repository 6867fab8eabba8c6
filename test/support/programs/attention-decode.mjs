// SPDX-License-Identifier: Apache-2.0
// One decode step of attention on the GPU, for a profile of it: attention-decode.mjs BUNDLE {"batch", "kv", ...}
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';

const { Device, Tensor, attention, planAttention } = await import(pathToFileURL(argv[2]).href);
const { batch, queries, kv, heads, kvHeads, headDim, pageSize, dtype, cache, split } = JSON.parse(argv[3]);

const device = Device.cuda(0);
const perSequence = Math.ceil(kv / pageSize);
const pages = batch * perSequence;
const filled = (shape, type, value) => Tensor.full(device, shape, type, value);
const q = filled([batch * queries, heads, headDim], dtype, 0.5);
// Codes for ones: 0x38 is one in E4M3, 0x11 two ones of 4 bits.
const [stored, one, packed] = { fp8e4m3: ['u8', 0x38, 1], i4: ['u8', 0x11, 2] }[cache] ?? [cache, 1, 1];
const pool = () => filled([pages, pageSize, kvHeads, headDim / packed], stored, one);
const scales = () =>
  ['i8', 'fp8e4m3', 'i4'].includes(cache)
    ? { kScale: filled([pages, pageSize, kvHeads], 'f32', 1), vScale: filled([pages, pageSize, kvHeads], 'f32', 1) }
    : {};
const plan = planAttention({
  queryLengths: new Array(batch).fill(queries),
  pageTable: {
    lengths: new Int32Array(batch).fill(kv),
    indptr: Int32Array.from({ length: batch + 1 }, (_, s) => s * perSequence),
    indices: Int32Array.from({ length: pages }, (_, i) => (i * 7) % pages),
    pageSize,
    pages,
    kvHeads,
    headDim,
  },
  heads,
  device,
  split,
});
const { out } = attention(device.defaultStream, { q, kv: { type: cache, k: pool(), v: pool(), ...scales() }, plan });
const values = await out.readNumbers();
if (!values.every((x) => Math.abs(x - 1) < 1e-2)) throw new Error(`attention over ones gave ${values[0]}`);
console.log('done');
device.dispose();
