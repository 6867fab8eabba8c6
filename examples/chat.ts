// SPDX-License-Identifier: Apache-2.0
// A conversation with an instruction-tuned model, which brings its own chat template.
//   npx tsx examples/chat.ts model.gguf
// In a project of your own, import from 'pagewarp'.
import { createInterface } from 'node:readline/promises';
import { type ChatMessage, load, PagewarpError } from '../lib/index.js';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: npx tsx examples/chat.ts model.gguf');

await using model = await load(path);
const messages: ChatMessage[] = [{ role: 'system', content: 'Answer in one sentence.' }];
const terminal = createInterface({ input: process.stdin });
process.stdout.write('> ');
for await (const line of terminal) {
  messages.push({ role: 'user', content: line });
  try {
    const answer = model.chat(messages, { maxTokens: 300, temperature: 0.7 });
    for await (const { text } of answer) process.stdout.write(text);
    messages.push({ role: 'assistant', content: (await answer.result).text });
  } catch (error) {
    if (!(error instanceof PagewarpError)) throw error;
    console.error(`${error.message} [${error.code}]`);
    break;
  }
  process.stdout.write('\n> ');
}
terminal.close();
