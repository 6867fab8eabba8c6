// SPDX-License-Identifier: Apache-2.0
import { checkCallback, checkInstance, checkObject, checkSignal, invalidArgument } from '../errors.js';
import { LanguageModel } from '../model/model.js';

export interface PerplexityOptions {
  /** Tokens of a window, at least 2. Default: the model's context, at most 512. */
  window?: number;
  /** Windows to score, from the beginning of the text. Default: all. */
  windows?: number;
  /** Called after each window. */
  onProgress?: (progress: { windows: number; totalWindows: number; perplexity: number }) => void;
  signal?: AbortSignal;
}

export interface PerplexityResult {
  /** exp of the mean negative log-likelihood of a token. */
  perplexity: number;
  /** Mean negative log-likelihood of a token, in nats. */
  loss: number;
  /** Tokens that were scored. */
  tokens: number;
}

/**
 * How well a model predicts a text. The text's tokens are cut into windows that do not overlap; each begins with the
 * vocabulary's begin token, where there is one, and all of its other tokens are scored.
 * @throws PagewarpError ERR_INVALID_ARGUMENT for a text of less than two tokens or a window that does not fit
 */
export async function perplexity(
  model: LanguageModel,
  text: string,
  options: PerplexityOptions = {},
): Promise<PerplexityResult> {
  checkInstance('model', model, LanguageModel);
  checkObject('options', options);
  checkSignal(options.signal);
  checkCallback('onProgress', options.onProgress);
  const windows = textWindows(model, text, options.window ?? Math.min(model.contextLength, 512));
  const most = options.windows ?? windows.length;
  if (!Number.isInteger(most) || most < 1) throw invalidArgument('windows', most, 'a positive integer');
  const chosen = windows.slice(0, most);
  let [sum, tokens] = [0, 0];
  for (const [i, ids] of chosen.entries()) {
    options.signal?.throwIfAborted();
    for (const logprob of await model.logprobs(ids)) sum -= logprob;
    tokens += ids.length - 1;
    options.onProgress?.({ windows: i + 1, totalWindows: chosen.length, perplexity: Math.exp(sum / tokens) });
  }
  return { perplexity: Math.exp(sum / tokens), loss: sum / tokens, tokens };
}

/**
 * The token windows of a text.
 * @throws PagewarpError ERR_INVALID_ARGUMENT
 */
export function textWindows(model: LanguageModel, text: string, window: number): number[][] {
  if (typeof text !== 'string') throw invalidArgument('text', text, 'a string');
  if (!Number.isInteger(window) || window < 2 || window > model.contextLength) {
    throw invalidArgument('window', window, `an integer from 2 to ${model.contextLength}`);
  }
  const { bosToken } = model.tokenizer;
  const begin = bosToken === undefined ? [] : [bosToken];
  const ids = model.tokenize(text, { addSpecial: false, parseSpecial: false });
  const windows: number[][] = [];
  for (let at = 0; at < ids.length; at += window - begin.length) {
    const part = [...begin, ...ids.slice(at, at + window - begin.length)];
    if (part.length >= 2) windows.push(part);
  }
  if (windows.length === 0) throw invalidArgument('text', `${ids.length} tokens long`, 'a text of two tokens or more');
  return windows;
}
