// SPDX-License-Identifier: Apache-2.0
/**
 * Attention through the public API, beside what the machine can read from memory in the same run.
 *
 *     npx tsx bench/attention/run.ts [--threads 1] [--isa avx512] [--only decode] [--repeats 9]
 *
 * "hot" repeats one layer, whose cache may stay in the processor's; "streaming" walks through layers of more than 512 MiB
 * together, as the steps of a large model do. GB/s counts the keys and values that the rows see, once per kv head; GFLOP/s
 * counts two operations per multiply-add of Q K^T and P V that the mask lets through. Times are medians [range] in ms.
 */
import { parseArgs } from 'node:util';
import { type CpuIsa, Device } from '../../lib/index.js';
import { cacheRowBytes } from '../../lib/kv/layer.js';
import { AttentionBench, type AttentionCase, makeInputs } from '../../test/support/attention.js';
import { probe } from '../support/probe.js';
import { median, spread } from '../support/statistics.js';

const { values: options } = parseArgs({
  options: {
    threads: { type: 'string', default: '1' },
    isa: { type: 'string' },
    only: { type: 'string', default: '' },
    repeats: { type: 'string', default: '9' },
  },
});

interface Benchmark {
  name: string;
  parameters: AttentionCase;
}

const base = { seed: 1, kvHeads: 8, heads: 32, pageSize: 16, layout: 'HND' } as const;
const caches = ['f32', 'f16', 'i8'] as const;

function benchmarks(): Benchmark[] {
  const list: Benchmark[] = [];
  for (const headDim of [64, 128]) {
    for (const cache of caches) {
      for (const past of [511, 2047, 8191]) {
        list.push({ name: `decode past ${past}`, parameters: { ...base, headDim, cache, queries: 1, kv: past + 1 } });
      }
    }
    for (const rows of [4, 8]) {
      list.push({
        name: `verify ${rows} past ${2048 - rows}`,
        parameters: { ...base, headDim, cache: 'f32', queries: rows, kv: 2048 },
      });
    }
    for (const past of [0, 1536]) {
      list.push({
        name: `prefill 512 past ${past}`,
        parameters: { ...base, headDim, cache: 'f32', queries: 512, kv: 512 + past },
      });
    }
  }
  return list.filter(({ name }) => name.includes(options.only));
}

/** 10^9 units a second. */
function billions(units: number, times: number[]): string {
  return (units / median(times) / 1e6).toFixed(1);
}

function bytesOf({ kv, kvHeads, headDim, cache = 'f32' }: AttentionCase): number {
  return 2 * (kv as number) * kvHeads * cacheRowBytes(cache, headDim);
}

function operationsOf({ kv, queries, heads = 1, headDim }: AttentionCase): number {
  const [keys, rows] = [kv as number, queries as number];
  return 4 * heads * headDim * (rows * (keys - rows) + (rows * (rows + 1)) / 2);
}

/** Milliseconds per attention, each the mean of one round over all `layers`. */
async function measure(device: Device, layers: AttentionBench[], rounds: number): Promise<number[]> {
  const stream = device.defaultStream;
  const times: number[] = [];
  for (let round = -1; round < rounds; round++) {
    const begin = stream.record();
    for (const layer of layers) layer.enqueue();
    const end = stream.record();
    await stream.synchronize();
    if (round >= 0) times.push((1e3 * end.since(begin)) / layers.length);
    begin.dispose();
    end.dispose();
  }
  return times;
}

/** Disposes of what it was given, last first. */
class Owned<T extends Disposable> implements Disposable {
  readonly #items: T[] = [];
  use(item: T): T {
    this.#items.push(item);
    return item;
  }
  [Symbol.dispose](): void {
    for (const item of this.#items.reverse()) item[Symbol.dispose]();
  }
}

const threads = Number(options.threads);
const repeats = Number(options.repeats);
using device = Device.cpu({ threads, ...(options.isa ? { isa: options.isa as CpuIsa } : {}) });
console.log(
  `${device.name}, ${device.isa}, ${threads} thread${threads === 1 ? '' : 's'}; 32 query heads, 8 kv heads, pages of 16`,
);
console.log('case | head dim | cache | hot ms | GB/s | GFLOP/s | streaming ms | GB/s | share of read bandwidth');
for (const { name, parameters } of benchmarks()) {
  const bytes = bytesOf(parameters);
  const inputs = makeInputs(parameters, 1 << 27);
  const isPrefill = (parameters.queries as number) > 100;
  using stack = new Owned<AttentionBench>();
  const hot = stack.use(new AttentionBench(device, inputs));
  const hotTimes = await measure(device, new Array<AttentionBench>(isPrefill ? 1 : 20).fill(hot), repeats);
  const cells = [
    name,
    parameters.headDim,
    parameters.cache,
    spread(hotTimes, 3),
    billions(bytes, hotTimes),
    billions(operationsOf(parameters), hotTimes),
  ];
  if (!isPrefill) {
    const limit = probe(threads, 3).limits.find((entry) => entry.threads === threads)?.readGBs ?? Number.NaN;
    const layers = Array.from({ length: Math.ceil((512 << 20) / bytes) }, () =>
      stack.use(new AttentionBench(device, inputs)),
    );
    const times = await measure(device, layers, Math.max(3, Math.floor(repeats / 2)));
    const share = bytes / median(times) / 1e6 / limit;
    cells.push(spread(times, 3), billions(bytes, times), `${(100 * share).toFixed(0)} % of ${limit.toFixed(1)} GB/s`);
  }
  console.log(cells.join(' | '));
}
