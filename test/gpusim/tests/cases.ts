// SPDX-License-Identifier: Apache-2.0
// Table-driven instruction tests: one kernel per case, thousands of inputs per launch, all launches of a file in one process.
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { assemble, hasTool, type Launch, type Outcome, runBatch } from './runner.js';
import { type Kind, samples, widthOf } from './samples.js';

export type Target = 'sm_80' | 'sm_89' | 'sm_90';

/** One instruction on one element per thread. */
export interface Case {
  /** Unique in its file; usually the instruction itself. */
  readonly name: string;
  readonly target?: Target;
  /** What is loaded into %a, %b, %c, %d. */
  readonly inputs: readonly Kind[];
  /** Bits of the results %x, %y, %z, %w. */
  readonly outputs: readonly number[];
  /** PTX; %p %q %r are predicates, %t0..%t7 are .b32, %u0..%u7 .b64 and %h0..%h7 .b16. */
  readonly body: string;
  /** What is wrong with one thread's results, or undefined. */
  readonly judge?: (inputs: readonly bigint[], outputs: readonly bigint[]) => string | undefined;
  /** What is wrong with the results of one warp's 32 lanes. */
  readonly judgeWarp?: (
    inputs: readonly (readonly bigint[])[],
    outputs: readonly (readonly bigint[])[],
  ) => string | undefined;
  /** Inputs that the manual leaves undefined are left out. */
  readonly accept?: (inputs: readonly bigint[]) => boolean;
  /** Replaces the generated inputs. */
  readonly tuples?: readonly (readonly bigint[])[];
}

export type Judge = NonNullable<Case['judge']>;

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** Judges by equality with what `expected` computes from the inputs. */
export function exactly(expected: (...inputs: bigint[]) => bigint | readonly bigint[]): Judge {
  return (inputs, outputs) => {
    const result = expected(...inputs);
    const wanted = typeof result === 'bigint' ? [result] : result;
    const same = wanted.every((value, i) => value === outputs[i]);
    return same ? undefined : `expected ${wanted.map(hex).join(' ')}`;
  };
}

const kCount = 1024;
const kBlock = 128;

export const header = (target: Target): string => `.version 9.0\n.target ${target}\n.address_size 64\n`;

function kernel(test: Case, name: string): string {
  const registers = ['%a', '%b', '%c', '%d'];
  const results = ['%x', '%y', '%z', '%w'];
  const register = (width: number): string => `.b${Math.max(16, width)}`;
  const parameters = [
    ...test.inputs.map((_, i) => `.param .u64 in${i}`),
    ...test.outputs.map((_, i) => `.param .u64 out${i}`),
  ];
  const lines = [
    `.visible .entry ${name}(${parameters.join(', ')}, .param .u32 count)`,
    '{',
    '.reg .pred %p, %q, %r, %done; .reg .b32 %t<8>, %index, %size; .reg .b64 %u<8>, %offset, %address; .reg .b16 %h<8>;',
    ...test.inputs.map((kind, i) => `.reg ${register(widthOf(kind))} ${registers[i]};`),
    ...test.outputs.map((width, i) => `.reg ${register(width)} ${results[i]};`),
    'mov.u32 %index, %ctaid.x; mov.u32 %size, %ntid.x; mul.lo.u32 %index, %index, %size;',
    'mov.u32 %size, %tid.x; add.u32 %index, %index, %size;',
    'ld.param.u32 %size, [count]; setp.ge.u32 %done, %index, %size; @%done bra finish;',
  ];
  test.inputs.forEach((kind, i) => {
    const width = widthOf(kind);
    lines.push(
      `ld.param.u64 %address, [in${i}]; mul.wide.u32 %offset, %index, ${width / 8}; add.u64 %address, %address, %offset;`,
    );
    lines.push(`ld.global.${width === 8 ? 'u8' : `b${width}`} ${registers[i]}, [%address];`);
  });
  lines.push(`{\n${test.body}\n}`);
  test.outputs.forEach((width, i) => {
    lines.push(
      `ld.param.u64 %address, [out${i}]; mul.wide.u32 %offset, %index, ${width / 8}; add.u64 %address, %address, %offset;`,
    );
    lines.push(`st.global.${width === 8 ? 'u8' : `b${width}`} [%address], ${results[i]};`);
  });
  lines.push('finish: ret;', '}', '');
  return lines.join('\n');
}

