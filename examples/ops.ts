// SPDX-License-Identifier: Apache-2.0
// The layer below models: tensors, a paged cache and attention over two sequences of different lengths in one call.
//   npx tsx examples/ops.ts
// In a project of your own, import from 'pagewarp'.
import { appendKv, attention, Device, PagedKvCache, planAttention, Tensor } from '../lib/index.js';

const [heads, kvHeads, headDim] = [4, 2, 32];

using device = Device.cpu();
using stream = device.stream();
using cache = new PagedKvCache(device, { layers: 1, kvHeads, headDim, pages: 64, dtype: 'f32' });

// Two sequences: a prompt of 20 tokens, and one of 5.
using long = cache.sequence();
using short = cache.sequence();
long.reserve(20, stream);
short.reserve(5, stream);
const batch = cache.batch([
  { sequence: long, queryLength: 20 },
  { sequence: short, queryLength: 5 },
]);

const random = (shape: number[]) =>
  Tensor.from(
    device,
    Array.from({ length: shape.reduce((a, b) => a * b) }, () => Math.random() - 0.5),
    shape,
    'f32',
  );
using q = random([batch.rows, heads, headDim]);
using k = random([batch.rows, kvHeads, headDim]);
using v = random([batch.rows, kvHeads, headDim]);
using slots = Tensor.from(device, batch.slots, [batch.rows], 'i32');

// Commands are enqueued; nothing waits until read().
appendKv(stream, { cache, layer: 0, k, v, slots });
using plan = planAttention({ batch, heads });
const { out, lse } = attention(stream, { cache, layer: 0, q, plan });
const values = await out.read(stream);
console.log(`attention over ${batch.rows} rows of 2 sequences: out [${out.shape}], lse [${lse?.shape}]`);
console.log(
  `the first row of a sequence sees one key, so it is that key's value: ${values[0]} = ${(await v.read(stream))[0]}`,
);

// A fork shares its pages until it is written to.
using fork = long.fork();
console.log('pages:', cache.statistics());
fork.reserve(1, stream);
console.log('after writing to the fork:', cache.statistics());
out.dispose();
lse?.dispose();
