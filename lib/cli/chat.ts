// SPDX-License-Identifier: Apache-2.0
import { createInterface } from 'node:readline/promises';
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
import { loadWithProgress, statistics } from './terminal.js';

export const chatUsage = `pagewarp chat [options]

A conversation, with the model's own chat template. Ctrl-C stops an answer; Ctrl-D or an empty line ends the conversation.

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
  await using model = await loadWithProgress(modelPath(parsed), loadOptions(parsed));
  requireTemplate(model.tokenizer);
  const system = parsed.text('system');
  const messages: ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: system }];
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
      messages.push({ role: 'user', content: line });
      answering = new AbortController();
      messages.push(await answer(model, messages, parsed, answering.signal));
      answering = undefined;
      process.stderr.write('> ');
    }
  } finally {
    terminal.close();
  }
  process.stderr.write('\n');
  return interrupted ? 130 : 0;
}

/** Streams one answer; when it is cut short, what there is of it. */
async function answer(
  model: LanguageModel,
  messages: readonly ChatMessage[],
  args: Arguments,
  signal: AbortSignal,
): Promise<ChatMessage> {
  const generation = model.chat(messages, { temperature: 0.7, ...generateOptions(args), signal });
  try {
    for await (const chunk of generation) process.stdout.write(chunk.text);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  process.stdout.write('\n');
  const result = await generation.result;
  if (args.flag('stats')) process.stderr.write(statistics(model, result));
  return { role: 'assistant', content: result.text };
}