/** Little-endian bytes of unsigned values of `width` bits. */
export function pack(values: readonly bigint[], width: number): Uint8Array {
  const bytes = new DataView(new ArrayBuffer((values.length * width) / 8));
  values.forEach((value, i) => {
    if (width === 8) bytes.setUint8(i, Number(value));
    else if (width === 16) bytes.setUint16(i * 2, Number(value), true);
    else if (width === 32) bytes.setUint32(i * 4, Number(value), true);
    else bytes.setBigUint64(i * 8, value, true);
  });
  return new Uint8Array(bytes.buffer);
}

export function unpack(bytes: Uint8Array, width: number): bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: (bytes.byteLength * 8) / width }, (_, i) => {
    if (width === 8) return BigInt(view.getUint8(i));
    if (width === 16) return BigInt(view.getUint16(i * 2, true));
    if (width === 32) return BigInt(view.getUint32(i * 4, true));
    return view.getBigUint64(i * 8, true);
  });
}

interface Prepared {
  readonly test: Case;
  readonly tuples: readonly (readonly bigint[])[];
  readonly kernel: string;
  readonly name: string;
}

const ptxas = hasTool('ptxas');
const targets: readonly Target[] = ['sm_80', 'sm_89', 'sm_90'];
const devices: Readonly<Record<Target, string>> = {
  sm_80: 'small',
  sm_89: 'small89',
  sm_90: fileURLToPath(new URL('devices/small90.txt', import.meta.url)),
};
const deviceOf = (target: Target): string => devices[target];

/** Where suites leave their PTX instead of registering tests, while `collectPtx` runs. */
let collected: string[] | undefined;

/** The PTX under test of every suite that `load` would register: the bodies of cases without their frames, and kernels. */
export async function collectPtx(load: () => Promise<void>): Promise<string[]> {
  const texts: string[] = [];
  collected = texts;
  try {
    await load();
  } finally {
    collected = undefined;
  }
  return texts;
}

/** Registers a vitest suite that runs every case in one launch each. */
export function suite(title: string, cases: readonly Case[]): void {
  if (collected) {
    collected.push(...cases.map((test) => test.body));
    return;
  }
  const prepared = cases.map((test, i): Prepared => {
    const tuples = test.tuples ?? samples(test.inputs, kCount, i + 1);
    const name = `case${i}`;
    return { test, name, kernel: kernel(test, name), tuples: test.accept ? tuples.filter(test.accept) : tuples };
  });
  const moduleOf = (target: Target): string => {
    const chosen = prepared.filter(({ test }) => (test.target ?? 'sm_80') === target);
    return chosen.length === 0 ? '' : header(target) + chosen.map((entry) => entry.kernel).join('\n');
  };
  describe(title, () => {
    for (const target of targets.filter(moduleOf)) legality(target, () => moduleOf(target));
    describe('results', () => {
      const outcomes = new Map<Prepared, Outcome>();
      beforeAll(async () => {
        for (const target of targets) {
          const chosen = prepared.filter(({ test }) => (test.target ?? 'sm_80') === target);
          const results = await runEach(moduleOf(target), target, chosen);
          chosen.forEach((entry, i) => {
            outcomes.set(entry, results[i] as Outcome);
          });
        }
      }, 240_000);
      it.each(prepared.map((entry) => [entry.test.name, entry] as const))('%s', (_, entry) => {
        expect(complaints(entry, outcomes.get(entry))).toEqual([]);
      });
    });
  });
}

/** A test that ptxas accepts the PTX, so that what the simulator is asked is legal. */
export function legality(target: Target, module: () => string): void {
  it.skipIf(!ptxas)(`is legal PTX for ${target}`, { timeout: 120_000 }, () => {
    expect(assemble(module(), target)).toBe('');
  });
}

function launchOf(entry: Prepared, code: string): Launch {
  const count = entry.tuples.length;
  const inputs = entry.test.inputs.map((kind, i) => ({
    input: pack(
      entry.tuples.map((tuple) => tuple[i] as bigint),
      widthOf(kind),
    ),
  }));
  const outputs = entry.test.outputs.map((width) => ({ output: (count * width) / 8 }));
  return {
    code,
    kernel: entry.name,
    grid: String(Math.ceil(count / kBlock)),
    block: String(kBlock),
    args: [...inputs, ...outputs, `u32:${count}`],
  };
}

