// SPDX-License-Identifier: Apache-2.0
/**
 * What the tensor-core kernels ask of a GPU, counted on the simulated one: hardware-independent figures, no timings. Costs
 * of keys are differences between a longer and a shorter run, so that what a block does once does not blur them.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, expect, it } from 'vitest';
import type { StoredCacheDType } from '../../lib/index.js';
import { cacheRowBytes } from '../../lib/kv/layer.js';
import { nativePath } from '../../lib/native.js';
import { bundleLibrary } from '../support/bundle.js';
import { isCodeType } from '../support/cache-codes.js';
import { describeCounters, type LaunchProfile, readProfile } from '../support/counters.js';

interface Shape {
  queries: number;
  headDim: number;
  dtype: 'f16' | 'bf16';
  cache: StoredCacheDType;
}

const heads = 8;
const kvHeads = 2;
const batch = 2;
const program = fileURLToPath(new URL('../support/programs/attention-decode.mjs', import.meta.url));

describeCounters('attention', () => {
  let bundle = '';
  beforeAll(async () => {
    bundle = await bundleLibrary();
  });

  async function profile(shape: Shape, kv: number): Promise<LaunchProfile> {
    const folder = mkdtempSync(join(tmpdir(), 'pagewarp-counters-'));
    const file = join(folder, 'profile.json');
    const parameters = { ...shape, batch, kv, heads, kvHeads, pageSize: 16, split: 'none' };
    await promisify(execFile)(process.execPath, [program, bundle, JSON.stringify(parameters)], {
      env: { ...process.env, GPUSIM_PROFILE: file, PAGEWARP_ADDON_PATH: nativePath() },
    });
    const launches = readProfile(file).filter(({ kernel }) => /^pw_attention_(f16|bf16)/.test(kernel));
    rmSync(folder, { recursive: true });
    expect(launches).toHaveLength(1);
    return launches[0] as LaunchProfile;
  }

  it.each<Shape & { rowTile: number }>([
    { queries: 1, headDim: 128, dtype: 'f16', cache: 'f16', rowTile: 16 },
    { queries: 8, headDim: 64, dtype: 'bf16', cache: 'bf16', rowTile: 32 },
    { queries: 16, headDim: 128, dtype: 'f16', cache: 'f16', rowTile: 64 },
    { queries: 1, headDim: 256, dtype: 'bf16', cache: 'bf16', rowTile: 16 },
    { queries: 1, headDim: 128, dtype: 'bf16', cache: 'i8', rowTile: 16 },
    { queries: 1, headDim: 128, dtype: 'f16', cache: 'fp8e4m3', rowTile: 16 },
    { queries: 8, headDim: 64, dtype: 'bf16', cache: 'i4', rowTile: 32 },
    { queries: 1, headDim: 256, dtype: 'f16', cache: 'i4', rowTile: 16 },
  ])('$queries rows, head dimension $headDim, $cache', async ({ rowTile, ...shape }) => {
    const shorter = await profile(shape, 384);
    const longer = await profile(shape, 768);
    const keys = (768 - 384) * batch * kvHeads;
    const bytes = keys * 2 * cacheRowBytes(shape.cache, shape.headDim);
    const grown = (name: 'matrixOperations' | 'globalLoadSectors' | 'globalLoadBytes'): number =>
      longer[name] - shorter[name];
    // Each byte once per kv head. Besides, every warp of a row tile reads the page number of each key.
    const read = grown('globalLoadBytes') - keys * 4 * (rowTile / 16);
    expect(read / bytes).toBeGreaterThanOrEqual(1);
    expect(read / bytes).toBeLessThanOrEqual(1.02);
    // Whole sectors; scales of codes are 4 bytes each.
    if (!isCodeType(shape.cache)) {
      expect((grown('globalLoadSectors') * 32) / bytes).toBeLessThanOrEqual(1.02);
    }
    const arithmetic = 2 * 2 * rowTile * shape.headDim * keys;
    expect(grown('matrixOperations') / arithmetic).toBeGreaterThanOrEqual(1);
    expect(grown('matrixOperations') / arithmetic).toBeLessThanOrEqual(1.15);
    expect(longer.sharedLoadWavefronts).toBe(longer.sharedLoadIdeal);
    const mainLoop = longer.conflicts.filter(({ source }) =>
      /(fragments|codes|ring|logits|async_copy|ldmatrix)\.cuh/.test(source),
    );
    expect(mainLoop).toEqual([]);
  });
});
