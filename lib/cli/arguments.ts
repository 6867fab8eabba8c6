// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { PagewarpError } from '../errors.js';
import { type GenerateOptions, resolveOptions } from '../generate/options.js';
import type { StoredCacheDType } from '../kv/layer.js';
import type { DeviceOption } from '../model/device.js';
import type { LoadOptions } from '../model/load.js';
import { adaptiveNgrams } from '../speculate/adaptivengrams.js';
import { usualDraft } from '../speculate/drafter.js';
import { lookahead } from '../speculate/lookahead.js';
import { promptLookup } from '../speculate/promptlookup.js';
import { suffixLookup } from '../speculate/suffixlookup.js';
import { tokenRecycling } from '../speculate/tokenrecycling.js';
import type { CpuIsa, CpuOptions } from '../tensor/device.js';

/** A mistake on the command line: message and usage, no stack. */
export class UsageError extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>;

/** Options of every command. */
const common: Options = { debug: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } };

/** Options of the commands that load a model, or say what loading would take. */
export const modelOptions: Options = {
  model: { type: 'string', short: 'm' },
  context: { type: 'string' },
  'cache-type': { type: 'string' },
  chunk: { type: 'string' },
};

export const deviceOptions: Options = {
  device: { type: 'string' },
  threads: { type: 'string' },
  isa: { type: 'string' },
};

export const samplingOptions: Options = {
  'max-tokens': { type: 'string', short: 'n' },
  temperature: { type: 'string', short: 't' },
  'top-k': { type: 'string' },
  'top-p': { type: 'string' },
  'min-p': { type: 'string' },
  'repetition-penalty': { type: 'string' },
  'presence-penalty': { type: 'string' },
  'frequency-penalty': { type: 'string' },
  seed: { type: 'string' },
  stop: { type: 'string', multiple: true },
  'ignore-end': { type: 'boolean' },
  speculate: { type: 'string' },
  draft: { type: 'string' },
  'max-draft': { type: 'string' },
  'not-adaptive': { type: 'boolean' },
  stats: { type: 'boolean' },
};

/** The command line with each negative number joined to the option before it: parseArgs takes it for an option. */
function withNegativeValues(args: readonly string[], options: Options): string[] {
  const flags = Object.entries(options).filter(([, { type }]) => type === 'string');
  const long = new Set(flags.map(([name]) => `--${name}`));
  const short = new Set(flags.flatMap(([, { short: letter }]) => (letter ? [`-${letter}`] : [])));
  const joined: string[] = [];
  for (const [i, arg] of args.entries()) {
    if (arg === '--') return [...joined, ...args.slice(i)];
    const flag = /^-\.?\d/.test(arg) ? (joined.at(-1) ?? '') : '';
    if (long.has(flag)) joined.push(`${joined.pop()}=${arg}`);
    else if (short.has(flag)) joined.push(`${joined.pop()}${arg}`);
    else joined.push(arg);
  }
  return joined;
}

/** A command line, read. */
export class Arguments {
  readonly positionals: readonly string[];
  readonly #values: Readonly<Record<string, unknown>>;

  /**
   * @param mostPositionals arguments that are no options
   * @throws UsageError for options that the command does not have, and for more arguments than it takes
   */
  constructor(args: readonly string[], options: Options, mostPositionals = 0) {
    try {
      const all = { ...common, ...options };
      const parsed = parseArgs({ args: withNegativeValues(args, all), options: all, allowPositionals: true });
      this.positionals = parsed.positionals;
      this.#values = parsed.values;
    } catch (error) {
      throw new UsageError((error as Error).message);
    }
    const unexpected = this.positionals[mostPositionals];
    if (unexpected !== undefined) {
      throw new UsageError(
        `unexpected argument ${JSON.stringify(unexpected)} (a text of several words goes in quotes)`,
      );
    }
  }

  text(name: string): string | undefined {
    return this.#values[name] as string | undefined;
  }

