// SPDX-License-Identifier: Apache-2.0
import { resolve } from 'node:path';
import { checkCallback, checkInstance, checkObject, invalidArgument, unsupported } from '../errors.js';
import { HfSource } from '../model/hf.js';
import { checkPath, load, openModel } from '../model/load.js';
import type { LanguageModel } from '../model/model.js';
import type { ModelSource } from '../model/source.js';
import { Device } from '../tensor/device.js';
import { ggufTensors } from './gguftensors.js';
import { writeGguf } from './ggufwriter.js';
import { writeLevelFolder } from './levelfolder.js';
import { checkOutput, writeComplete } from './output.js';
import { type PerplexityResult, perplexity } from './perplexity.js';
import { ModelQuantizer } from './quantizer.js';
import { type QuantizedType, quantizedTypes } from './weights.js';

/** Progress of {@link quantize}. */
export interface QuantizeProgress {
  phase: 'evaluating' | 'calibrating' | 'quantizing' | 'checking';
  done: number;
  total: number;
  /** The tensor that has been quantised. */
  tensor?: TensorReport;
}

export interface TensorReport {
  name: string;
  type: string;
  /** Squared error in squared norms of the weights, weighted by calibration where there is one. */
  error: number;
}

export interface QuantizeOptions {
  type: QuantizedType;
  /** `rtn`: every weight to its nearest code; `gptq`: errors are made up for by later columns. Default rtn. */
  method?: 'rtn' | 'gptq';
  /** A text like those that the model will see. GPTQ needs one; for the others it weighs the columns of each matrix. */
  calibration?: string;
  /** Tokens of it to use. Default 16384. */
  calibrationTokens?: number;
  /** Type of the embedding and of the output layer. Default q8_0; folders keep them as they are. */
  embedding?: 'q8_0' | 'f16';
  /** Added to the diagonal of the calibration's sums, in means of it. Default 0.01. */
  damping?: number;
  /** Bytes that the calibration's sums may take: layers beyond it are calibrated in further passes. Default 2 GiB. */
  calibrationMemory?: number;
  /** A text to measure perplexity with, before and after. */
  evaluation?: string;
  device?: Device;
  onProgress?: (progress: QuantizeProgress) => void;
  signal?: AbortSignal;
}

export interface QuantizeResult {
  path: string;
  tensors: readonly TensorReport[];
  /** Of the quantised weights. */
  bytes: number;
  before: PerplexityResult | undefined;
  after: PerplexityResult | undefined;
}

/**
 * Quantises a model. `q4_0`, `q4_1` and `q8_0` are written as a GGUF file that other tools read, too; `nf4` and `any4`, for which
 * GGUF has no types, as a folder of safetensors, from a folder.
 * @param input a GGUF file or a folder of Hugging Face
 * @param output appears when it is complete; a file there is replaced, a folder must not exist
 * @throws PagewarpError ERR_INVALID_ARGUMENT, ERR_UNSUPPORTED, ERR_INVALID_MODEL, ERR_IO, ERR_OUT_OF_MEMORY; the signal's reason
 */
export async function quantize(input: string, output: string, options: QuantizeOptions): Promise<QuantizeResult> {
  checkOptions(input, output, options);
  await checkOutput(output, isFolderType(options.type));
  using source = await openModel(input);
  const device = options.device ?? Device.cpu();
  try {
    const model = options.calibration || options.evaluation ? await load(input, { device }) : undefined;
    await using _ = model;
    const before = await evaluate(model, 'evaluating', options);
    using quantizer = new ModelQuantizer(source, device, model, options);
    await writeComplete(output, (partial) => write(source, quantizer, partial, options));
    await model?.[Symbol.asyncDispose]();
    await using written = options.evaluation ? await load(output, { device }) : undefined;
    const after = await evaluate(written, 'checking', options);
    return { path: output, tensors: quantizer.reports, bytes: quantizer.bytes, before, after };
  } finally {
    if (!options.device) device.dispose();
  }
}

/** GGUF has no types for these. */
function isFolderType(type: QuantizedType): type is 'nf4' | 'any4' {
  return type === 'nf4' || type === 'any4';
}

async function write(
  source: ModelSource,
  quantizer: ModelQuantizer,
  path: string,
  options: QuantizeOptions,
): Promise<void> {
  if (isFolderType(options.type)) {
    if (!(source instanceof HfSource)) {
      throw unsupported(`${options.type} from the GGUF file ${source.path}`, 'folders of Hugging Face as the input');
    }
    await writeLevelFolder(source, quantizer, path, options.type);
    return;
  }
  const { metadata, tensors } = ggufTensors(source, quantizer, options);
  await writeGguf(path, metadata, tensors);
}

async function evaluate(
  model: LanguageModel | undefined,
  phase: 'evaluating' | 'checking',
  { evaluation, onProgress, signal }: QuantizeOptions,
): Promise<PerplexityResult | undefined> {
  if (!model || evaluation === undefined) return undefined;
  return perplexity(model, evaluation, {
    ...(signal ? { signal } : {}),
    onProgress: ({ windows, totalWindows }) => onProgress?.({ phase, done: windows, total: totalWindows }),
  });
}

function checkOptions(input: string, output: string, options: QuantizeOptions): void {
  checkObject('options', options);
  const { type, method = 'rtn', calibration, embedding = 'q8_0', device } = options;
  checkPath('input', input);
  if (device !== undefined) checkInstance('device', device, Device);
  checkCallback('onProgress', options.onProgress);
  if (typeof output !== 'string' || output === '') throw invalidArgument('output', output, 'a path');
  if (resolve(input) === resolve(output)) throw invalidArgument('output', output, 'another path than the input');
  if (!quantizedTypes.includes(type)) throw invalidArgument('type', type, quantizedTypes.join(', '));
  if (method !== 'rtn' && method !== 'gptq') throw invalidArgument('method', method, 'rtn or gptq');
  if (embedding !== 'q8_0' && embedding !== 'f16') throw invalidArgument('embedding', embedding, 'q8_0 or f16');
  for (const name of ['calibration', 'evaluation'] as const) {
    const text = options[name];
    if (text !== undefined && (typeof text !== 'string' || text === '')) {
      throw invalidArgument(name, text, 'a text that is not empty');
    }
  }
  if (method === 'gptq' && !calibration) throw invalidArgument('calibration', calibration, 'a text: GPTQ needs one');
  for (const name of ['calibrationTokens', 'calibrationMemory'] as const) {
    const value = options[name];
    if (value !== undefined && !(Number.isInteger(value) && value >= 1)) {
      throw invalidArgument(name, value, 'a positive integer');
    }
  }
  const { damping = 0.01 } = options;
  if (!(damping >= 0 && damping <= 1)) throw invalidArgument('damping', damping, 'a number from 0 to 1');
}
