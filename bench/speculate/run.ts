// SPDX-License-Identifier: Apache-2.0
/**
 * Speculative decoding, greedy, drafter by drafter, beside plain decoding and node-llama-cpp's predictors: one process each,
 * taking turns. The target is a small real model inflated to the shape of TinyLlama 1.1B (inflate.ts), so that text and
 * acceptance are real and so are the costs.
 *
 *     npm run bench:speculate -- --source small-F32.gguf --draft draft-F32.gguf [--threads 1] [--repeats 3] [--only 'plain;auto']
 *
 * On long texts (`--tokens 400`) the second half shows what adaptive drafters cost or bring once they have adapted.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import {
  adaptiveNgrams,
  Device,
  type Drafter,
  draftModel,
  firstOf,
  load,
  lookahead,
  merged,
  optimalTree,
  promptLookup,
  type SpeculationStatistics,
  selfSpeculation,
  suffixLookup,
  tokenRecycling,
} from '../../lib/index.js';
import { Runner } from '../model/protocol.js';
import { hasPeer, peers } from '../support/peers.js';
import { probe } from '../support/probe.js';
import { median, spread } from '../support/statistics.js';
import { inflatedFile, tinyLlamaBody } from './inflate.js';

const { values: options } = parseArgs({
  options: {
    source: { type: 'string' },
    draft: { type: 'string' },
    threads: { type: 'string', default: '1' },
    repeats: { type: 'string', default: '3' },
    tokens: { type: 'string', default: '64' },
    only: { type: 'string', default: '' },
  },
});
if (!options.source || !options.draft) throw new Error('usage: --source small-F32.gguf --draft draft-F32.gguf');
const [threads, repeats, count] = [options.threads, options.repeats, options.tokens].map(Number) as [
  number,
  number,
  number,
];
const context = Math.max(512, count + 64);
const prompts = ['Once upon a time', 'One day, Tom and his dog', 'Lily saw a big red'];

const targetPath = inflatedFile(options.source);
const device = Device.cpu({ threads });
const target = await load(targetPath, {
  device,
  contextLength: context,
  draft: resolve(options.draft),
  prefixCache: false,
});
const draft = await load(options.draft, { device, cacheTokens: 2 * context });

interface Outcome {
  tokens: number[];
  milliseconds: number;
  /** Tokens per second of the second half. */
  later?: number;
  speculation?: SpeculationStatistics | undefined;
}
type Method = (ids: readonly number[]) => Promise<Outcome>;

const ours =
  (speculate: () => Drafter | 'auto' | 'off', adaptive = true): Method =>
  async (ids) => {
    const drafter = speculate();
    const generation = target.generate(ids, { maxTokens: count, ignoreEnd: true, speculate: drafter, adaptive });
    let tokens = 0;
    let half = { tokens: 0, at: performance.now() };
    for await (const chunk of generation) {
      const before = tokens;
      tokens += chunk.tokens.length;
      if (before < count / 2 && tokens >= count / 2) half = { tokens, at: performance.now() };
    }
    const later = (1000 * (tokens - half.tokens)) / (performance.now() - half.at);
    const result = await generation.result;
    if (typeof drafter !== 'string') drafter.dispose();
    const milliseconds = (1000 * (result.tokens.length - 1)) / result.timings.decodeRate;
    return { tokens: result.tokens, milliseconds, later, speculation: result.speculation };
  };

const methods: Record<string, Method> = {
  plain: ours(() => 'off'),
  auto: ours(() => 'auto'),
  'draft model, tree': ours(() => draftModel(draft)),
  'draft model, tree, not adaptive': ours(() => draftModel(draft, { confidence: 0.05 }), false),
  'draft model, chain': ours(() => draftModel(draft, { tree: 'chain' })),
  'draft model, chain of 4': ours(() => draftModel(draft, { tree: 'chain', depth: 4 }), false),
  'draft model, optimal tree of 16': ours(
    () => draftModel(draft, { tree: optimalTree([0.68, 0.12, 0.05, 0.02], { nodes: 16 }) }),
    false,
  ),
  'prompt lookup': ours(() => promptLookup()),
  'suffix lookup': ours(() => suffixLookup()),
  'token recycling': ours(() => tokenRecycling()),
  'adaptive n-grams': ours(() => adaptiveNgrams()),
  lookahead: ours(() => lookahead()),
  'early exit after half': ours(() => selfSpeculation({ exitLayer: tinyLlamaBody.layers / 2 })),
  'window of 32': ours(() => selfSpeculation({ window: 32 })),
  'suffix lookup, else recycling': ours(() => firstOf(suffixLookup(), tokenRecycling())),
  'draft tree and suffix, merged': ours(() => merged(suffixLookup({ minMatch: 3 }), draftModel(draft))),
};