  texts(name: string): string[] {
    return (this.#values[name] as string[] | undefined) ?? [];
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  number(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (text.trim() === '' || Number.isNaN(value)) throw new UsageError(`--${name} is "${text}", but must be a number`);
    return value;
  }
}

/** The repository's own model, for a first try without any file. */
const demo = fileURLToPath(new URL('../../models/demo/target-Q4_0.gguf', import.meta.url));

/** `--model`, else `PAGEWARP_MODEL`, else the demo model where the repository has it. */
export function modelPath(args: Arguments): string {
  const path = args.text('model') ?? (process.env['PAGEWARP_MODEL'] || (existsSync(demo) ? demo : undefined));
  if (path === undefined)
    throw new UsageError('no model: name a GGUF file or folder with --model, or set PAGEWARP_MODEL');
  return path;
}

export function loadOptions(args: Arguments): LoadOptions {
  const cpu: CpuOptions = defined({ threads: args.number('threads'), isa: args.text('isa') as CpuIsa | undefined });
  return {
    ...defined({
      contextLength: args.number('context'),
      chunk: args.number('chunk'),
      draft: args.text('draft'),
      cacheDType: args.text('cache-type') as StoredCacheDType | undefined,
    }),
    device: deviceOption(args.text('device'), cpu),
  };
}

/** Values of --speculate. */
const drafters = {
  auto: () => 'auto' as const,
  off: () => 'off' as const,
  lookup: () => promptLookup(),
  suffix: () => suffixLookup(),
  recycling: () => tokenRecycling(),
  ngrams: () => adaptiveNgrams(),
  lookahead: () => lookahead(),
};

/** `--device`, to which the options of a CPU must fit. */
function deviceOption(name: string | undefined, cpu: CpuOptions): DeviceOption {
  const hasCpuOptions = Object.keys(cpu).length > 0;
  if (name === undefined || name === 'cpu') return hasCpuOptions ? cpu : (name ?? 'auto');
  if (name !== 'auto' && name !== 'cuda') {
    throw new UsageError(`--device is "${name}", but must be "auto", "cpu" or "cuda"`);
  }
  if (hasCpuOptions) throw new UsageError(`--threads and --isa are for the CPU, not for --device ${name}`);
  return name;
}

/** How to generate, checked before a model is loaded, which can take long. @throws UsageError, PagewarpError ERR_INVALID_ARGUMENT */
export function generateOptions(args: Arguments): GenerateOptions {
  const seed = args.text('seed');
  if (seed !== undefined && !/^-?\d+$/.test(seed)) throw new UsageError(`--seed is "${seed}", but must be an integer`);
  const stop = args.texts('stop').map((text) => text.replaceAll('\\n', '\n'));
  const speculate = args.text('speculate') ?? 'auto';
  if (!Object.hasOwn(drafters, speculate)) {
    throw new UsageError(`--speculate is "${speculate}", but must be one of ${Object.keys(drafters).join(', ')}`);
  }
  const options: GenerateOptions = defined({
    maxTokens: args.number('max-tokens'),
    temperature: args.number('temperature'),
    topK: args.number('top-k'),
    topP: args.number('top-p'),
    minP: args.number('min-p'),
    repetitionPenalty: args.number('repetition-penalty'),
    presencePenalty: args.number('presence-penalty'),
    frequencyPenalty: args.number('frequency-penalty'),
    seed: seed === undefined ? undefined : BigInt(seed),
    stop,
    ignoreEnd: args.flag('ignore-end'),
    speculate: drafters[speculate as keyof typeof drafters](),
    maxDraft: args.number('max-draft'),
    adaptive: args.flag('not-adaptive') ? false : undefined,
  });
  resolveOptions(options, [], usualDraft, suffixLookup);
  return options;
}

/** Is this a mistake of the caller's, as opposed to a failure? */
export function isUsage(error: unknown): error is Error {
  return error instanceof UsageError || (error instanceof PagewarpError && error.code === 'ERR_INVALID_ARGUMENT');
}

/** The object without its undefined fields. */
function defined<T extends Record<string, unknown>>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}
