// SPDX-License-Identifier: Apache-2.0
/**
 * The tests of the CUDA backend, in full: node scripts/test-cuda.mjs [--reduced | --real] [arguments of vitest]
 *
 * On the simulator: once per device model (GPUSIM_DEVICE, default small,small89) and scheduling seed (GPUSIM_SEED, default
 * 0,1,2), with every check on and a sample of each group of cases in which every value occurs PAGEWARP_SAMPLE times
 * (default 3); PAGEWARP_FULL=1 runs every case, which takes days. `--reduced`: the cases of `npm test`, but each on every
 * model with every seed. `--real`: once on this machine's own GPU, every case. What is left out is printed by the tests.
 */
import { spawnSync } from 'node:child_process';

const args = process.argv.slice(2);
const [real, reduced] = ['--real', '--reduced'].map((option) => args.includes(option));
const vitest = ['vitest', 'run', '--project', 'cuda', ...args.filter((one) => !/^--re(al|duced)$/.test(one))];

/** @param {Record<string, string>} env */
function run(name, env) {
  console.log(`\n== ${name}`);
  const begin = performance.now();
  const { status } = spawnSync('npx', vitest, { stdio: 'inherit', env: { ...process.env, ...env } });
  const seconds = ((performance.now() - begin) / 1000).toFixed(0);
  return { name, passed: status === 0, seconds };
}

const runs = [];
if (real) {
  runs.push(run('the GPU of this machine, every case', { PAGEWARP_REAL_GPU: '1', PAGEWARP_FULL: '1' }));
} else {
  const sample = reduced ? '1' : (process.env.PAGEWARP_SAMPLE ?? '3');
  const models = (process.env.GPUSIM_DEVICE ?? 'small,small89').split(',');
  const seeds = (process.env.GPUSIM_SEED ?? '0,1,2').split(',');
  for (const model of models) {
    for (const seed of seeds) {
      const env = { GPUSIM_DEVICE: model, GPUSIM_SEED: seed, PAGEWARP_SAMPLE: sample };
      runs.push(run(`simulated GPU ${model}, scheduling seed ${seed}`, env));
    }
  }
}
console.log();
for (const { name, passed, seconds } of runs) console.log(`${passed ? 'passed' : 'FAILED'} in ${seconds} s: ${name}`);
process.exitCode = runs.every(({ passed }) => passed) ? 0 : 1;
