// SPDX-License-Identifier: Apache-2.0
// Which instruction forms (an opcode with all its modifiers and types, `ld.global.nc.v4.f32`) a PTX text has, and which
// of them the tests of instructions/ exercise.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { collectPtx } from './cases.js';
import { buildFolder } from './runner.js';

/** Every instruction form of a PTX text. */
export function formsOf(ptx: string): Set<string> {
  const statements = ptx
    .replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"[^"]*"/g, '')
    .replace(/^\s*\.(loc|file)\b[^\n]*/gm, '')
    .split(/[;{}]/);
  const forms = statements.flatMap((statement) => {
    const instruction = /^\s*(?:[\w$%]+\s*:\s*)*(?:@!?[\w$%]+\s+)?([a-z]\w*(?:(?:\.|::)\w+)*)(?!\s*:)(?:\s|$)/.exec(
      statement,
    );
    return instruction ? [instruction[1] as string] : [];
  });
  return new Set(forms);
}

/** The PTX that a device runs of a fatbin, or of a program that embeds fatbins. */
export function ptxOf(file: string, device: string): string {
  const env = { ...process.env, GPUSIM_DEVICE: device };
  return execFileSync(join(buildFolder, 'gpusim'), ['ptx', file], { env, encoding: 'utf8', maxBuffer: 1 << 28 });
}

async function collectForms(): Promise<Set<string>> {
  const folder = new URL('instructions/', import.meta.url);
  const files = readdirSync(folder).filter((file) => file.endsWith('.test.ts'));
  const texts = await collectPtx(async () => {
    for (const file of files) await import(new URL(file, folder).pathname);
  });
  return new Set(texts.flatMap((text) => [...formsOf(text)]));
}

let tested: Promise<Set<string>> | undefined;

/** The forms that the tests of instructions/ exercise. The frames around their cases, alike in all, do not count. */
export function testedForms(): Promise<Set<string>> {
  tested ??= collectForms(); // a test file registers its suites only when it is first imported
  return tested;
}

/** The forms in the files that no instruction test exercises, each with the first file that has it. */
export async function untestedForms(files: readonly string[], device: string): Promise<string[]> {
  const tested = await testedForms();
  const untested = new Map<string, string>();
  for (const file of files)
    for (const form of formsOf(ptxOf(file, device)))
      if (!tested.has(form) && !untested.has(form)) untested.set(form, file);
  return [...untested].map(([form, file]) => `${form} (${file})`).sort();
}
