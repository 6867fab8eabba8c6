// SPDX-License-Identifier: Apache-2.0
import { PagewarpError, unsupported } from '../errors.js';
import type { RopeScaling } from '../ops/ropefrequencies.js';
import type { LlamaConfig } from './config.js';

type Json = Readonly<Record<string, unknown>>;

const families = ['llama', 'mistral', 'qwen2', 'qwen3'];

/** What only the tensors can tell. */
export interface HfTensorFacts {
  vocabulary: number;
  tied: boolean;
  qkvBias: boolean;
  qkNorm: boolean;
}

/**
 * Reads and checks the `config.json` of a Hugging Face folder.
 * @param path of the file, for messages
 * @throws PagewarpError ERR_UNSUPPORTED for another family or variant, ERR_INVALID_MODEL for values out of range
 */
export function configFromHf(path: string, json: Json, facts: HfTensorFacts): LlamaConfig {
  const read = new Reader(path, json);
  const architecture = read.text('model_type');
  if (architecture === undefined || !families.includes(architecture)) {
    throw unsupported(`${path}: the model type ${JSON.stringify(json['model_type'])}`, families.join(', '));
  }
  const activation = read.text('hidden_act') ?? 'silu';
  if (activation !== 'silu') throw unsupported(`${path}: the activation "${activation}"`, 'silu');
  const dim = read.integer('hidden_size', 1, 1 << 20);
  const heads = read.integer('num_attention_heads', 1, 4096);
  const kvHeads = read.optional('num_key_value_heads', 1, heads, true) ?? heads;
  const headDim = read.optional('head_dim', 1, 1024, true) ?? dim / heads;
  if (!Number.isInteger(headDim)) throw read.invalid(`hidden_size ${dim} is not divisible by ${heads} heads`);
  if (headDim % 2 !== 0) throw read.invalid(`heads of ${headDim} elements cannot be rotated in pairs`);
  if (heads % kvHeads !== 0) throw read.invalid(`${heads} query heads cannot share ${kvHeads} key-value heads equally`);
  const rotary = rotaryOf(read, json);
  const context = read.integer('max_position_embeddings', 1, 2 ** 31 - 1);
  return {
    architecture,
    name: read.text('_name_or_path') || architecture,
    layers: read.integer('num_hidden_layers', 1, 4096),
    dim,
    heads,
    kvHeads,
    headDim,
    ffnDim: read.integer('intermediate_size', 1, 1 << 24),
    vocabulary: facts.vocabulary,
    contextLength: Math.min(context, window(read, json) ?? context),
    eps: read.number('rms_norm_eps', 1e-12, 1),
    rope: {
      theta: rotary.optional('rope_theta', 1.0001, 1e12) ?? read.optional('rope_theta', 1.0001, 1e12) ?? 10000,
      rotaryDim: headDim,
      pairing: 'halves',
      scaling: scalingOf(rotary, context),
    },
    tiedEmbeddings: facts.tied,
    qkvBias: facts.qkvBias,
    qkNorm: facts.qkNorm,
  };
}

/** A sliding window, up to which attention is plain: longer contexts are not offered. */
function window(read: Reader, json: Json): number | undefined {
  if (json['use_sliding_window'] === false || json['sliding_window'] == null) return undefined;
  return read.integer('sliding_window', 1, 2 ** 31 - 1);
}

/** `rope_scaling`, or `rope_parameters` as newer folders call it. */
function rotaryOf(read: Reader, json: Json): Reader {
  const given = json['rope_parameters'] ?? json['rope_scaling'] ?? {};
  if (typeof given !== 'object') throw read.invalid(`rope_scaling is ${JSON.stringify(given)}`);
  return new Reader(read.path, given as Json);
}

function scalingOf(scaling: Reader, context: number): RopeScaling {
  const type = scaling.text('rope_type') ?? scaling.text('type') ?? 'default';
  if (type === 'default') return { type: 'none' };
  const factor = scaling.number('factor', 1e-3, 1e6);
  const originalContext = scaling.optional('original_max_position_embeddings', 1, 2 ** 31 - 1, true) ?? context;
  switch (type) {
    case 'linear':
      return { type, factor };
    case 'llama3':
      return {
        type,
        factor,
        lowFrequencyFactor: scaling.number('low_freq_factor', 1e-3, 1e6),
        highFrequencyFactor: scaling.number('high_freq_factor', 1e-3, 1e6),
        originalContext,
      };
    case 'yarn': {
      const magnitude = scaling.optional('attention_factor', 1e-3, 1e3);
      const [betaFast, betaSlow] = [scaling.optional('beta_fast', 1, 1e4), scaling.optional('beta_slow', 1e-3, 1e4)];
      return {
        type,
        factor,
        originalContext,
        ...(magnitude === undefined ? {} : { magnitude }),
        ...(betaFast === undefined ? {} : { betaFast }),
        ...(betaSlow === undefined ? {} : { betaSlow }),
      };
    }
    default:
      throw unsupported(`${scaling.path}: the rope scaling "${type}"`, 'default, linear, llama3, yarn');
  }
}

/** Reads fields and checks their ranges. */
class Reader {
  readonly path: string;
  readonly #json: Json;

  constructor(path: string, json: Json) {
    this.path = path;
    this.#json = json;
  }

  text(key: string): string | undefined {
    const value = this.#json[key];
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'string') throw this.invalid(`"${key}" is ${JSON.stringify(value)}, but must be a string`);
    return value;
  }

  integer(key: string, least: number, most: number): number {
    return this.#required(key, this.optional(key, least, most, true));
  }

  number(key: string, least: number, most: number): number {
    return this.#required(key, this.optional(key, least, most));
  }

  optional(key: string, least: number, most: number, whole = false): number | undefined {
    const value = this.#json[key];
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'number' || !(value >= least && value <= most) || (whole && !Number.isInteger(value))) {
      const kind = whole ? 'an integer' : 'a number';
      throw this.invalid(`"${key}" is ${JSON.stringify(value)}, but must be ${kind} from ${least} to ${most}`);
    }
    return value;
  }

  invalid(what: string): PagewarpError {
    return new PagewarpError('ERR_INVALID_MODEL', `${this.path}: ${what}`, { path: this.path });
  }

  #required(key: string, value: number | undefined): number {
    if (value === undefined) throw this.invalid(`"${key}" is missing`);
    return value;
  }
}
