// SPDX-License-Identifier: Apache-2.0
import { createInterface } from 'node:readline/promises';
import { PagewarpError } from '../errors.js';
import type { GenerateOptions } from '../generate/options.js';
import type { GenerateResult } from '../generate/result.js';
import type { LanguageModel } from '../model/model.js';
import { type ChatMessage, requireTemplate } from '../tokenizer/template.js';
import {
  Arguments,
  deviceOptions,
  generateOptions,
  loadOptions,
  modelOptions,
  modelPath,
  samplingOptions,
} from './arguments.js';
import { loadWithProgress, statistics, writeText } from './terminal.js';

export const chatUsage = `pagewarp chat [options]

A conversation, with the model's own chat template. Ctrl-C stops an answer; Ctrl-D or an empty line ends the conversation.
A line "/clear" begins a new one.

      --system TEXT        instructions for the model
  and the options of "pagewarp generate" (temperature 0.7 by default)
`;

/** @returns the exit code */
export async function chat(args: readonly string[]): Promise<number> {
  const options = { ...modelOptions, ...deviceOptions, ...samplingOptions, system: { type: 'string' as const } };
  const parsed = new Arguments(args, options);
  if (parsed.flag('help')) {
    process.stdout.write(chatUsage);
    return 0;
  }
  const how: GenerateOptions = { temperature: 0.7, ...generateOptions(parsed) };
  await using model = await loadWithProgress(modelPath(parsed), loadOptions(parsed));
  requireTemplate(model.tokenizer);
  const system = parsed.text('system');
  const beginning: ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: system }];
  let messages = beginning;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  let answering: AbortController | undefined;
  let interrupted = false;
  terminal.on('SIGINT', () => {
    if (answering) answering.abort();
    else {
      interrupted = true;
      terminal.close();
    }
  });
  process.stderr.write('> ');
  try {
    for await (const line of terminal) {
      if (line.trim() === '') break;
      if (line.trim() === '/clear') messages = beginning;
      else {
        answering = new AbortController();
        const asked: ChatMessage[] = [...messages, { role: 'user', content: line }];
        const result = await answer(model, asked, { ...how, signal: answering.signal });
        answering = undefined;
        if (result) messages = [...asked, { role: 'assistant', content: result.text }];
        if (result && parsed.flag('stats')) process.stderr.write(statistics(model, result));
      }
      process.stderr.write('> ');
    }
  } finally {
    terminal.close();
  }
  process.stderr.write('\n');
  return interrupted ? 130 : 0;
}

/**
 * Streams one answer.
 * @returns what there is of it, also when it is cut short; undefined when the context has no room for one, which is said
 */
async function answer(
  model: LanguageModel,
  messages: readonly ChatMessage[],
  options: GenerateOptions,
): Promise<GenerateResult | undefined> {
  const generation = model.chat(messages, options);
  try {
    await writeText('', generation);
  } catch (error) {
    if (error instanceof PagewarpError && error.code === 'ERR_CONTEXT_OVERFLOW') {
      const { tokens, contextLength } = error.details;
      process.stderr.write(
        `This does not fit any more: with it, the conversation has ${tokens} of ${contextLength} tokens. ` +
          'Say something shorter, or begin a new one with "/clear".\n',
      );
      return undefined;
    }
    if (!options.signal?.aborted) throw error;
  }
  return await generation.result;
}
