// SPDX-License-Identifier: Apache-2.0
import type { Generation } from '../generate/generation.js';
import type { GenerateResult } from '../generate/result.js';
import { type LoadOptions, load } from '../model/load.js';
import type { LanguageModel } from '../model/model.js';
import type { Device } from '../tensor/device.js';

/** A progress bar on stderr, where that is a terminal; elsewhere it shows nothing. */
export class ProgressBar implements Disposable {
  #shown = '';

  /** @param text what follows the bar */
  show(label: string, done: number, total: number, text: string): void {
    if (!process.stderr.isTTY) return;
    const width = 30;
    const filled = Math.floor((width * done) / Math.max(1, total));
    const line = `${label} [${'#'.repeat(filled)}${'.'.repeat(width - filled)}] ${text}`;
    if (line === this.#shown) return;
    this.#shown = line;
    process.stderr.write(`\r\u001b[K${line}`);
  }

  [Symbol.dispose](): void {
    if (this.#shown !== '') process.stderr.write('\r\u001b[K');
  }
}

/** Loads a model with a progress bar. */
export async function loadWithProgress(path: string, options: LoadOptions): Promise<LanguageModel> {
  using bar = new ProgressBar();
  return await load(path, {
    ...options,
    onProgress: ({ loadedBytes, totalBytes }) =>
      bar.show('loading', loadedBytes, totalBytes, `${bytes(loadedBytes)} of ${bytes(totalBytes)}`),
  });
}

/** Text from a file, without control characters that a terminal would obey. */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, '\ufffd');
}

/** "1.2 GB" */
export function bytes(count: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3));
  return unit === 0 ? `${count} B` : `${(count / 1000 ** unit).toFixed(1)} ${units[unit]}`;
}

function describeDevice({ kind, name, isa, threads, capability }: Device): string {
  if (kind === 'cuda') return `${name}, sm_${capability}, ${threads} multiprocessors`;
  return `${name}, ${isa}, ${threads} thread${threads === 1 ? '' : 's'}`;
}

/** What `--stats` prints. */
export function statistics(model: LanguageModel, result: GenerateResult): string {
  const { usage, timings, speculation } = result;
  const { device } = model;
  const lines = [
    `${describeDevice(device)} (${model.deviceReason})`,
    `prompt   ${usage.promptTokens} tokens (${usage.cachedTokens} cached), ${timings.prefillRate.toFixed(1)} tokens/s, ` +
      `first token after ${(1000 * timings.timeToFirstToken).toFixed(1)} ms`,
    `output   ${usage.completionTokens} tokens, ${timings.decodeRate.toFixed(1)} tokens/s, seed ${result.seed}, ` +
      `ended by ${result.finishReason}`,
  ];
  if (speculation) {
    const { drafted, accepted, acceptanceRate, passes, plainSteps, meanEmittedLength, timeSaved } = speculation;
    lines.push(
      `drafts   ${accepted} of ${drafted} tokens accepted (${(100 * acceptanceRate).toFixed(0)} %), ` +
        `${(meanEmittedLength && meanEmittedLength - 1).toFixed(2)} accepted and ${meanEmittedLength.toFixed(2)} emitted per pass ` +
        `in ${passes} passes, ${plainSteps} steps without a draft`,
    );
    if (timeSaved !== undefined) {
      const times = `${Math.abs(1000 * timeSaved).toFixed(0)} ms ${timeSaved < 0 ? 'lost' : 'saved'}`;
      lines.push(`         about ${times}, ${(1000 * speculation.draftTime).toFixed(0)} ms spent drafting`);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** Writes a text and its continuation as that comes, and ends the line: also when it is cut short, or an error follows. */
export async function writeText(begin: string, continuation: Generation): Promise<void> {
  process.stdout.write(begin);
  try {
    for await (const { text } of continuation) process.stdout.write(text);
  } finally {
    process.stdout.write('\n');
  }
}

/** Calls back on the first Ctrl-C; a second one ends the process as usual. */
export function onInterrupt(callback: () => void): () => void {
  process.once('SIGINT', callback);
  return () => process.off('SIGINT', callback);
}
