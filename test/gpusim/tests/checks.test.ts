// SPDX-License-Identifier: Apache-2.0
// Every check finds its planted bug, at the source line that carries its marker, under every seed, and says nothing of
// the correct twin. A run is a function of its seed.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pack } from './cases.js';
import { hasTool, type Launch, type Outcome, programsBuild, programsFolder, runBatch, runProgram } from './runner.js';

interface Planted {
  readonly name: string;
  readonly file: string;
  /** What the report says. */
  readonly says: RegExp;
  readonly launch: Omit<Launch, 'code' | 'kernel' | 'seed'>;
  /** The twin's launch where it differs. */
  readonly twin?: Partial<Omit<Launch, 'code' | 'kernel'>>;
  /** No marker: the line is not one of the kernel's own. */
  readonly unplaced?: boolean;
}

const numbers = pack(
  Array.from({ length: 32 }, (_, i) => BigInt(i)),
  32,
);
const inOut = [{ input: numbers }, { output: 128 }, 'u32:32'] as const;
const memory = (name: string, says: RegExp, extra: Partial<Planted> = {}): Planted => ({
  name,
  file: 'memory_bugs',
  says,
  launch: { args: inOut },
  ...extra,
});
const race = (name: string, says: RegExp, blocks = 2, twin?: Planted['twin']): Planted => ({
  name,
  file: 'race_bugs',
  says,
  launch: { grid: String(blocks), block: '64', args: [{ inout: new Uint8Array(2048) }] },
  ...(twin ? { twin } : {}),
});
const barrier = (name: string, says: RegExp, threads = 64): Planted => ({
  name,
  file: 'barrier_bugs',
  says,
  launch: { block: String(threads), args: [{ output: threads * 4 }] },
});

const planted: readonly Planted[] = [
  memory('over', /out.of.bounds|beyond|outside/i),
  memory('under', /out.of.bounds|before|outside/i),
  memory('null', /out.of.bounds|null|outside|not.*alloc/i),
  memory('misaligned', /misaligned|align/i),
  memory('vector', /misaligned|align/i),
  memory('uninitialised_global', /uninitiali[sz]ed/i, {
    launch: { args: ['uninit:128', { output: 128 }, 'u32:32'] },
    twin: { args: ['zero:128', { output: 128 }, 'u32:32'] },
  }),
  memory('uninitialised_shared', /uninitiali[sz]ed/i),
  memory('uninitialised_local', /uninitiali[sz]ed/i),
  memory('shared_bounds', /shared/i, { launch: { shared: 128, args: inOut } }),
  memory('local_bounds', /local|stack/i),
  memory('stack', /stack/i, { unplaced: true }),
  memory('const_write', /const|read.only|outside|out.of.bounds/i),
  memory('param_write', /param|read.only|outside|out.of.bounds/i, {
    launch: { args: [{ input: numbers }, { output: 128 }, `bytes:${'01000000'.repeat(8)}`] },
  }),
  memory('early_copy', /uninitiali[sz]ed|cp\.async|in flight|pending/i),
  memory('assert', /assert/i, { unplaced: true }),
  race('write_write', /race/i),
  race('read_after_write', /race/i),
  race('write_after_read', /race/i),
  race('counter', /race/i),
  race('global_write', /race/i),
  race('global_read', /race/i),
  race('volatile_read', /race/i),
  race('copied_by_another', /race|in flight|uninitiali[sz]ed|cp\.async/i),
  barrier('divergent', /barrier/i),
  barrier('counts', /barrier/i),
  barrier('deadlock', /barrier|deadlock/i),
  barrier('shuffle', /lane|mask|shfl/i),
  barrier('caller', /lane|mask|shfl/i),
  barrier('vote', /lane|mask|vote/i),
  barrier('warp_barrier', /lane|mask|bar\.warp/i),
  barrier('matrix', /lane|mask|mma/i, 32),
  barrier('matrix_read', /race/i, 32),
];

/** Lines that carry the marker `// BUG name`. */
function markers(file: string, name: string): number[] {
  const lines = readFileSync(join(programsFolder, 'bugs', `${file}.cu`), 'utf8').split('\n');
  return lines.flatMap((line, i) => (new RegExp(`// BUG ${name}\\b(?!_)`).test(line) ? [i + 1] : []));
}

const seeds = [0, 1, 12345];
const nvcc = hasTool('nvcc');
const code = (file: string): string => join(programsBuild, `${file}.fatbin`);
const buggy = planted.map(({ name, file, launch }): Launch => ({ ...launch, code: code(file), kernel: `${name}_bug` }));
const twins = planted.map(
  ({ name, file, launch, twin }): Launch => ({ ...launch, ...twin, code: code(file), kernel: `${name}_ok` }),
);

function* zip<A, B>(a: readonly A[], b: readonly B[]): Generator<readonly [A, B]> {
  for (let i = 0; i < a.length; ++i) yield [a[i] as A, b[i] as B];
}

