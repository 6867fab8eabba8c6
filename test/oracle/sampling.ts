// SPDX-License-Identifier: Apache-2.0
/** What `sample` draws from, written from the documentation in float64 with a full sort. */
import { philox, uniformF64 } from '../../lib/index.js';

export interface OracleParameters {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
}

/** Logits after penalties, rounded to f32. */
export function penalized(
  logits: ArrayLike<number>,
  parameters: OracleParameters,
  prompt: readonly number[],
  output: readonly number[],
): Float32Array {
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = parameters;
  const repetition = Math.fround(repetitionPenalty);
  const result = Float32Array.from(logits);
  for (const token of new Set([...prompt, ...output])) {
    const logit = result[token] as number;
    result[token] = logit > 0 ? logit / repetition : logit * repetition;
    const count = output.filter((other) => other === token).length;
    if (count > 0) {
      const frequency = Math.fround(Math.fround(frequencyPenalty) * count);
      result[token] = (result[token] as number) - Math.fround(frequency + Math.fround(presencePenalty));
    }
  }
  return result;
}

/** One probability per token, after temperature and filters. */
export function targetProbabilities(logits: ArrayLike<number>, parameters: OracleParameters = {}): Float64Array {
  const { temperature = 1, topK = 0, topP = 1, minP = 0 } = parameters;
  const size = logits.length;
  const descending = Float32Array.from(logits).sort().reverse();
  const max = descending[0] as number;
  const weight = (logit: number): number => Math.exp((logit - max) / temperature);
  let kept = topK > 0 ? Math.min(topK, size) : size;
  if (temperature < 1e-5) {
    kept = 1;
  } else {
    if (topP < 1) {
      let total = 0;
      for (let i = 0; i < kept; i++) total += weight(descending[i] as number);
      let reached = 0;
      let n = 0;
      while (n === 0 || (n < kept && reached < Math.fround(topP) * total)) reached += weight(descending[n++] as number);
      kept = n;
    }
    if (minP > 0) {
      const threshold = Math.fround(max + Math.log(Math.fround(minP)) * temperature);
      while ((descending[kept - 1] as number) < threshold) kept--;
    }
  }
  // A prefix of the total order: everything above the last kept logit, and the first ids among its equals.
  const last = descending[kept - 1] as number;
  let ties = kept;
  for (let i = 0; i < size && (descending[i] as number) > last; i++) ties--;
  const probabilities = new Float64Array(size);
  let total = 0;
  for (let i = 0; i < size; i++) {
    const logit = logits[i] as number;
    if (logit < last || (logit === last && ties-- <= 0)) continue;
    probabilities[i] = temperature < 1e-5 ? 1 : weight(logit);
    total += probabilities[i] as number;
  }
  return probabilities.map((p) => p / total);
}

/** Log-softmax. */
export function logSoftmax(logits: ArrayLike<number>): Float64Array {
  const values = Float64Array.from(logits);
  const max = values.reduce((a, b) => Math.max(a, b));
  const sum = values.reduce((s, x) => s + Math.exp(x - max), 0);
  return values.map((x) => x - max - Math.log(sum));
}

/** The uniform number of plain sampling. */
export function sampleUniform(seed: number | bigint, offset: number): number {
  const [high, low] = philox(seed, 0, offset);
  return uniformF64(high, low);
}

/** How far `uniform` lies outside the interval of the cumulative distribution that belongs to `token`; 0 inside. */
export function distanceFromInterval(probabilities: ArrayLike<number>, token: number, uniform: number): number {
  if (!((probabilities[token] as number) > 0)) return Number.POSITIVE_INFINITY;
  let below = 0;
  for (let i = 0; i < token; i++) below += probabilities[i] as number;
  return Math.max(0, below - uniform, uniform - below - (probabilities[token] as number));
}

/** The lowest id among the largest logits. */
export function firstMaximum(logits: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] as number) > (logits[best] as number)) best = i;
  return best;
}
