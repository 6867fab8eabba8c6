// SPDX-License-Identifier: Apache-2.0
// A release's PTX of the newest architecture, which GPUs run that come after it: here a simulated one of that capability.
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { load, merged, suffixLookup, tokenRecycling } from '../../lib/index.js';
import { cudaDevice, describeOnGpu, isSimulated } from '../support/cuda.js';
import { demoModel } from '../support/demo.js';
import { builtDeviceCode } from '../support/fatbin.js';
import { temporaryFolder } from '../support/folder.js';
import { modelPath } from '../support/models.js';
import { announceSkip } from '../support/skip.js';
import { nmse } from '../support/tolerance.js';

const newest = 120;
// Read by the simulator when a device is first asked for.
if (isSimulated) {
  const model = new URL(`../gpusim/tests/devices/small${newest}.txt`, import.meta.url);
  process.env['GPUSIM_DEVICE'] = fileURLToPath(model);
}
const temporary = temporaryFolder();

/** A real GPU takes machine code where there is some for it. */
function runsNewestPtx(): boolean {
  if (!isSimulated) return !announceSkip('PTX of the newest architecture: a real GPU runs machine code');
  return builtDeviceCode()?.ptx.includes(newest) || !announceSkip('PTX of the newest architecture: releases have it');
}

describeOnGpu(
  'PTX of the newest architecture',
  () => {
    const device = cudaDevice();

    it('gives the golden tokens, also by drafts that form a tree', async () => {
      expect(device.capability).toBe(newest);
      const model = demoModel('draft', temporary);
      const [first] = model?.cases ?? [];
      if (!model || !first) return;
      await using onGpu = await load(model.path, { device, cacheDType: 'f32', contextLength: 160 });
      using tree = merged(suffixLookup({ minMatch: 1 }), tokenRecycling());
      for (const speculate of ['off', tree] as const) {
        const options = { ignoreEnd: true, adaptive: false, speculate, maxTokens: 8 };
        const { tokens } = await onGpu.generate(first.prompt, options).complete();
        expect(tokens).toEqual(first.greedy.slice(0, 8));
      }
    });

    it('computes with 4-bit weights and a cache of 16 or 8 bits what the CPU does', async () => {
      const path = modelPath('demo', 'draft-Q4_0.gguf');
      const ids = demoModel('draft', temporary)?.cases[0]?.ids;
      if (!path || !ids) return;
      for (const cacheDType of ['f16', 'i8'] as const) {
        const logits: Float32Array[] = [];
        for (const where of [device, { threads: 1 }]) {
          await using loaded = await load(path, { device: where, cacheDType, contextLength: 160 });
          logits.push((await loaded.logits(ids)).at(-1) as Float32Array);
        }
        // The CPU rounds activations to 8 bits, the GPU does not.
        expect(nmse(logits[0] as Float32Array, logits[1] as Float32Array)).toBeLessThan(5e-3);
      }
    });

    it('samples the same tokens as the CPU at the same seed', async () => {
      const model = demoModel('draft', temporary);
      if (!model) return;
      const options = {
        ignoreEnd: true,
        speculate: 'off',
        maxTokens: 8,
        temperature: 0.8,
        topP: 0.95,
        seed: 11n,
      } as const;
      const texts: number[][] = [];
      for (const where of [device, { threads: 1 }]) {
        await using loaded = await load(model.path, { device: where, cacheDType: 'f32', contextLength: 160 });
        texts.push((await loaded.generate('The President', options).complete()).tokens);
      }
      expect(texts[0]).toEqual(texts[1]);
    });
  },
  runsNewestPtx,
);
