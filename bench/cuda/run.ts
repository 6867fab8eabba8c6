// SPDX-License-Identifier: Apache-2.0
/**
 * Every kernel of the CUDA backend on a GPU, through the public API: checked against the CPU first, then timed by CUDA events
 * around a replayed graph (around launches one by one, for what cannot be captured), with inputs that rotate through more memory than the second-level cache holds. Beside each time
 * stands what it is of the device's own rates, measured in the same run: bytes of copies, operations of tensor cores.
 *
 *     npm run bench:cuda -- [--only attention] [--repeats 9] [--device 0]
 *
 * Where there is no GPU it says so and prints what the kernels ask of the simulated one: counters, and no times.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Device } from '../../lib/index.js';
import type { LaunchProfile } from '../../test/support/counters.js';
import { kernelCases } from './cases.js';
import type { KernelCase } from './kernel.js';
import { checkCase, measureCopies, measureMatrixRate, timeCase } from './measure.js';
import { addUp, countedHeader, countedRow, tableHead, tableLine, timedHeader, timedRow } from './report.js';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    repeats: { type: 'string', default: '9' },
    device: { type: 'string', default: '0' },
  },
});
const index = Number(options.device);
const cases = (isSimulated: boolean): KernelCase[] =>
  kernelCases(isSimulated).filter(({ name }) => name.includes(options.only));

async function time(gpu: Device): Promise<void> {
  using cpu = Device.cpu();
  const rounds = Number(options.repeats);
  const limits = { copyGBs: await measureCopies(gpu, rounds), matrixTflops: measureMatrixRate() };
  const matrix = limits.matrixTflops === undefined ? '' : `, tensor cores ${limits.matrixTflops} TFLOP/s by mma.sync`;
  console.log(`${gpu.name} (sm_${gpu.capability}): copies ${limits.copyGBs.toFixed(0)} GB/s${matrix}`);
  console.log(`Medians of ${rounds} [range]\n\n${tableHead(timedHeader)}`);
  for (const one of cases(false)) {
    await checkCase(one, gpu, cpu);
    console.log(tableLine(timedRow(one, await timeCase(one, gpu, rounds), limits)));
  }
}

/** @param file where the simulator writes its counters */
async function count(gpu: Device, file: string): Promise<void> {
  using cpu = Device.cpu();
  console.log(`Counters of the simulated GPU "${gpu.name}", not of any hardware\n\n${tableHead(countedHeader)}`);
  for (const one of cases(true)) {
    await checkCase(one, gpu, cpu);
    using prepared = one.prepare(gpu);
    await gpu.defaultStream.synchronize();
    const before = (JSON.parse(readFileSync(file, 'utf8')) as LaunchProfile[]).length;
    prepared.enqueue();
    await gpu.defaultStream.synchronize();
    const launches = (JSON.parse(readFileSync(file, 'utf8')) as LaunchProfile[]).slice(before);
    console.log(tableLine(countedRow(one, addUp(launches))));
  }
}

/** This program once more, with the simulator in the driver's place. */
function simulate(reason: string): void {
  const simulator = process.env['GPUSIM_BUILD'] ?? fileURLToPath(new URL('../../build/gpusim', import.meta.url));
  console.log(`No GPU to measure on: ${reason}`);
  if (!existsSync(join(simulator, 'libcuda.so.1'))) {
    console.log('The simulated GPU is not built either (test/gpusim/README.md says how): nothing to print');
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'pagewarp-bench-'));
  const env = {
    ...process.env,
    LD_LIBRARY_PATH: [simulator, process.env['LD_LIBRARY_PATH']].filter(Boolean).join(':'),
    GPUSIM_DEVICE: process.env['GPUSIM_DEVICE'] ?? 'small',
    GPUSIM_PROFILE: join(folder, 'profile.json'),
    GPUSIM_STRICT: '1',
  };
  const args = [...process.execArgv, ...process.argv.slice(1)];
  const { status } = spawnSync(process.execPath, args, { env, stdio: 'inherit' });
  rmSync(folder, { recursive: true });
  process.exitCode = status ?? 1;
}

const gpus = Device.list().filter(({ kind }) => kind === 'cuda');
const chosen = gpus.find((gpu) => gpu.index === index) ?? gpus[0];
const profile = process.env['GPUSIM_PROFILE'];
if (chosen?.available && profile) {
  using gpu = Device.cuda(index);
  await count(gpu, profile);
} else if (chosen?.available && !/^Simulated/.test(chosen.name)) {
  using gpu = Device.cuda(index);
  await time(gpu);
} else {
  simulate(chosen?.available ? 'the driver is the simulated one' : (chosen?.reason ?? 'there is none'));
}