let peer: Runner | undefined;
if (hasPeer('node-llama-cpp')) {
  const script = 'node-llama-cpp-speculative.mjs';
  const argv = [targetPath, String(threads), String(context), resolve(options.draft)];
  peer = new Runner([process.execPath, script, ...argv], peers);
  const theirs =
    (predictor: string, tokens: number): Method =>
    (ids) =>
      (peer as Runner).ask<Outcome>({ op: 'generate', ids, count, predictor, tokens });
  methods['node-llama-cpp, plain'] = theirs('none', 0);
  methods['node-llama-cpp, draft of 3'] = theirs('draft', 3);
  methods['node-llama-cpp, draft of 7'] = theirs('draft', 7);
  methods['node-llama-cpp, input lookup'] = theirs('lookup', 4);
}

const wanted = options.only.split(';').filter(Boolean);
const chosen = Object.entries(methods).filter(([name]) => wanted.length === 0 || wanted.includes(name));
const machine = probe(threads);
const limits = machine.limits.at(-1);
console.log(
  `${machine.cpu} (${machine.isa}), ${threads} thread(s), reads ${limits?.readGBs.toFixed(1)} GB/s; ${count} greedy tokens, ` +
    `${repeats} round(s)`,
);
const rates = new Map(chosen.map(([name]) => [name, [] as number[]]));
const laterRates = new Map(chosen.map(([name]) => [name, [] as number[]]));
const statistics = new Map<string, SpeculationStatistics[]>();
const expected = new Map<string, number[]>();
for (let round = -1; round < repeats; round++) {
  // Round -1 warms up and is also the correctness check.
  const prompt = prompts[Math.max(0, round) % prompts.length] as string;
  const ids = target.tokenize(prompt);
  for (const [name, method] of chosen) {
    const { tokens, milliseconds, later, speculation } = await method(ids);
    if (round < 0) {
      const group = name.startsWith('node-llama-cpp') ? 'peer' : 'ours';
      const first = expected.get(group);
      if (!first) expected.set(group, tokens);
      const differs = first ? tokens.findIndex((token, i) => token !== first[i]) : -1;
      if (differs >= 0) console.log(`${name}: other tokens than ${group}'s first from token ${differs} on`);
      continue;
    }
    rates.get(name)?.push((1000 * (tokens.length - 1)) / milliseconds);
    if (later !== undefined) laterRates.get(name)?.push(later);
    if (speculation) statistics.set(name, [...(statistics.get(name) ?? []), speculation]);
  }
}
const [a, b] = [expected.get('ours'), expected.get('peer')];
const differs = a && b ? a.findIndex((token, i) => token !== b[i]) : -1;
if (a && b)
  console.log(differs < 0 ? 'greedy tokens of both libraries agree' : `greedy tokens agree up to token ${differs}`);

const plain = median(rates.get('plain') ?? [Number.NaN]);
const plainLater = median(laterRates.get('plain') ?? [Number.NaN]);
console.log('\n| | tokens/s | speed-up | in the second half | tokens per target step | accepted | time saved |');
console.log('|---|---|---|---|---|---|---|');
for (const [name] of chosen) {
  const own = rates.get(name) as number[];
  const runs = statistics.get(name) ?? [];
  const sum = (pick: (run: SpeculationStatistics) => number): number =>
    runs.reduce((total, run) => total + pick(run), 0);
  const steps = sum(({ passes, plainSteps }) => passes + plainSteps);
  const cells = runs.length
    ? [
        ((steps + sum(({ accepted }) => accepted)) / steps).toFixed(2),
        `${(
          (100 * sum(({ accepted }) => accepted)) /
            Math.max(
              1,
              sum(({ drafted }) => drafted),
            )
        ).toFixed(0)} %`,
        runs.some(({ timeSaved }) => timeSaved !== undefined)
          ? `${sum(({ timeSaved = 0 }) => timeSaved).toFixed(2)} s`
          : '',
      ]
    : ['', '', ''];
  const later = laterRates.get(name) as number[];
  const ratios = [(median(own) / plain).toFixed(2), later.length ? (median(later) / plainLater).toFixed(2) : ''];
  console.log(`| ${name} | ${spread(own)} | ${[...ratios, ...cells].join(' | ')} |`);
}
peer?.close();
target.dispose();
draft.dispose();
device.dispose();
