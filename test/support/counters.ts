// SPDX-License-Identifier: Apache-2.0
/** Counters of the simulated GPU: figures that hold on every GPU, and no times. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { describeOnGpu, isSimulated } from './cuda.js';
import { announceSkip } from './skip.js';

/** What the simulator writes of one launch (GPUSIM_PROFILE), as far as tests read it. */
export interface LaunchProfile {
  kernel: string;
  grid: [number, number, number];
  globalLoadRequests: number;
  globalLoadSectors: number;
  globalLoadIdealSectors: number;
  globalLoadBytes: number;
  globalStoreBytes: number;
  globalStoreSectors: number;
  globalStoreIdealSectors: number;
  globalBytesTouched: number;
  sharedLoadWavefronts: number;
  sharedLoadIdeal: number;
  sharedStoreWavefronts: number;
  sharedStoreIdeal: number;
  matrixOperations: number;
  warpInstructions: number;
  threadByClass: { half: number; integer: number };
  conflicts: { source: string; text: string }[];
}

/** describe() for tests of counters, which only the simulated GPU has; elsewhere a line says so. */
export function describeCounters(what: string, body: () => void): void {
  const counts = (): boolean => isSimulated || !announceSkip(`counters of ${what}: only the simulated GPU has them`);
  describeOnGpu(`counters of ${what} (simulated)`, body, counts);
}

export function readProfile(file: string): LaunchProfile[] {
  return JSON.parse(readFileSync(file, 'utf8')) as LaunchProfile[];
}

/**
 * Has the simulator count the launches of devices that are opened from here on, until the file's tests are over.
 * @returns reads the launches so far, in order; the streams must be idle
 */
export function profileLaunches(): () => LaunchProfile[] {
  const folder = mkdtempSync(join(tmpdir(), 'pagewarp-counters-'));
  const file = join(folder, 'profile.json');
  process.env['GPUSIM_PROFILE'] = file;
  afterAll(() => {
    delete process.env['GPUSIM_PROFILE'];
    rmSync(folder, { recursive: true });
  });
  return () => (existsSync(file) ? readProfile(file) : []);
}

/** The last of some launches whose kernel's name begins like this. */
export function lastLaunch(launches: readonly LaunchProfile[], name: string): LaunchProfile {
  return launches.findLast(({ kernel }) => kernel.startsWith(name)) as LaunchProfile;
}

/** profileLaunches() for those who want to know of the last launch of a kernel. */
export function countLaunches(): (name: string) => LaunchProfile {
  const launches = profileLaunches();
  return (name) => lastLaunch(launches(), name);
}
