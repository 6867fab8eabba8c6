// SPDX-License-Identifier: Apache-2.0
/** The device code that a build has compiled, and what a fatbin holds. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What the build says of its device code, in `manifest.json`. */
export interface DeviceCode {
  /** Compute capabilities with machine code, 80 for 8.0. */
  architectures: number[];
  /** Compute capabilities with PTX. */
  ptx: number[];
  /** Names of modules. */
  modules: string[];
}

const lastBuild = fileURLToPath(
  new URL(`../../build/cmake/${process.platform}-${process.arch}-Release/fatbin`, import.meta.url),
);

/** The device code of the last build and its files; undefined where it compiled none. */
export function builtDeviceCode(): (DeviceCode & { files: string[] }) | undefined {
  const manifest = join(lastBuild, 'manifest.json');
  if (!existsSync(manifest)) return undefined;
  const code = JSON.parse(readFileSync(manifest, 'utf8')) as Partial<DeviceCode>;
  if (!code.architectures || !code.ptx || !code.modules) return undefined;
  const { architectures, ptx, modules } = code;
  const files = modules.map((name) => join(lastBuild, `${name}.fatbin`)).filter((file) => existsSync(file));
  return files.length > 0 ? { architectures, ptx, modules, files } : undefined;
}

/** What a fatbin holds, such as `compute_80` (PTX) and `sm_80` (machine code), sorted. */
export function fatbinTargets(file: string): string[] {
  const bytes = readFileSync(file);
  const targets: string[] = [];
  // A header of the whole, then for each entry a header and its payload; both headers say how long they are.
  for (let at = bytes.readUInt16LE(6); at < bytes.length; ) {
    const isPtx = bytes.readUInt16LE(at) === 1;
    targets.push(`${isPtx ? 'compute' : 'sm'}_${bytes.readUInt32LE(at + 28)}`);
    at += bytes.readUInt32LE(at + 4) + Number(bytes.readBigUInt64LE(at + 8));
  }
  return targets.sort();
}

/** What a fatbin holds that is compiled for these compute capabilities, as fatbinTargets() says it. */
export function targetsOf({ architectures, ptx }: Pick<DeviceCode, 'architectures' | 'ptx'>): string[] {
  return [...architectures.map((one) => `sm_${one}`), ...ptx.map((one) => `compute_${one}`)].sort();
}