/** All kernels as one module; when that does not load, each alone, so that one unknown instruction fails one case. */
async function runEach(module: string, target: Target, entries: readonly Prepared[]): Promise<Outcome[]> {
  if (entries.length === 0) return [];
  const device = deviceOf(target);
  const together = await runBatch(
    entries.map((entry) => launchOf(entry, module)),
    { device },
  );
  if (together.every((outcome) => !/PTX|IMAGE|NOT_FOUND/.test(outcome.error?.code ?? ''))) return together;
  return runBatch(
    entries.map((entry) => launchOf(entry, header(target) + entry.kernel)),
    { device },
  );
}

function complaints({ test, tuples }: Prepared, outcome: Outcome | undefined): string[] {
  if (!outcome) return ['the case was not run'];
  if (outcome.error) return [`${outcome.error.code} ${outcome.error.message}`];
  const columns = outcome.outputs.map((bytes, i) => unpack(bytes, test.outputs[i] as number));
  const rows = tuples.map((_, row) => columns.map((column) => column[row] as bigint));
  const wrong = test.judgeWarp ? byWarp(test.judgeWarp, tuples, rows) : byThread(test.judge as Judge, tuples, rows);
  return wrong.length > 4 ? [...wrong.slice(0, 4), `${wrong.length} of ${tuples.length} are wrong`] : wrong;
}

type Rows = readonly (readonly bigint[])[];

const byThread = (judge: Judge, inputs: Rows, outputs: Rows): string[] =>
  inputs.flatMap((tuple, row) => {
    const results = outputs[row] as readonly bigint[];
    const problem = judge(tuple, results);
    return problem === undefined
      ? []
      : [`(${tuple.map(hex).join(', ')}) gave ${results.map(hex).join(' ')}: ${problem}`];
  });

function byWarp(judge: NonNullable<Case['judgeWarp']>, inputs: Rows, outputs: Rows): string[] {
  const warps = Array.from({ length: inputs.length / 32 }, (_, warp) => [warp * 32, warp * 32 + 32] as const);
  return warps.flatMap(([first, last]) => {
    const problem = judge(inputs.slice(first, last), outputs.slice(first, last));
    return problem === undefined ? [] : [`threads ${first} to ${last - 1}: ${problem}`];
  });
}

/** A whole kernel with its own launch, for what one instruction per thread does not show. */
export interface KernelCase {
  readonly name: string;
  readonly target?: Target;
  /** Text of the module without its header; the entry is named `test`. */
  readonly ptx: string;
  readonly launch: Omit<Launch, 'code' | 'kernel'>;
  /** The code with which the launch must fail; then there is nothing to judge. */
  readonly error?: string;
  readonly judge?: ((outputs: readonly Uint8Array[]) => readonly string[]) | undefined;
}

/** Kernels that stand alone together, under names of their own, and the others one by one: starting ptxas takes its time. */
function modulesOf(cases: readonly KernelCase[]): string[] {
  const name = '.visible .entry test(';
  const texts = cases.map((test) => test.ptx.trim());
  const together = texts.filter((text) => text.startsWith(name));
  const joined = together.map((text, i) => `.visible .entry test${i}(${text.slice(name.length)}`).join('\n');
  return [...(joined === '' ? [] : [joined]), ...texts.filter((text) => !text.startsWith(name))];
}

export function kernelSuite(title: string, cases: readonly KernelCase[]): void {
  if (collected) {
    collected.push(...cases.map((test) => test.ptx));
    return;
  }
  describe(title, () => {
    it.skipIf(!ptxas)('is legal PTX', { timeout: 240_000 }, () => {
      const problems = targets.flatMap((target) =>
        modulesOf(cases.filter((test) => (test.target ?? 'sm_80') === target)).map((text) =>
          assemble(header(target) + text, target),
        ),
      );
      expect(problems.filter((text) => text !== '')).toEqual([]);
    });
    describe('results', () => {
      const outcomes = new Map<KernelCase, Outcome>();
      beforeAll(async () => {
        for (const target of targets) {
          const chosen = cases.filter((test) => (test.target ?? 'sm_80') === target);
          if (chosen.length === 0) continue;
          const launches = chosen.map((test) => ({ ...test.launch, code: header(target) + test.ptx, kernel: 'test' }));
          const results = await runBatch(launches, { device: deviceOf(target) });
          chosen.forEach((test, i) => {
            outcomes.set(test, results[i] as Outcome);
          });
        }
      }, 240_000);
      it.each(cases.map((test) => [test.name, test] as const))('%s', (_, test) => {
        const { error, outputs } = outcomes.get(test) as Outcome;
        expect(error && (test.error ? error.code : `${error.code} ${error.message}`)).toBe(test.error);
        expect(test.judge?.(outputs) ?? []).toEqual([]);
      });
    });
  });
}
