// SPDX-License-Identifier: Apache-2.0
/** How the requests of a batch sample: what `sample` and `verify` have in common. */
import { checkInstance, checkList, checkObject, invalidArgument, shapeMismatch } from '../errors.js';
import type { NativeSampling } from '../native.js';
import { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { checkInteger, checkShape, checkTensor } from './check.js';

/** One value for all requests, or one per request. */
export type PerRequest<T> = T | readonly T[];

/**
 * Applied in this order, the order of Hugging Face's generation: penalties, temperature, top-k, top-p, min-p, draw. Tokens
 * are totally ordered (larger logit first, lower id first among equals); every filter keeps a prefix of that order.
 */
export interface SamplingParameters {
  /** Logits are divided by it; 0 (anything below 1e-5) is greedy. Default 1. */
  temperature?: PerRequest<number>;
  /** Keeps the first k tokens (Fan et al., 2018). 0, the default, and anything from the vocabulary size on: all. */
  topK?: PerRequest<number>;
  /**
   * Keeps the shortest prefix that has this share of the probability that top-k left, at least one token (nucleus sampling,
   * Holtzman et al., 2019). 1, the default: all. 0: the first token.
   */
  topP?: PerRequest<number>;
  /** Keeps tokens with at least this share of the largest probability (Nguyen et al., 2024). 0, the default: all. */
  minP?: PerRequest<number>;
  /**
   * Logits of tokens of the history are divided by it when positive, multiplied otherwise (Keskar et al., "CTRL", 2019).
   * 1, the default: off.
   */
  repetitionPenalty?: PerRequest<number>;
  /** Subtracted from the logits of tokens of the output. Default 0. */
  presencePenalty?: PerRequest<number>;
  /** Times its count in the output, subtracted from a token's logit. Default 0. */
  frequencyPenalty?: PerRequest<number>;
}

/** The tokens so far of every request, for the penalties. Made by {@link tokenHistory}, or by commands on the device. */
export interface TokenHistory {
  /** [total] ids; negative ones are padding. */
  tokens: Tensor<'i32'>;
  /** [requests + 1]: request b owns tokens indptr[b] to indptr[b + 1]. */
  indptr: Tensor<'i32'>;
  /** [requests]: so many leading tokens of each are prompt, which only the repetition penalty looks at. Default: none. */
  promptLengths?: Tensor<'i32'>;
}

export interface SamplingOptions extends SamplingParameters {
  /** [requests, 8] from {@link packSampling}, in place of the numbers above: to be reused, or rewritten between replays. */
  parameters?: Tensor<'f32'>;
  /** Key of the request's random numbers. Default 0. */
  seed?: PerRequest<number | bigint> | Tensor<'i64'>;
  /**
   * Index of the token drawn next, usually its position: with the seed it determines the random numbers, whatever else is
   * in the batch. Default 0.
   */
  offset?: PerRequest<number | bigint> | Tensor<'i32' | 'i64'>;
  history?: TokenHistory;
}

interface Field {
  name: keyof SamplingParameters;
  off: number;
  allowed: string;
  test: (value: number) => boolean;
}

/** Columns of pw_sampling.parameters, in order. */
const fields: readonly Field[] = [
  { name: 'temperature', off: 1, allowed: 'a number of at least 0', test: (x) => x >= 0 },
  { name: 'topK', off: 0, allowed: 'an integer of at least 0', test: (x) => Number.isInteger(x) && x >= 0 },
  { name: 'topP', off: 1, allowed: 'a number from 0 to 1', test: (x) => x >= 0 && x <= 1 },
  { name: 'minP', off: 0, allowed: 'a number from 0 to 1', test: (x) => x >= 0 && x <= 1 },
  { name: 'repetitionPenalty', off: 1, allowed: 'a number above 0', test: (x) => x > 0 },
  { name: 'presencePenalty', off: 0, allowed: 'a number', test: () => true },
  { name: 'frequencyPenalty', off: 0, allowed: 'a number', test: () => true },
];
const rowLength = 8;

/** f32 holds every integer up to here: the largest vocabulary that ids and top-k are exact for. */
export const maxVocabulary: number = 2 ** 24;

/** Checks the parameters of one request. @throws PagewarpError ERR_INVALID_ARGUMENT naming the parameter */
export function checkSampling(parameters: { [K in keyof SamplingParameters]?: number }): void {
  for (const field of fields) checkField(field, parameters[field.name] ?? field.off);
}

function checkField({ name, allowed, test }: Field, value: unknown): void {
  if (typeof value !== 'number') throw invalidArgument(name, value, allowed);
  if (!Number.isFinite(value) || !test(value)) throw invalidArgument(name, value, allowed);
  if (name === 'topK') return; // the others travel as f32
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded) || !test(rounded)) throw invalidArgument(name, value, `${allowed} as an f32`);
}

/**
 * Checks parameters and puts them on the device, one row per request.
 * @throws PagewarpError ERR_INVALID_ARGUMENT naming the parameter, ERR_SHAPE_MISMATCH for a list of the wrong length
 */
export function packSampling(stream: Stream, requests: number, parameters: SamplingParameters): Tensor<'f32'> {
  checkInstance('stream', stream, Stream);
  checkInteger('requests', requests, 0);
  checkObject('parameters', parameters);
  const table = new Float32Array(requests * rowLength);
  fields.forEach((field, column) => {
    const { name, off } = field;
    forEachRequest(name, parameters[name] ?? off, requests, (value, request) => {
      checkField(field, value);
      table[request * rowLength + column] = name === 'topK' && value > maxVocabulary ? 0 : value;
    });
  });
  const packed = Tensor.empty(stream.device, [requests, rowLength], 'f32');
  packed.write(table, stream);
  return packed;
}

