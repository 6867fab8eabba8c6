// SPDX-License-Identifier: Apache-2.0
import { stat } from 'node:fs/promises';
import { checkObject, checkSignal, invalidArgument, PagewarpError } from '../errors.js';
import { Scheduler } from '../generate/scheduler.js';
import { PagedKvCache } from '../kv/cache.js';
import { checkCacheDType, type StoredCacheDType } from '../kv/layer.js';
import { checkInteger } from '../ops/check.js';
import { besides } from '../piecewise.js';
import { formatOfGgufType } from '../quant/format.js';
import { largestDraft, usualDraft } from '../speculate/drafter.js';
import type { Device } from '../tensor/device.js';
import { type FloatDType, isFloat } from '../tensor/dtype.js';
import type { LlamaConfig } from './config.js';
import { chooseDevice, type DeviceOption, type ModelNeeds } from './device.js';
import { GgufFile } from './gguf.js';
import { HfSource } from './hf.js';
import { LlamaRunner } from './llama.js';
import { type MemoryEstimate, memoryOf } from './memory.js';
import { LanguageModel } from './model.js';
import { GgufSource, type ModelSource } from './source.js';
import type { StepLimits } from './step.js';
import { type LoadProgress, loadWeights } from './weights.js';

export interface MemoryOptions {
  /** Longest sequence, in tokens. Default: the model's own context, at most 4096. */
  contextLength?: number;
  /** Tokens of all sequences together. Default: twice `contextLength`. */
  cacheTokens?: number;
  /** How keys and values are stored. Default f16. */
  cacheDType?: StoredCacheDType;
  /** Prompt tokens that are computed at once. Default 512. */
  chunk?: number;
  /**
   * Nodes of the largest draft, and of all drafts of a step together, 64 to 256. Each takes memory for a row of logits. Default 64, trees
   * 63. On the CPU the logits of larger trees, and of others in the same step, are those of decoding but for rounding; of drafts up to
   * that size they are the same bit for bit.
   */
  maxDraft?: number;
}

export interface LoadOptions extends MemoryOptions {
  /**
   * The path of a smaller model of the same vocabulary, which drafts for this one where that pays (`speculate: 'auto'`). It
   * is loaded onto the same device and belongs to the model.
   */
  draft?: string;
  /**
   * `int8` lets linear layers over 4- and 8-bit integer weights round their inputs to 8 bits on CUDA, too, as they always do on
   * the CPU: about the tensor-core work of one product in place of three, for results that are as far from exact as the CPU's.
   */
  precision?: 'int8';
  /**
   * Type of what goes from op to op within a layer. Default f32, which gives a GPU the CPU's tokens. With f16 or bf16 linear
   * layers of a GPU take a third of the tensor-core work (an f32 input is multiplied as three bf16 terms) and read half the
   * bytes. f16 is the more exact, but ends at 65504, which the inputs of `down` exceed in some models; dense weights of the other
   * 16-bit type do not profit. The residual stream and sums stay f32. On the CPU it gives no speed.
   */
  activationDType?: FloatDType;
  /** Default `auto`. */
  device?: DeviceOption;
  /**
   * Generations that share a step of the model, at most, 1 to 64: those under way at the same time are computed together, which
   * reads the weights once for all. More take turns. Default 32.
   */
  maxBatch?: number;
  /**
   * Prompts that begin like an earlier one, as the turns of a conversation do, or requests with the same instructions, take over
   * what was computed of it, as long as the cache has no other use for its pages. On the CPU the result is the same bit for bit as
   * without. How soon a first token comes then tells whether somebody has sent that beginning before: where users must not learn
   * that of each other, turn it off. Default true.
   */
  prefixCache?: boolean;
  /** Called as weights come into place. */
  onProgress?: (progress: LoadProgress) => void;
  /** Aborts loading; what has been loaded is freed. */
  signal?: AbortSignal;
}

/** The most generations that share a step: each needs a row of logits. */
const mostBatch = 64;
const pageSize = 16;

/**
 * Loads a model.
 * @param path a GGUF file of the Llama family (Llama, Mistral, Qwen2, Qwen3), or a folder of Hugging Face with config.json,
 *   safetensors (F32, F16, BF16; 4-bit GPTQ, AWQ, compressed-tensors) and tokenizer.json
 * @throws PagewarpError ERR_IO, ERR_INVALID_MODEL, ERR_UNSUPPORTED (architecture, tensor type, tokenizer), ERR_OUT_OF_MEMORY,
 *   ERR_DEVICE_UNAVAILABLE, ERR_INVALID_ARGUMENT; the signal's reason when aborted
 */
