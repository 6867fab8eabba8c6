#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
import { createRequire } from 'node:module';
import { PagewarpError } from '../errors.js';
import { isUsage } from './arguments.js';
import { chat } from './chat.js';
import { doctor } from './doctor.js';
import { generate } from './generate.js';
import { inspect } from './inspect.js';
import { perplexity } from './perplexity.js';
import { quantize } from './quantize.js';
import { printable } from './terminal.js';

const usage = `pagewarp: LLM inference in Node.js

  pagewarp generate [options] [prompt]   write text
  pagewarp chat [options]                talk to a model
  pagewarp inspect [path]                look into a model file or folder
  pagewarp quantize MODEL OUTPUT         make a model smaller
  pagewarp perplexity [options]          how well a model predicts a text
  pagewarp doctor                        what works on this machine
  pagewarp <command> --help              its options

--debug prints stacks with errors.
`;

type Command = (args: readonly string[]) => number | Promise<number>;

const commands: Readonly<Record<string, Command>> = { generate, chat, inspect, quantize, perplexity, doctor };

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === '--version' || name === '-v') {
    const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
    process.stdout.write(`${version}\n`);
    return 0;
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    (name === undefined ? process.stderr : process.stdout).write(usage);
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) {
    process.stderr.write(`pagewarp: there is no command "${name}"\n\n${usage}`);
    return 2;
  }
  return command(args);
}

/** Message and code; the stack only when asked for. @returns the exit code */
function report(error: unknown, debug: boolean): number {
  const code = error instanceof PagewarpError ? ` [${error.code}]` : '';
  const text = error instanceof Error ? (debug ? (error.stack ?? error.message) : error.message) : String(error);
  process.stderr.write(printable(`pagewarp: ${text}${code}\n`));
  return isUsage(error) ? 2 : 1;
}

// A reader that goes away, as in `pagewarp generate | head`, is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`pagewarp: cannot write the output: ${error.message}\n`);
  process.exit(1);
});
process.stderr.on('error', () => {}); // nobody reads it, and there is nowhere else to say so

const args = process.argv.slice(2);
main(args)
  .catch((error: unknown) => report(error, args.includes('--debug')))
  .then((code) => {
    process.exitCode = code;
  });