describe.skipIf(!nvcc)('planted device bugs', () => {
  const reported = new Map<Planted, Outcome[]>();
  const silent = new Map<Planted, Outcome[]>();
  beforeAll(async () => {
    for (const seed of seeds) {
      const outcomes = await runBatch([...buggy, ...twins].map((launch) => ({ ...launch, seed })));
      for (const [bug, outcome] of zip(planted, outcomes.slice(0, planted.length)))
        reported.set(bug, [...(reported.get(bug) ?? []), outcome]);
      for (const [bug, outcome] of zip(planted, outcomes.slice(planted.length)))
        silent.set(bug, [...(silent.get(bug) ?? []), outcome]);
    }
  }, 240_000);

  it.each(planted.map((bug) => [bug.name, bug] as const))(
    '%s is found at its line, and its twin is silent',
    (_, bug) => {
      const lines = markers(bug.file, bug.name);
      if (!bug.unplaced) expect(lines.length).toBeGreaterThan(0);
      for (const outcome of reported.get(bug) ?? []) {
        expect(outcome.error?.message ?? 'no report').toMatch(bug.says);
        if (bug.unplaced) continue;
        const places = [...(outcome.error?.message ?? '').matchAll(new RegExp(`${bug.file}\\.cu:(\\d+)`, 'g'))].map(
          (match) => Number(match[1]),
        );
        // Inlined code is reported at its own line and at those of its callers; one of them carries the marker.
        const found = places.some((line) => lines.includes(line));
        expect(found, `${places} in ${outcome.error?.message}`).toBe(true);
      }
      for (const outcome of silent.get(bug) ?? []) expect(outcome.error).toBeUndefined();
    },
  );

  it('says nothing and fails nothing when the checks are off, except what a device itself refuses', async () => {
    const launches = planted.flatMap((bug, i) =>
      /^(uninitialised_global|write_write|global_write)$/.test(bug.name) ? [buggy[i] as Launch] : [],
    );
    const outcomes = await runBatch(launches, { environment: { GPUSIM_CHECK: 'none' } });
    expect(outcomes.map((outcome) => outcome.error)).toEqual(launches.map(() => undefined));
  });
});

/** What a GPU itself refuses, by the code that it gives. */
const faults: Readonly<Record<string, string>> = {
  over: 'CUDA_ERROR_ILLEGAL_ADDRESS',
  under: 'CUDA_ERROR_ILLEGAL_ADDRESS',
  null: 'CUDA_ERROR_ILLEGAL_ADDRESS',
  misaligned: 'CUDA_ERROR_MISALIGNED_ADDRESS',
  vector: 'CUDA_ERROR_MISALIGNED_ADDRESS',
  shared_bounds: 'CUDA_ERROR_ILLEGAL_ADDRESS',
  local_bounds: 'CUDA_ERROR_ILLEGAL_ADDRESS',
  stack: 'CUDA_ERROR_HARDWARE_STACK_ERROR',
  const_write: 'CUDA_ERROR_ILLEGAL_ADDRESS',
  param_write: 'CUDA_ERROR_ILLEGAL_ADDRESS',
  assert: 'CUDA_ERROR_ASSERT',
  counts: 'CUDA_ERROR_LAUNCH_TIMEOUT',
  deadlock: 'CUDA_ERROR_LAUNCH_TIMEOUT',
};

describe.skipIf(!nvcc)('without GPUSIM_STRICT', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gpusim-hazards-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('launches end as on a GPU, and hazards are reported once, with their number', async () => {
    const log = join(folder, 'log');
    const outcomes = await runBatch([...buggy, ...buggy], { environment: { GPUSIM_STRICT: '0', GPUSIM_LOG: log } });
    const codes = outcomes.map((outcome) => outcome.error?.code);
    const expected = planted.map(({ name }) => faults[name]);
    expect(codes).toEqual([...expected, ...expected]);
    const report = readFileSync(log, 'utf8');
    for (const { name } of planted.filter(({ name }) => !(name in faults))) {
      const kernel = `${name}_bug`;
      expect(report.match(new RegExp(`in kernel ${kernel}, block`, 'g')) ?? [], kernel).not.toEqual([]);
      expect(report, kernel).toMatch(new RegExp(`in all \\d+ times in 2 launches: .* in kernel ${kernel} at `));
    }
  });

  it('refuses a value that it does not know', async () => {
    const result = await runProgram('host_bugs', ['leak_ok'], { GPUSIM_DEVICE: 'small', GPUSIM_STRICT: 'yes' });
    expect(result.status).not.toBe(0);
    expect(result.output).toContain("GPUSIM_STRICT: 'yes' (allowed: 0, 1)");
  });
});

describe.skipIf(!nvcc)('one seed, one run', () => {
  it.each(seeds)('seed %i gives the same results and reports twice', { timeout: 240_000 }, async (seed) => {
    const launches = [...buggy, ...twins].map((launch) => ({ ...launch, seed }));
    const [first, second] = [await runBatch(launches), await runBatch(launches)];
    expect(second).toEqual(first);
  });
});

describe.skipIf(!nvcc)('planted host bugs', () => {
  const environment = { GPUSIM_DEVICE: 'small', GPUSIM_LOG: '-' };
  const run = (mode: string) => runProgram('host_bugs', [mode], environment);

  it.each([
    ['use_after_free', 3, /free/i],
    ['use_after_async_free', 3, /free/i],
    ['double_free', 3, /free|not.*alloc|invalid/i],
    ['invalid_free', 3, /free|not.*alloc|invalid/i],
    ['leak', 0, /leak/i],
    ['host_touch', 'SIGSEGV', /^/],
    ['stale_result', 3, /^/],
    ['host_bounds', 3, /^/],
  ] as const)('%s is found', { timeout: 120_000 }, async (mode, status, says) => {
    const result = await run(mode);
    expect(`${result.status}`).toBe(`${status}`);
    expect(result.output).toMatch(says);
  });

  it('use_after_free names the source line', async () => {
    const [line] = markers('host_bugs', 'increment');
    expect((await run('use_after_free')).output).toContain(`host_bugs.cu:${line}`);
  });

  it.each([
    'use_after_free',
    'use_after_async_free',
    'double_free',
    'invalid_free',
    'leak',
    'host_touch',
    'stale_result',
    'host_bounds',
  ])('the twin of %s is silent', { timeout: 120_000 }, async (mode) => {
    const result = await run(`${mode}_ok`);
    expect(`${result.status} ${result.output}`).toBe('0 ');
  });
});