export async function load(path: string, options: LoadOptions = {}): Promise<LanguageModel> {
  checkObject('options', options);
  checkSignal(options.signal);
  const progress = options.onProgress ?? undefined;
  if (progress !== undefined && typeof progress !== 'function') {
    throw invalidArgument('onProgress', progress, 'a function');
  }
  if (options.draft !== undefined) checkPath('draft', options.draft);
  options.signal?.throwIfAborted();
  using source = await openModel(path);
  const { config } = source;
  const { precision, activationDType } = options;
  if (precision !== undefined && precision !== 'int8') throw invalidArgument('precision', precision, "'int8'");
  if (activationDType !== undefined && !isFloat(activationDType)) {
    throw invalidArgument('activationDType', activationDType, "'f32', 'f16' or 'bf16'");
  }
  const shape = resolveShape(config, options);
  const { maxBatch = 32, prefixCache = true } = options;
  checkInteger('maxBatch', maxBatch, 1, mostBatch);
  if (typeof prefixCache !== 'boolean') throw invalidArgument('prefixCache', prefixCache, 'true or false');
  const tokenizer = await besides(source.tokenizer());
  if (tokenizer.size > config.vocabulary) {
    throw new PagewarpError(
      'ERR_INVALID_MODEL',
      `${path}: the vocabulary has ${tokenizer.size} tokens, but the embedding only ${config.vocabulary} rows`,
    );
  }
  const { device, reason, owned: deviceOwned } = chooseDevice(options.device, needsOf(source));
  const stream = device.stream();
  const owned: Disposable[] = deviceOwned ? [device, stream] : [stream];
  try {
    const loaded = await loadWeights(source, stream, { onProgress: progress, signal: options.signal });
    owned.push(...loaded.owned);
    const cache = new PagedKvCache(device, {
      layers: config.layers,
      kvHeads: config.kvHeads,
      headDim: config.headDim,
      pageSize,
      pages: Math.ceil(shape.cacheTokens / pageSize),
      dtype: shape.cacheDType,
    });
    owned.push(cache);
    const runner = new LlamaRunner(stream, config, loaded.weights, cache, shape.limits, { precision, activationDType });
    owned.push(runner);
    const scheduler = new Scheduler(runner, maxBatch);
    owned.push(scheduler);
    await stream.synchronize();
    const draft = options.draft === undefined ? undefined : await loadDraft(options.draft, device, config, options);
    if (draft) owned.push(draft);
    const memory = memoryOf(source, shape, shape.limits);
    return new LanguageModel({
      runner,
      scheduler,
      tokenizer,
      deviceReason: reason,
      contextLength: shape.contextLength,
      prefixCache,
      memory,
      owned,
      draft,
    });
  } catch (error) {
    for (const resource of owned.reverse()) resource[Symbol.dispose]();
    throw error;
  }
}

async function loadDraft(
  path: string,
  device: Device,
  { vocabulary }: LlamaConfig,
  { cacheTokens, precision, activationDType, signal }: LoadOptions,
): Promise<LanguageModel> {
  const draft = await load(path, {
    device,
    ...(cacheTokens ? { cacheTokens } : {}),
    ...(precision ? { precision } : {}),
    ...(activationDType ? { activationDType } : {}),
    ...(signal ? { signal } : {}),
  });
  if (draft.config.vocabulary === vocabulary) return draft;
  draft.dispose();
  throw invalidArgument(
    'draft',
    `a model of ${draft.config.vocabulary} tokens`,
    `one of the same ${vocabulary} tokens`,
  );
}

/**
 * What a model will take, without loading it.
 * @throws PagewarpError like {@link load}
 */
export async function estimateMemory(path: string, options: MemoryOptions = {}): Promise<MemoryEstimate> {
  checkObject('options', options);
  using source = await openModel(path);
  const shape = resolveShape(source.config, options);
  return memoryOf(source, shape, shape.limits);
}

/** @throws PagewarpError ERR_INVALID_ARGUMENT, ERR_IO, ERR_INVALID_MODEL, ERR_UNSUPPORTED */
export async function openModel(path: string): Promise<ModelSource> {
  checkPath('path', path);
  const isFolder = await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false, // opening it will say why
  );
  return isFolder ? new HfSource(path) : new GgufSource(GgufFile.open(path));
}

/** What a device must have for the model. Folders hold no format that a backend lacks. */
function needsOf(source: ModelSource): ModelNeeds {
  const { headDim } = source.config;
  if (!(source instanceof GgufSource)) return { headDim, formats: [] };
  const matrices = [...source.file.tensors.values()].filter(({ shape }) => shape.length > 1);
  const formats = new Set(matrices.map(({ type }) => formatOfGgufType(type)).filter((format) => format !== undefined));
  return { headDim, formats: [...formats] };
}

function resolveShape(
  config: LlamaConfig,
  options: MemoryOptions,
): { contextLength: number; cacheTokens: number; cacheDType: StoredCacheDType; limits: StepLimits } {
  const { chunk = 512, maxDraft = usualDraft } = options;
  const cacheDType = checkCacheDType(options.cacheDType ?? 'f16', 'cacheDType');
  const contextLength = options.contextLength ?? Math.min(config.contextLength, 4096);
  checkInteger('contextLength', contextLength, 1, config.contextLength);
  const cacheTokens = options.cacheTokens ?? 2 * contextLength;
  checkInteger('cacheTokens', cacheTokens, 1, 2 ** 31 - 1 - pageSize);
  checkInteger('chunk', chunk, 1, 65536);
  checkInteger('maxDraft', maxDraft, usualDraft, largestDraft);
  const outputs = maxDraft + 1;
  const rows = Math.max(outputs, Math.min(chunk, contextLength));
  const limits = { rows, outputs, chunk: Math.min(chunk, rows) };
  return { contextLength, cacheTokens, cacheDType, limits };
}

/** @throws PagewarpError ERR_INVALID_ARGUMENT */
export function checkPath(name: string, path: string): void {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw invalidArgument(name, path, 'the path of a GGUF file or of a Hugging Face folder');
  }
}
