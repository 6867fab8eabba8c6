// SPDX-License-Identifier: Apache-2.0
// The only module that knows the simulator's command line. Everything else says which kernel runs on which bytes.
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
export const buildFolder = process.env.GPUSIM_BUILD ?? join(root, 'build/gpusim');
export const programsFolder = join(root, 'test/gpusim/programs');
export const programsBuild = process.env.GPUSIM_PROGRAMS_BUILD ?? join(root, 'build/gpusim-programs');
const tool = join(buildFolder, 'gpusim');

/** A kernel parameter: a scalar in the tool's notation (`u32:7`), a buffer that is read, one that is returned, or both. */
export type Argument =
  | string
  | { readonly input: Uint8Array }
  | { readonly output: number }
  | { readonly inout: Uint8Array };

export interface Launch {
  /** PTX text, or the path of a PTX file or fatbin. */
  readonly code: string;
  readonly kernel: string;
  readonly grid?: string;
  readonly block?: string;
  /** Dynamic shared memory in bytes. */
  readonly shared?: number;
  readonly cooperative?: boolean;
  readonly seed?: number;
  readonly args: readonly Argument[];
}

/** `error` is undefined after a successful launch, else the CUDA error's name and the report. */
export interface Outcome {
  readonly error?: { readonly code: string; readonly message: string };
  /** The returned buffers, in the order of the arguments. */
  readonly outputs: readonly Uint8Array[];
}

export interface BatchOptions {
  /** Device model; `small` is sm_80, `small89` is sm_89. */
  readonly device?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

const quote = (word: string): string => (/[\s"]/.test(word) ? `"${word}"` : word);

/** Runs every launch in one process of the simulator, where every finding fails it. A failed launch does not disturb the next. */
export async function runBatch(launches: readonly Launch[], options: BatchOptions = {}): Promise<Outcome[]> {
  const folder = mkdtempSync(join(tmpdir(), 'gpusim-'));
  try {
    const files = new Map<string, string>();
    const codeFile = (code: string): string => {
      if (!code.includes('.version')) return code;
      const path = files.get(code) ?? join(folder, `module${files.size}.ptx`);
      if (!files.has(code)) writeFileSync(path, code);
      files.set(code, path);
      return path;
    };
    const outputs: string[][] = [];
    const lines = launches.map((launch, index) => {
      const paths: string[] = [];
      const argument = (arg: Argument, position: number): string => {
        const path = join(folder, `${index}.${position}`);
        if (typeof arg === 'string') return arg;
        if ('input' in arg) {
          writeFileSync(path, arg.input);
          return `in:${path}`;
        }
        paths.push(`${path}.out`);
        if ('output' in arg) return `out:${path}.out:${arg.output}`;
        writeFileSync(path, arg.inout);
        return `inout:${path}:${path}.out`;
      };
      const words = [codeFile(launch.code), '--kernel', launch.kernel, '--grid', launch.grid ?? '1'];
      words.push('--block', launch.block ?? '32');
      if (launch.shared !== undefined) words.push('--shared', String(launch.shared));
      if (launch.cooperative) words.push('--cooperative');
      if (launch.seed !== undefined) words.push('--seed', String(launch.seed));
      launch.args.forEach((arg, position) => {
        words.push('--arg', argument(arg, position));
      });
      outputs.push(paths);
      return words.map(quote).join(' ');
    });
    const list = join(folder, 'batch.txt');
    writeFileSync(list, `${lines.join('\n')}\n`);
    const answers = await answer(list, options);
    if (answers.length !== launches.length) {
      throw new Error(
        `the simulator answered ${answers.length} of ${launches.length} launches:\n${answers.at(-1) ?? ''}`,
      );
    }
    return answers.map((line, index) => {
      const failure = /^error (\S+) ?(.*)$/.exec(line);
      if (failure) return { error: { code: failure[1] as string, message: failure[2] as string }, outputs: [] };
      return { outputs: (outputs[index] as string[]).map((path) => readFileSync(path)) };
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function answer(list: string, { device = 'small', environment = {} }: BatchOptions): Promise<string[]> {
  const env = { ...process.env, GPUSIM_STRICT: '1', GPUSIM_DEVICE: device, ...environment };
  return new Promise((done, fail) => {
    execFile(tool, ['batch', list], { env, maxBuffer: 1 << 28, timeout: 180_000 }, (problem, stdout, stderr) => {
      const lines = stdout.split('\n').filter((line) => line !== '');
      const died = problem !== null && (problem.killed || problem.signal || problem.code === 'ENOENT');
      if (died) fail(new Error(`${problem.message}\nafter ${lines.length} launches\n${stderr.slice(-2000)}`));
      else done(lines);
    });
  });
}

/** Whether `name` can be executed; tests that need an absent CUDA tool say so in one line and are skipped. */
export function hasTool(name: 'nvcc' | 'ptxas' | 'ninja'): boolean {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    console.log(`gpusim tests: ${name} is not on the path; what needs it is skipped`);
    return false;
  }
}

/** What ptxas says of the PTX: nothing when it is legal. */
export function assemble(ptx: string, target: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'gpusim-ptxas-'));
  try {
    writeFileSync(join(folder, 'module.ptx'), ptx);
    execFileSync('ptxas', ['-arch', target, '-O0', '-o', join(folder, 'module.cubin'), join(folder, 'module.ptx')], {
      stdio: 'pipe',
    });
    return '';
  } catch (problem) {
    return String((problem as { stderr?: Buffer }).stderr ?? problem);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface ProgramResult {
  /** Exit status, or the signal that ended it. */
  readonly status: number | string;
  readonly output: string;
}

/** Runs a program of programs/ against the simulator's libcuda.so.1, where every finding fails a launch. */
export function runProgram(
  name: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<ProgramResult> {
  const paths = [buildFolder, process.env.LD_LIBRARY_PATH].filter(Boolean).join(':');
  // A simulator that was built with a sanitizer needs the sanitizer's runtime in the program, too.
  const preload = process.env.GPUSIM_PRELOAD ? { LD_PRELOAD: process.env.GPUSIM_PRELOAD } : {};
  const env = { ...process.env, GPUSIM_STRICT: '1', LD_LIBRARY_PATH: paths, ...preload, ...environment };
  return new Promise((done) => {
    execFile(
      join(programsBuild, name),
      args,
      { env, timeout: 120_000, maxBuffer: 1 << 26 },
      (problem, stdout, stderr) => {
        const code = problem ? (problem.signal ?? problem.code ?? 'failed') : 0;
        done({ status: code, output: `${stdout}${stderr}` });
      },
    );
  });
}
