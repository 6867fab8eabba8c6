// SPDX-License-Identifier: Apache-2.0
import { createRequire } from 'node:module';
import { availableParallelism, totalmem } from 'node:os';
import { PagewarpError } from '../errors.js';
import { native, nativePath } from '../native.js';
import { Device, type DeviceInfo } from '../tensor/device.js';
import { Arguments } from './arguments.js';
import { bytes } from './terminal.js';

export const doctorUsage = `pagewarp doctor [--json]

Shows what pagewarp finds on this machine: the binary that it loaded and why, devices, CPU features, settings.
`;

interface Diagnosis {
  version: string;
  node: string;
  platform: string;
  processors: number;
  memory: number;
  binary?: { path: string; reason: string; napiVersion: number };
  devices: DeviceInfo[];
  environment: Record<string, string>;
  problem?: { code: string; message: string; attempts: string[] };
}

/** @returns the exit code: 1 when pagewarp cannot work here */
export function doctor(args: readonly string[]): number {
  const parsed = new Arguments(args, { json: { type: 'boolean' } });
  if (parsed.flag('help')) {
    process.stdout.write(doctorUsage);
    return 0;
  }
  const diagnosis = diagnose();
  process.stdout.write(parsed.flag('json') ? `${JSON.stringify(diagnosis, undefined, 2)}\n` : describe(diagnosis));
  return diagnosis.problem ? 1 : 0;
}

function diagnose(): Diagnosis {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  const settings = Object.entries(process.env).filter(([name]) => name.startsWith('PAGEWARP_'));
  const diagnosis: Diagnosis = {
    version,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    processors: availableParallelism(),
    memory: totalmem(),
    devices: [],
    environment: Object.fromEntries(settings) as Record<string, string>,
  };
  try {
    const path = nativePath();
    diagnosis.binary = { path, reason: reasonFor(path), napiVersion: native().napiVersion };
    diagnosis.devices = Device.list();
  } catch (error) {
    if (!(error instanceof PagewarpError)) throw error;
    const attempts = error.cause instanceof AggregateError ? error.cause.errors.map((e) => (e as Error).message) : [];
    diagnosis.problem = { code: error.code, message: error.message, attempts };
  }
  return diagnosis;
}

function reasonFor(path: string): string {
  if (path === process.env['PAGEWARP_ADDON_PATH']) return 'PAGEWARP_ADDON_PATH names it';
  return /[\\/]prebuilds[\\/]/.test(path)
    ? 'prebuilt for this platform'
    : 'a local build, which goes before prebuilt ones';
}

function describe({ binary, problem, ...found }: Diagnosis): string {
  const lines = [
    `pagewarp ${found.version}, Node ${found.node}, ${found.platform}`,
    `${found.processors} processors, ${bytes(found.memory)} of memory`,
  ];
  if (binary) lines.push(`binary: ${binary.path} (${binary.reason}; Node-API ${binary.napiVersion})`);
  for (const device of found.devices) {
    const state = device.available ? device.features.join(', ') : `not usable: ${device.reason}`;
    lines.push(`${device.kind} ${device.index}: ${device.name} (${state})`);
  }
  for (const [name, value] of Object.entries(found.environment)) lines.push(`${name}=${value}`);
  if (problem)
    lines.push(`problem: ${problem.message} [${problem.code}]`, ...problem.attempts.map((text) => `  ${text}`));
  return `${lines.join('\n')}\n`;
}
