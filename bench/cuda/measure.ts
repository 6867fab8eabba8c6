// SPDX-License-Identifier: Apache-2.0
/** Times on a GPU, by CUDA events in its streams. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Device, Tensor } from '../../lib/index.js';
import { median } from '../support/statistics.js';
import type { KernelCase, Prepared } from './kernel.js';
import { copiesFor, largestDifference } from './report.js';

/**
 * The case on the GPU against the same on the CPU.
 * @throws Error when they differ by more than the case allows
 */
export async function checkCase(one: KernelCase, gpu: Device, cpu: Device): Promise<void> {
  using onGpu = one.prepare(gpu);
  using onCpu = one.prepare(cpu);
  const difference = largestDifference(await onGpu.result(), await onCpu.result());
  if (difference > one.tolerance) {
    throw new Error(`${one.name} is wrong: off by ${difference} of the root mean square, ${one.tolerance} is allowed`);
  }
}

/** Seconds that `run` takes, by events before and after it, `rounds` times, after two more that warm up. */
async function timeRounds(gpu: Device, run: () => void, rounds: number): Promise<number[]> {
  const stream = gpu.defaultStream;
  const seconds: number[] = [];
  for (let round = -2; round < rounds; round++) {
    using begin = stream.record();
    run();
    using end = stream.record();
    await stream.synchronize();
    if (round >= 0) seconds.push(end.since(begin));
  }
  return seconds;
}

/** Seconds per command, of `rounds` replays of one graph of `count` commands; the first round of all captures it. */
async function timeGraph(gpu: Device, enqueue: (i: number) => void, count: number, rounds: number): Promise<number[]> {
  const stream = gpu.defaultStream;
  using list = stream.capture(() => {
    for (let i = 0; i < count; i++) enqueue(i);
  });
  const seconds = await timeRounds(gpu, () => stream.replay(list), rounds);
  return seconds.map((all) => all / count);
}

/** The same of launches one by one. Where these take the host longer than the GPU, it is the host that is timed. */
export async function timeLaunches(
  gpu: Device,
  enqueue: (i: number) => void,
  count: number,
  rounds: number,
): Promise<number[]> {
  const launchAll = (): void => {
    for (let i = 0; i < count; i++) enqueue(i);
  };
  return (await timeRounds(gpu, launchAll, rounds)).map((all) => all / count);
}

/** Seconds per run of the case; each figure is the mean over one replay of a graph, or over launches, of about 5 ms. */
export async function timeCase(one: KernelCase, gpu: Device, rounds: number): Promise<number[]> {
  const copies: Prepared[] = [];
  try {
    for (let i = copiesFor(one.bytes); i > 0; i--) copies.push(one.prepare(gpu));
    const enqueue = (i: number): void => (copies[i % copies.length] as Prepared).enqueue();
    const time = one.isDirect ? timeLaunches : timeGraph;
    const [estimate] = await time(gpu, enqueue, copies.length, 1);
    const count = Math.min(1000, Math.max(copies.length, Math.ceil(5e-3 / (estimate as number))));
    return await time(gpu, enqueue, count, rounds);
  } finally {
    for (const copy of copies) copy[Symbol.dispose]();
  }
}

/** Bytes read and written per second, in 10^9, by copies of device memory. */
export async function measureCopies(gpu: Device, rounds: number, bytes = 2 ** 28): Promise<number> {
  using from = Tensor.zeros(gpu, [bytes / 4], 'f32');
  using to = Tensor.zeros(gpu, [bytes / 4], 'f32');
  return (2 * bytes) / median(await timeGraph(gpu, () => void to.copyFrom(from), 8, rounds)) / 1e9;
}

const folder = fileURLToPath(new URL('../../build/bench', import.meta.url));
const source = fileURLToPath(new URL('matrix-rate.cu', import.meta.url));

/** Operations per second, in 10^12, of mma.sync; undefined, and a line that says why, where nvcc is missing. */
export function measureMatrixRate(): number | undefined {
  const nvcc = ['CUDA_HOME', 'CUDA_PATH']
    .flatMap((name) => (process.env[name] ? [join(process.env[name], 'bin', 'nvcc')] : []))
    .concat('/usr/local/cuda/bin/nvcc')
    .find(existsSync);
  if (!nvcc) {
    console.log('not measured: the rate of tensor cores; bench/cuda/matrix-rate.cu needs nvcc (CUDA_HOME)');
    return undefined;
  }
  mkdirSync(folder, { recursive: true });
  const program = join(folder, 'matrix-rate');
  execFileSync(nvcc, ['-O3', '-arch=compute_80', '-o', program, source], { stdio: 'inherit' });
  return Number(execFileSync(program, { encoding: 'utf8' }));
}
