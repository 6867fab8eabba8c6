// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { nativePath } from '../../lib/native.js';
import { temporaryFolder } from '../support/folder.js';
import { modelPath } from '../support/models.js';
import { tinyModel } from '../support/tiny-model.js';

const folder = temporaryFolder();
const model = join(folder, 'tiny.gguf');
const chatModel = join(folder, 'chat.gguf');
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

beforeAll(() => {
  tinyModel().writer.write(model);
  tinyModel({ chatTemplate: '{% for m in messages %}{{ m.content }} {% endfor %}', context: 4096 }).writer.write(
    chatModel,
  );
});

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the command line. `onOutput` may signal the process or write to it when something has been printed. */
function run(
  args: string[],
  options: { input?: string; env?: NodeJS.ProcessEnv; onOutput?: (kill: () => void) => void } = {},
): Promise<Outcome> {
  const env = { ...process.env, PAGEWARP_ADDON_PATH: nativePath(), ...options.env };
  const child = spawn(process.execPath, [main, ...args], { env });
  const outcome: Outcome = { code: null, stdout: '', stderr: '' };
  child.stdout.on('data', (data) => {
    outcome.stdout += data;
    options.onOutput?.(() => child.kill('SIGINT'));
  });
  child.stderr.on('data', (data) => {
    outcome.stderr += data;
  });
  child.stdin.end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ ...outcome, code }));
  });
}

