// SPDX-License-Identifier: Apache-2.0
/** What is said of GPUs that cannot be used, and of ops that a GPU has no kernels for. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import {
  type CacheDType,
  type DeviceInfo,
  GgufFile,
  linear,
  PackedMatrix,
  PagedKvCache,
  supports,
  Tensor,
} from '../../lib/index.js';
import { matrixFormats } from '../../lib/quant/format.js';
import { AttentionBench, makeInputs } from '../support/attention.js';
import { cudaDevice, describeOnGpu, isSimulated } from '../support/cuda.js';
import { codeOf } from '../support/errors.js';
import { temporaryFolder } from '../support/folder.js';
import { GgufWriter } from '../support/gguf-writer.js';
import { type LinearCase, makeLinearInputs, uploadWeights } from '../support/linear.js';
import { runProgram } from '../support/program.js';
import { announceSkip } from '../support/skip.js';

interface Listed {
  gpus: DeviceInfo[];
  error: { code: string; message: string } | null;
}

/** What another process finds under this environment. */
async function listUnder(env: Record<string, string>): Promise<Listed> {
  const { stdout } = await runProgram('list-devices', [], env);
  return JSON.parse(stdout.trim().split('\n').at(-1) as string) as Listed;
}

const folder = temporaryFolder();
const demoModel = fileURLToPath(new URL('../../models/demo/draft-Q4_0.gguf', import.meta.url));

const simulates = (): boolean => isSimulated || !announceSkip('GPUs that cannot be used: only the simulator has them');

describeOnGpu(
  'a GPU that cannot be used',
  () => {
    it('is listed with the reason when it is too old', async () => {
      const model = readFileSync(new URL('../gpusim/devices/small.txt', import.meta.url), 'utf8');
      const path = join(folder, 'turing.txt');
      writeFileSync(
        path,
        model.replace(/computeMajor = \d+/, 'computeMajor = 7').replace(/computeMinor = \d+/, 'computeMinor = 5'),
      );
      const { gpus, error } = await listUnder({ GPUSIM_DEVICE: path });
      expect(gpus).toHaveLength(1);
      const reason = expect.stringMatching(/compute capability 7\.5 is too old: 8\.0 or later is needed/);
      expect(gpus[0]).toMatchObject({ available: false, reason });
      expect(error).toMatchObject({ code: 'ERR_DEVICE_UNAVAILABLE', message: reason });
    });

    it('is listed with the reason when its driver is older than the kernels', async () => {
      const { gpus, error } = await listUnder({ GPUSIM_DRIVER: '12080' });
      const reason = expect.stringMatching(/the driver supports CUDA 12\.8, but the kernels need \d+\.0/);
      expect(gpus[0]).toMatchObject({ available: false, reason });
      expect(error).toMatchObject({ code: 'ERR_DEVICE_UNAVAILABLE', message: reason });
    });

    it('says so in everything that uses it once it is lost, and the process goes on', async () => {
      const { stdout } = await runProgram('lost-device', [demoModel], { GPUSIM_TIMEOUT: '0.000000001' });
      const [first, ...others] = JSON.parse(stdout.trim().split('\n').at(-1) as string);
      expect(first).toMatchObject({
        code: 'ERR_DEVICE_LOST',
        message: expect.stringMatching(/rmsNorm.*CUDA_ERROR_LAUNCH_TIMEOUT/),
      });
      expect(others.slice(0, 3)).toEqual([first, first, null]);
    });

    it('says that it needs a new process, where a fault ends CUDA for this one', async () => {
      const env = { GPUSIM_TIMEOUT: '0.000000001', GPUSIM_FAULTS: 'process' };
      const { stdout } = await runProgram('lost-device', [demoModel], env);
      expect(JSON.parse(stdout.trim().split('\n').at(-1) as string).at(-1)).toMatchObject({
        code: 'ERR_DEVICE_UNAVAILABLE',
        message: expect.stringMatching(/could not be opened: CUDA_ERROR_LAUNCH_TIMEOUT.*start a new process/),
      });
    });

    it('has a reason when the driver sees none', async () => {
      const { error } = await listUnder({ GPUSIM_DEVICE: 'none' });
      expect(error).toMatchObject({
        code: 'ERR_DEVICE_UNAVAILABLE',
        message: expect.stringMatching(/NO_DEVICE|sees no GPU/),
      });
    });

    it('has the loader’s reason when there is no driver', async () => {
      const { gpus, error } = await listUnder({ LD_LIBRARY_PATH: '' });
      if (gpus.some(({ available }) => available)) {
        announceSkip('a machine without a driver: this one has a GPU');
        return;
      }
      expect(error).toMatchObject({ code: 'ERR_DEVICE_UNAVAILABLE', message: expect.stringMatching(/libcuda\.so\.1/) });
    });
  },
  simulates,
);

