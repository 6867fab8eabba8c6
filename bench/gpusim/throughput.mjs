// SPDX-License-Identifier: Apache-2.0
// How fast the simulated GPU interprets PTX: lane-instructions (one instruction of one thread) per second of wall time,
// with the checks off and on, on one host thread and on all. This is the simulator's speed and says nothing about a GPU's.
//
//   node bench/gpusim/throughput.mjs [--build build/gpusim] [--repeats 5] [--device small] [--json]
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({
  options: {
    build: { type: 'string', default: resolve(here, '../../build/gpusim') },
    repeats: { type: 'string', default: '5' },
    device: { type: 'string', default: 'small' },
    json: { type: 'boolean', default: false },
  },
});
const repeats = Number(values.repeats);
if (!Number.isInteger(repeats) || repeats < 1)
  throw new Error(`--repeats ${values.repeats}: give a whole number from 1`);
const tool = join(resolve(values.build), 'gpusim');

const THREADS = 64 * 256;
const launch = (name, args) => [
  join(here, 'kernels', `${name}.ptx`),
  '--kernel',
  name,
  '--grid',
  '64',
  '--block',
  '256',
  ...args.flatMap((a) => ['--arg', a]),
];
const kernels = [
  { name: 'arithmetic', words: launch('arithmetic', [`uninit:${THREADS * 4}`, 'u32:600']) },
  {
    name: 'memory',
    words: launch('memory', [`zero:${1 << 21}`, `zero:${1 << 21}`, 'f32:1.5', `u32:${1 << 17}`, 'u32:8']),
  },
  { name: 'mma', words: launch('mma', [`uninit:${THREADS * 4}`, 'u32:200']) },
];

const environment = (extra) => ({ ...process.env, GPUSIM_DEVICE: values.device, GPUSIM_PROFILE: '', ...extra });
const quote = (word) => (/\s/.test(word) ? `"${word}"` : word);

/** The lane-instructions of one launch, by the simulator's own counters. */
function laneInstructions(words) {
  const folder = mkdtempSync(join(tmpdir(), 'gpusim-bench-'));
  try {
    const profile = join(folder, 'profile.json');
    const done = spawnSync(tool, ['run', ...words], {
      env: environment({ GPUSIM_PROFILE: profile }),
      encoding: 'utf8',
    });
    if (done.error || done.status !== 0) throw new Error(`${tool}: ${done.error?.message ?? done.stderr}`);
    return JSON.parse(readFileSync(profile, 'utf8'))[0].threadInstructions;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Seconds of each repeat of a launch, after one that warms up, in one process of the simulator. */
async function time(words, extra) {
  const child = spawn(tool, ['batch', '-'], { env: environment(extra), stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = `${words.map(quote).join(' ')}\n`;
  const seconds = [];
  for (let i = 0; i <= repeats; i++) {
    const begin = process.hrtime.bigint();
    child.stdin.write(line);
    const { value: answer = 'no answer' } = await answers.next();
    if (answer !== 'ok') throw new Error(`${words[0]}: ${answer}`);
    if (i > 0) seconds.push(Number(process.hrtime.bigint() - begin) / 1e9);
  }
  child.stdin.end();
  return seconds.sort((a, b) => a - b);
}

const median = (sorted) => {
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const machine = {
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  load: loadavg()[0],
  device: values.device,
  repeats,
};
const results = [];
for (const { name, words } of kernels) {
  const instructions = laneInstructions(words);
  for (const threads of new Set([1, cpus().length])) {
    for (const checks of ['none', 'all']) {
      const seconds = await time(words, { GPUSIM_CHECK: checks, GPUSIM_THREADS: String(threads) });
      const rate = (s) => instructions / s / 1e6;
      results.push({
        kernel: name,
        checks,
        threads,
        laneInstructions: instructions,
        medianSeconds: median(seconds),
        millionsPerSecond: rate(median(seconds)),
        slowest: rate(seconds.at(-1)),
        fastest: rate(seconds[0]),
      });
    }
  }
}

if (values.json) {
  console.log(JSON.stringify({ what: 'simulator throughput, not GPU time', machine, results }, null, 2));
} else {
  console.log('Simulator throughput (how fast PTX is interpreted on this machine; no GPU time)');
  console.log(
    `${machine.cpu}, ${machine.cores} cores, load ${machine.load.toFixed(1)}; simulated device ${machine.device}; median of ${repeats}`,
  );
  console.log('kernel       threads  checks   million lane-instructions/s   (slowest to fastest)');
  for (const r of results) {
    const range = `(${r.slowest.toFixed(0)} to ${r.fastest.toFixed(0)})`;
    console.log(
      `${r.kernel.padEnd(12)} ${String(r.threads).padStart(7)}  ${r.checks.padEnd(7)} ${r.millionsPerSecond.toFixed(1).padStart(29)}   ${range}`,
    );
  }
}