/**
 * Puts token histories on the device.
 * @param promptLengths how many leading tokens of each are prompt
 */
export function tokenHistory(
  stream: Stream,
  sequences: readonly ArrayLike<number>[],
  promptLengths?: readonly number[],
): TokenHistory {
  checkInstance('stream', stream, Stream);
  checkList('sequences', sequences);
  for (const [i, sequence] of sequences.entries()) checkList(`sequences[${i}]`, sequence);
  if (promptLengths !== undefined) checkList('promptLengths', promptLengths);
  const indptr = new Int32Array(sequences.length + 1);
  sequences.forEach((sequence, i) => {
    indptr[i + 1] = (indptr[i] as number) + sequence.length;
  });
  const tokens = new Int32Array(indptr[sequences.length] as number);
  sequences.forEach((sequence, i) => {
    tokens.set(sequence, indptr[i] as number);
  });
  const upload = (data: Int32Array): Tensor<'i32'> => {
    const tensor = Tensor.empty(stream.device, [data.length], 'i32');
    tensor.write(data, stream);
    return tensor;
  };
  const history: TokenHistory = { tokens: upload(tokens), indptr: upload(indptr) };
  if (promptLengths) {
    if (promptLengths.length !== sequences.length) {
      throw shapeMismatch('promptLengths', [promptLengths.length], [sequences.length], 'one length per sequence');
    }
    history.promptLengths = upload(Int32Array.from(promptLengths));
  }
  return history;
}

/** Checks the parameter table of `requests` requests. */
export function checkParameters(name: string, table: Tensor, requests: number, stream: Stream): void {
  checkTensor(name, table, stream, ['f32']);
  checkShape(name, table, [requests, rowLength], 'one row per request, from packSampling');
  if (!table.isContiguous) throw invalidArgument(name, 'a strided view', 'contiguous');
}

/**
 * Checks the options, uploads what is not on the device, and calls `use` with the native arguments. What was uploaded for
 * this call is dropped afterwards: the command that `use` enqueues holds it.
 */
export function withSampling<T>(
  stream: Stream,
  requests: number,
  options: SamplingOptions,
  use: (sampling: NativeSampling) => T,
): T {
  const { parameters, seed = 0, offset = 0, history } = options;
  if (parameters) {
    checkParameters('parameters', parameters, requests, stream);
    for (const { name } of fields) {
      if (options[name] !== undefined) throw invalidArgument(name, options[name], 'absent when parameters are given');
    }
  }
  if (seed instanceof Tensor) checkVector('seed', seed, requests, stream, ['i64']);
  if (offset instanceof Tensor) checkVector('offset', offset, requests, stream, ['i32', 'i64']);
  if (history !== undefined) checkHistory(history, requests, stream);

  const uploads: Tensor[] = [];
  const upload = <U extends Tensor>(tensor: U): U => {
    uploads.push(tensor);
    return tensor;
  };
  try {
    const table = parameters ?? upload(packSampling(stream, requests, options));
    const seeds = seed instanceof Tensor ? seed : upload(uploadIntegers('seed', seed, requests, stream));
    const offsets = offset instanceof Tensor ? offset : upload(uploadIntegers('offset', offset, requests, stream));
    return use([
      table.native,
      seeds.native,
      offsets.native,
      history?.tokens.native ?? null,
      history?.indptr.native ?? null,
      history?.promptLengths?.native ?? null,
    ]);
  } finally {
    for (const tensor of uploads) tensor.dispose();
  }
}

function checkHistory(history: TokenHistory, requests: number, stream: Stream): void {
  checkObject('history', history);
  checkTensor('history.tokens', history.tokens, stream, ['i32']);
  checkShape('history.tokens', history.tokens, ['total'], 'the histories one after the other');
  if (!history.tokens.isContiguous) throw invalidArgument('history.tokens', 'a strided view', 'contiguous');
  checkVector('history.indptr', history.indptr, requests + 1, stream, ['i32']);
  if (history.promptLengths) checkVector('history.promptLengths', history.promptLengths, requests, stream, ['i32']);
}

function checkVector(
  name: string,
  tensor: Tensor,
  length: number,
  stream: Stream,
  allowed: readonly ('i32' | 'i64')[],
): void {
  checkTensor(name, tensor, stream, allowed);
  checkShape(name, tensor, [length], 'one value per request');
}

function forEachRequest<T>(
  name: string,
  values: PerRequest<T>,
  requests: number,
  visit: (value: T, request: number) => void,
): void {
  if (Array.isArray(values) && values.length !== requests) {
    throw shapeMismatch(name, [values.length], [requests], 'one value per request, or a single one for all');
  }
  for (let request = 0; request < requests; request++) {
    visit(Array.isArray(values) ? (values[request] as T) : (values as T), request);
  }
}

function uploadIntegers(
  name: string,
  values: PerRequest<number | bigint>,
  requests: number,
  stream: Stream,
): Tensor<'i64'> {
  const data = new BigInt64Array(requests);
  forEachRequest(name, values, requests, (value, request) => {
    if (typeof value !== 'bigint' && !Number.isSafeInteger(value)) {
      throw invalidArgument(name, value, 'a safe integer or a bigint');
    }
    data[request] = BigInt(value); // modulo 2^64
  });
  const tensor = Tensor.empty(stream.device, [requests], 'i64');
  tensor.write(data, stream);
  return tensor;
}