describeOnGpu('supports()', () => {
  const device = cudaDevice();

  it.each(matrixFormats)('tells whether there are kernels for %s weights, as packing them does', async (format) => {
    const c: LinearCase = { m: 1, n: 8, k: 256, format };
    const code = codeOf(() => uploadWeights(device, c, makeLinearInputs(c, 1)).dispose());
    expect(code).toBe(supports(device, 'packMatrix', { format }) ? 'no error' : 'ERR_UNSUPPORTED');
    await device.defaultStream.synchronize();
  });

  it.each([1, 33, 64, 256, 257, 512])('tells whether attention has a kernel for head dimension %i', async (headDim) => {
    const inputs = makeInputs({ seed: 1, queries: 1, kv: 5, kvHeads: 1, headDim, pageSize: 4 });
    const attend = async (): Promise<void> => {
      using bench = new AttentionBench(device, inputs);
      const { out } = await bench.run();
      expect(out.every(Number.isFinite)).toBe(true);
    };
    if (supports(device, 'attention', { headDim })) await attend();
    else await expect(attend()).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED' });
  });

  it.each<CacheDType>(['f32', 'f16', 'bf16', 'i8', 'fp8e4m3', 'fp8e5m2', 'i4'])(
    'tells whether caches of %s are stored',
    (dtype) => {
      const shape = { layers: 1, kvHeads: 1, headDim: 16, pageSize: 1, pages: 1 };
      const code = codeOf(() => new PagedKvCache(device, { ...shape, dtype }).dispose());
      expect(code).toBe(supports(device, 'kvCache', { dtype }) ? 'no error' : 'ERR_UNSUPPORTED');
    },
  );

  it('tells whether matrices are used where they lie in a file', () => {
    const path = join(folder, 'plain.gguf');
    const writer = new GgufWriter();
    writer.tensor('plain', [8, 32], new Float32Array(256));
    writer.write(path);
    using file = GgufFile.open(path);
    const code = codeOf(() => PackedMatrix.viewGguf(device, file, 'plain').dispose());
    expect(code).toBe(supports(device, 'viewMatrix', { format: 'f32' }) ? 'no error' : 'ERR_UNSUPPORTED');
  });

  it.each(matrixFormats.filter((format) => supports('cuda', 'packMatrix', { format })))(
    'tells whether linear rounds activations to 8 bits over %s, and whether it gates in one kernel',
    async (format) => {
      const c: LinearCase = { m: 1, n: 128, k: 256, format };
      using weight = uploadWeights(device, c, makeLinearInputs(c, 1));
      using x = Tensor.full(device, [1, 256], 'f16', 1);
      const rounds = supports(device, 'linearInt8', { format });
      const code = codeOf(() => linear(device.defaultStream, { x, weight, precision: 'int8' }).dispose());
      expect(code).toBe(rounds ? 'no error' : 'ERR_UNSUPPORTED');
      await device.defaultStream.synchronize();
      const before = device.cudaStatistics.launches.kernels;
      linear(device.defaultStream, { x, weight, gate: 'silu' }).dispose();
      await device.defaultStream.synchronize();
      const launched = device.cudaStatistics.launches.kernels - before;
      expect(launched === 1).toBe(supports(device, 'linearGate', { format, rows: 64 }));
    },
  );
});
