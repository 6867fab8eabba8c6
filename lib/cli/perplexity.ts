// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises';
import { unreadable } from '../errors.js';
import { perplexity as measure } from '../quant/perplexity.js';
import { Arguments, deviceOptions, loadOptions, modelOptions, modelPath, UsageError } from './arguments.js';
import { loadWithProgress, onInterrupt, ProgressBar } from './terminal.js';

export const perplexityUsage = `pagewarp perplexity --text FILE [options]

Says how well a model predicts a text: exp of the mean negative log-likelihood of a token.

  -m, --model PATH         GGUF file or folder (default: $PAGEWARP_MODEL, else the demo model)
      --text FILE          the text, UTF-8
      --window N           tokens of a window (default: the model's context, at most 512)
      --windows N          score only the first N windows
      --threads N  --isa portable|avx2|avx512|amx
      --context N  --cache-type f16|f32|bf16|i8|fp8e4m3|i4  --chunk N
      --json               the result as one JSON object
`;

const options = {
  text: { type: 'string' as const },
  window: { type: 'string' as const },
  windows: { type: 'string' as const },
  json: { type: 'boolean' as const },
};

/** @returns the exit code */
export async function perplexity(args: readonly string[]): Promise<number> {
  const parsed = new Arguments(args, { ...modelOptions, ...deviceOptions, ...options });
  if (parsed.flag('help')) {
    process.stdout.write(perplexityUsage);
    return 0;
  }
  const text = await readText(parsed, 'text');
  if (text === undefined) throw new UsageError('no text: name a file with --text');
  const controller = new AbortController();
  const release = onInterrupt(() => controller.abort());
  const { signal } = controller;
  try {
    await using model = await loadWithProgress(modelPath(parsed), { ...loadOptions(parsed), signal });
    using bar = new ProgressBar();
    const [window, windows] = [parsed.number('window'), parsed.number('windows')];
    const result = await measure(model, text, {
      ...(window === undefined ? {} : { window }),
      ...(windows === undefined ? {} : { windows }),
      signal,
      onProgress: ({ windows: done, totalWindows, perplexity: value }) =>
        bar.show('scoring', done, totalWindows, `${done} of ${totalWindows} windows, ${value.toFixed(3)} so far`),
    });
    bar[Symbol.dispose]();
    const line = `perplexity ${result.perplexity.toFixed(4)} (${result.loss.toFixed(4)} nats a token, ${result.tokens} tokens)`;
    process.stdout.write(`${parsed.flag('json') ? JSON.stringify(result) : line}\n`);
    return 0;
  } catch (error) {
    if (!signal.aborted) throw error;
    return 130;
  } finally {
    release();
  }
}

/** The contents of the file that an option names. @throws PagewarpError ERR_IO */
export async function readText(args: Arguments, name: string): Promise<string | undefined> {
  const path = args.text(name);
  if (path === undefined) return undefined;
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw unreadable(path, error);
  }
}