describe('pagewarp', () => {
  it('generate writes the prompt and its continuation, and statistics when asked', async () => {
    const plain = await run(['generate', '-m', model, '-n', '20', '--ignore-end', '--stats', 'abc']);
    expect(plain).toMatchObject({ code: 0, stdout: expect.stringMatching(/^abc.+\n$/) });
    expect(plain.stderr).toMatch(/output {3}\d+ tokens/);
    const speculated = await run(['generate', '-m', model, '-n', '20', '--ignore-end', '--speculate', 'lookup', '-'], {
      input: 'abc',
    });
    expect(speculated).toEqual({ code: 0, stdout: plain.stdout, stderr: '' });
    const drafted = await run([
      'generate',
      '-m',
      model,
      '-n',
      '20',
      '--ignore-end',
      '--draft',
      model,
      '--stats',
      'abc',
    ]);
    expect(drafted).toMatchObject({ code: 0, stdout: plain.stdout });
    expect(drafted.stderr).toMatch(
      /drafts {3}\d+ of \d+ tokens accepted \(\d+ %\), [\d.]+ accepted and [\d.]+ emitted per pass in \d+ passes/,
    );
    expect(drafted.stderr).toMatch(/about \d+ ms (saved|lost), \d+ ms spent drafting/);
  });

  it('the demo of package.json writes the text of plain sampling with accepted drafts', async () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: { demo: string } };
    const words = scripts.demo.split(' dist/cli/main.js ')[1]?.match(/"[^"]*"|\S+/g) ?? [];
    const args = [...words.map((word) => word.replaceAll('"', '')), '--device', 'cpu'];
    const [demo, plain] = [await run(args), await run([...args, '--speculate', 'off'])];
    expect(demo).toMatchObject({ code: 0, stdout: plain.stdout });
    const counts = /drafts {3}(\d+) of (\d+) tokens accepted .* in (\d+) passes/.exec(demo.stderr) ?? [];
    const [accepted = 0, drafted = 0, passes = 0] = counts.slice(1).map(Number);
    expect(accepted).toBeGreaterThan(20);
    expect(drafted).toBeLessThanOrEqual(4 * passes);
  });

  it('takes a negative number for the value of the option before it', async () => {
    const common = ['generate', '-m', model, '-n', '4', '-t', '1', '--ignore-end'];
    const spaced = await run([...common, '--seed', '-5', '--presence-penalty', '-.5', 'abc']);
    expect(spaced).toMatchObject({ code: 0, stderr: '' });
    expect(await run([...common, '--seed=-5', '--presence-penalty=-0.5', 'abc'])).toEqual(spaced);
    // After an option without a value, or after "--", it is none.
    expect(await run([...common, '--stats', '-5'])).toMatchObject({ code: 2 });
    const prompt = await run(['generate', '-m', model, '-n', '1', '--', '--seed', '-5']);
    expect(prompt).toMatchObject({ code: 2, stderr: expect.stringMatching(/unexpected argument "-5"/) });
  });

  it('generate --json prints one object', async () => {
    const { stdout, code } = await run(['generate', '--json', '-t', '1', '--seed', '5', '-n', '6', 'ab'], {
      env: { PAGEWARP_MODEL: model },
    });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ seed: '5', usage: { promptTokens: 4 } });
  });

  it('generate stops cleanly at Ctrl-C, with exit code 130', async () => {
    let signalled = false;
    const outcome = await run(['generate', '-m', chatModel, '-n', '4000', '-t', '1', '--ignore-end', 'abc'], {
      onOutput: (kill) => {
        if (!signalled) kill();
        signalled = true;
      },
    });
    expect(outcome).toMatchObject({ code: 130, stderr: '' });
    expect(outcome.stdout.endsWith('\n')).toBe(true);
  });

  it('chat answers line by line', async () => {
    const { code, stdout, stderr } = await run(['chat', '-m', chatModel, '-n', '5', '-t', '0'], { input: 'hi\nho\n' });
    expect(code).toBe(0);
    expect(stdout.split('\n').length).toBe(3);
    expect(stderr).toMatch(/> /);
  });

  it('chat goes on when the context is full, without what did not fit, and begins anew with /clear', async () => {
    const args = ['chat', '-m', chatModel, '--context', '64', '-n', '5', '-t', '0', '--ignore-end'];
    const long = 'a'.repeat(70);
    const { code, stdout, stderr } = await run(args, { input: `hi\n${long}\nho\n/clear\nhi\n` });
    expect(code).toBe(0);
    const [first, refused, second, again, ...rest] = stdout.split('\n');
    expect([refused, again, rest]).toEqual(['', first, ['']]);
    expect(stderr).toMatch(/with it, the conversation has \d+ of 64 tokens.*"\/clear"\.\n/);
    const without = await run(args, { input: 'hi\nho\n' });
    expect(without.stdout).toBe(`${first}\n${second}\n`);
  });

  it.each(['generate', 'chat'])('%s says what is wrong with its options before it loads a model', async (command) => {
    for (const [name, value, message] of [
      ['--temperature', 'abc', /--temperature is "abc", but must be a number/],
      ['--temperature', '-1', /temperature is -1, but must be a number of at least 0/],
      ['--top-p', '2', /topP is 2, but must be a number from 0 to 1/],
      ['--max-draft', '65', /maxDraft is 65, but must be an integer from 1 to 64/],
    ] as const) {
      const failed = await run([command, '-m', join(folder, 'absent'), name, value], { input: 'hi\n' });
      expect(failed).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(message) });
      expect(failed.stderr).not.toMatch(/^> /);
    }
  });

  it('an error is on a line of its own after a text that was begun', async () => {
    const full = await run(['generate', '-m', model, 'a'.repeat(200)]);
    expect(full).toMatchObject({ code: 1, stdout: `${'a'.repeat(200)}\n` });
    expect(full.stderr).toMatch(/^pagewarp: .*no room for output.*\[ERR_CONTEXT_OVERFLOW\]\n$/);
  });

  it('inspect shows a file, as text and as JSON', async () => {
    const { stdout } = await run(['inspect', model, '--tensors']);
    expect(stdout).toMatch(/llama, 0\.0 M parameters/);
    expect(stdout).toMatch(/blk\.1\.ffn_down\.weight F32 \[32, 48\]/);
    const report = JSON.parse((await run(['inspect', '--json', '-m', model])).stdout);
    expect(report).toMatchObject({ config: { architecture: 'llama', layers: 2 }, types: { F32: { tensors: 21 } } });
    expect(report.memory.total).toBeGreaterThan(report.memory.weights);
    const hf = await run(['inspect', modelPath('demo', 'draft-hf') as string]);
    expect(hf.stdout).toMatch(
      /Hugging Face folder[\s\S]*llama, 0\.9 M parameters[\s\S]*memory: [\s\S]*hidden_size = 128/,
    );
  });

  it('quantize makes a model smaller, perplexity measures it', async () => {
    const [text, output] = [join(folder, 'text.txt'), join(folder, 'small.gguf')];
    writeFileSync(text, 'abc def abc def abc');
    const args = ['--type', 'q8_0', '--calibration', text, '--evaluate', text];
    const made = await run(['quantize', model, output, ...args]);
    expect(made).toMatchObject({ code: 0, stderr: '' });
    expect(made.stdout).toMatch(/blk\.1\.attn_q\.weight {2}q8_0 {2}error \d\.\d+ %/);
    expect(made.stdout).toMatch(/perplexity \d+\.\d+ before, \d+\.\d+ after/);
    const measured = await run(['perplexity', '-m', output, '--text', text, '--json']);
    expect(JSON.parse(measured.stdout)).toMatchObject({ tokens: expect.any(Number), perplexity: expect.any(Number) });
    expect(await run(['quantize', model])).toMatchObject({ code: 2 });
    expect(await run(['perplexity', '-m', model])).toMatchObject({ code: 2 });
    expect(await run(['perplexity', '-m', model, '--text', join(folder, 'absent')])).toMatchObject({ code: 1 });
  });

  it('doctor says which binary was loaded and why', async () => {
    const { stdout, code } = await run(['doctor', '--json']);
    expect(code).toBe(0);
    const diagnosis = JSON.parse(stdout);
    expect(diagnosis.binary).toMatchObject({ path: nativePath(), reason: 'PAGEWARP_ADDON_PATH names it' });
    expect(diagnosis.devices.some((device: { kind: string }) => device.kind === 'cpu')).toBe(true);
    const broken = await run(['doctor'], { env: { PAGEWARP_ADDON_PATH: model } });
    expect(broken.code).toBe(1);
    expect(broken.stdout).toMatch(/cannot load the binary that PAGEWARP_ADDON_PATH names: .*\[ERR_NATIVE_NOT_FOUND\]/);
  });

  it('prints message and code of an error, the stack only with --debug', async () => {
    const failed = await run(['generate', '-m', main, 'abc']);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/^pagewarp: .*main\.js: not a GGUF file.* \[ERR_INVALID_MODEL\]\n$/);
    expect((await run(['generate', '-m', main, '--debug', 'abc'])).stderr).toMatch(/\n {4}at /);
  });

  it('takes empty environment variables for unset ones', async () => {
    const env = { PAGEWARP_CPU_ISA: '', PAGEWARP_MODEL: '' };
    expect(await run(['generate', '-m', model, '-n', '1', 'a'], { env })).toMatchObject({ code: 0 });
    expect((await run(['generate', '-n', '1', 'a'], { env })).stderr).not.toMatch(/path is/);
  });

  it('computes with the instruction set that PAGEWARP_CPU_ISA names', async () => {
    const on = (isa: string): Promise<Outcome> =>
      run(['generate', '-m', model, '-n', '2', '--stats', 'a'], { env: { PAGEWARP_CPU_ISA: isa } });
    expect((await on('portable')).stderr).toMatch(/, portable, \d+ thread/);
    expect(await on('sse2')).toMatchObject({ code: 2, stderr: expect.stringMatching(/PAGEWARP_CPU_ISA is "?sse2/) });
  });

  it('prints no control characters of a file', async () => {
    const hostile = join(folder, 'hostile.gguf');
    tinyModel({ architecture: 'llama' }).writer.value('general.name', 'string', '\u001b[31mred').write(hostile);
    const { stdout, code } = await run(['inspect', hostile]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\ufffd\[31mred: llama/m);
    expect(stdout).not.toContain('\u001b');
  });

  it('answers mistakes with exit code 2', async () => {
    expect(await run(['generate', '-m', model, '--top-p', '3', 'a'])).toMatchObject({ code: 2, stdout: '' });
    expect(await run(['generate', '-m', model, '--max-draft', '0', 'a'])).toMatchObject({ code: 2, stdout: '' });
    const negative = await run(['generate', '-m', model, '-n', '-1', 'a']);
    expect(negative).toMatchObject({ code: 2, stderr: expect.stringMatching(/maxTokens is -1, but must be/) });
    expect(await run(['generate', '--wat'])).toMatchObject({ code: 2, stdout: '' });
    expect(await run(['generate', '-n', 'many', '-m', model])).toMatchObject({ code: 2 });
    expect(await run(['doctor', 'now'])).toMatchObject({ code: 2, stderr: expect.stringMatching(/argument "now"/) });
    expect(await run(['inspect', '--cache-type', 'f17', model])).toMatchObject({ code: 2, stdout: '' });
    expect(await run(['fly'])).toMatchObject({ code: 2, stderr: expect.stringMatching(/no command "fly"/) });
    expect(await run([])).toMatchObject({ code: 2 });
    expect(await run(['--help'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/pagewarp generate/) });
  });
});
