// SPDX-License-Identifier: Apache-2.0
// Runs every CPU op over sizes that fill no register, on every instruction set; with guard-pages.c preloaded, an access
// beyond a buffer ends the process. Prints how many ops ran.
const P = await import(process.env.PAGEWARP_TEST_LIBRARY);
const { Device, Tensor } = P;

const floats = ['f32', 'f16', 'bf16'];
const found = Device.list().find((device) => device.kind === 'cpu').features;
const isas = ['portable', 'avx2', 'avx512', 'amx', 'reference'].filter(
  (isa) => isa === 'reference' || found.includes(isa),
);
let ops = 0;

/** Runs `body` with a maker of random tensors, which are disposed afterwards. */
async function scope(device, body) {
  const made = [];
  const own = (tensor) => {
    made.push(tensor);
    return tensor;
  };
  let state = 1;
  const random = () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state / 0x40000000 - 1;
  };
  const tensor = (shape, dtype = 'f32') => {
    const count = shape.reduce((a, b) => a * b, 1);
    return own(Tensor.from(device, Array.from({ length: count }, random), shape, dtype));
  };
  const ints = (values) => own(Tensor.from(device, [...values], undefined, 'i32'));
  const run = (op, options) => {
    ops++;
    const result = op(device.defaultStream, options);
    for (const value of result instanceof Tensor ? [result] : Object.values(result ?? {})) {
      if (value instanceof Tensor) own(value);
    }
    return result;
  };
  body({ tensor, ints, own, run, stream: device.defaultStream });
  await device.defaultStream.synchronize();
  for (const one of made) one.dispose();
}

function elementwise({ tensor, ints, own, run }, device, dtype, n) {
  const x = tensor([3, n], dtype);
  run(P.rmsNorm, { x, weight: tensor([n], dtype), eps: 1e-5, residual: tensor([3, n], dtype) });
  run(P.siluMul, { gate: x, up: tensor([3, n], dtype) });
  run(P.geluMul, { fused: tensor([3, 2 * n], dtype) });
  run(P.gatherRows, { x, indices: ints([2, 0]) });
  for (const other of floats) own(x.to(other));
  if (n % 2 !== 0) return;
  const frequencies = own(P.ropeFrequencyTensor(device, P.ropeFrequencies({ rotaryDim: n, theta: 1e4 })));
  const table = run(P.ropeTable, { positions: ints([0, 1, 5]), frequencies });
  for (const pairing of ['halves', 'interleaved']) {
    run(P.rope, { q: tensor([3, 2, n], dtype), k: tensor([3, 1, n], dtype), table, pairing });
    run(P.rope, { q: tensor([3, 2, n + 3], dtype), table, pairing });
  }
}

function drawing({ tensor, ints, own, run, stream }, dtype, vocabulary) {
  const logits = tensor([3, vocabulary], dtype);
  const history = P.tokenHistory(stream, [[1, 2], [], [0]], [1, 0, 1]);
  for (const one of [history.tokens, history.indptr, history.promptLengths]) own(one);
  const penalties = { repetitionPenalty: 1.2, presencePenalty: 0.1, frequencyPenalty: 0.1, history };
  run(P.argmax, { logits });
  run(P.sample, { logits, topK: 3, topP: 0.7, minP: 0.05, logprobs: 4, ...penalties });
  run(P.sample, { logits, topP: 0.9, logprobs: Math.min(1024, vocabulary + 3) });
  const verified = {
    targetLogits: tensor([6, vocabulary], dtype),
    draftTokens: ints([1, 2, 0]),
    draftLengths: [2, 0, 1],
  };
  run(P.verify, { ...verified, positions: ints([0, 1, 2]), logprobs: true, ...penalties });
  run(P.verify, { ...verified, topP: 0.8, draft: { kind: 'sampled', logits: tensor([3, vocabulary], dtype) } });
}

function matrices({ tensor, ints, own, run, stream }, dtype, n) {
  for (const format of ['f32', 'f16', 'bf16', 'q4_0', 'q4_1', 'q8_0']) {
    const k = format.startsWith('q') ? 96 : n + 2;
    const weight = own(P.PackedMatrix.fromTensor(stream, tensor([n, k]), format));
    for (const rows of [1, 5, 9]) {
      run(P.linear, {
        x: tensor([rows, k], dtype),
        weight,
        bias: tensor([n], dtype),
        residual: tensor([rows, n], dtype),
      });
    }
    run(P.embedding, { ids: ints([0, n - 1]), weight, out: tensor([2, k], dtype) });
  }
}

function attention({ tensor, ints, own, run, stream }, device, options) {
  const { dtype, stored, headDim, heads, kvHeads } = options;
  const pageSize = headDim % 2 ? 3 : 5;
  const layout = heads === kvHeads ? 'NHD' : 'HND';
  const cache = new P.PagedKvCache(device, { layers: 1, kvHeads, headDim, pageSize, pages: 32, dtype: stored, layout });
  const [long, short] = [cache.sequence(), cache.sequence()];
  long.reserve(67, stream);
  short.reserve(5, stream);
  const batch = (a, b) =>
    cache.batch([
      { sequence: long, queryLength: a },
      { sequence: short, queryLength: b },
    ]);
  const rows = () => tensor([72, kvHeads, headDim], dtype);
  const slots = ints(batch(67, 5).slots);
  run(P.appendKv, { cache, layer: 0, k: rows(), v: rows(), slots });
  run(P.gatherKv, { cache, layer: 0, k: rows(), v: rows(), slots });
  for (const [a, b] of [
    [1, 1],
    [67, 5],
    [4, 0],
  ]) {
    const custom = { kind: 'custom', bits: new Uint8Array(Math.ceil((a * 67 + b * 5) / 8)).fill(0xa5) };
    for (const mask of ['causal', custom, ...(a === 4 ? [P.treeMask([[-1, 0, 0, 1], []])] : [])]) {
      const window = mask === 'causal' ? { window: 9, sinkTokens: 2 } : {};
      const plan = own(P.planAttention({ batch: batch(a, b), heads, split: b === 1 ? 7 : 'auto', mask, ...window }));
      const extras = heads === 3 ? { alibiSlopes: tensor([heads]), sinks: tensor([heads]) } : { softCap: 5 };
      run(P.attention, { cache, layer: 0, q: tensor([a + b, heads, headDim], dtype), plan, ...extras });
    }
  }
  run(P.mergeStates, { outs: tensor([2, 3, heads, headDim], dtype), lses: tensor([2, 3, heads]) });
  const fork = long.fork();
  fork.reserve(2, stream);
  fork.keep([1], 2, stream);
  own(cache);
}

for (const isa of isas) {
  const device = Device.cpu({ isa, threads: 2 });
  for (const [i, dtype] of floats.entries()) {
    for (const n of [1, 2, 7, 8, 15, 18, 33]) {
      await scope(device, (make) => elementwise(make, device, dtype, n));
      await scope(device, (make) => drawing(make, dtype, 37 * n + 5));
      await scope(device, (make) => matrices(make, dtype, n));
    }
    for (const [j, headDim] of [1, 3, 8, 17, 32, 40].entries()) {
      for (const [k, [heads, kvHeads]] of [
        [1, 1],
        [3, 1],
        [8, 2],
        [9, 1],
      ].entries()) {
        const stored = ['f32', 'f16', 'bf16', 'i8'][(i + j + k) % 4];
        await scope(device, (make) => attention(make, device, { dtype, stored, headDim, heads, kvHeads }));
      }
    }
  }
  device.dispose();
}
console.log(`${ops} ops`);
