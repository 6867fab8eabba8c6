// SPDX-License-Identifier: Apache-2.0
/** The Llama family's forward pass in float64, written from the papers and sharing no code with the library. */

export interface OracleModel {
  dim: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  ffnDim: number;
  vocabulary: number;
  eps: number;
  theta: number;
  rotaryDim: number;
  /** Which elements of a head are rotated together. */
  pairing: 'interleaved' | 'halves';
  /** Divisors of the rotary frequencies, per pair. */
  ropeFactors?: ArrayLike<number>;
  /** Factor on what is rotated. */
  ropeMagnitude?: number;
  /** Weights by GGUF name, row-major. */
  weights: ReadonlyMap<string, ArrayLike<number>>;
}

/** Logits after every token: [tokens][vocabulary]. */
export function oracleLogits(model: OracleModel, tokens: readonly number[]): Float64Array[] {
  const { dim, heads, kvHeads, headDim, weights } = model;
  const weight = (name: string): ArrayLike<number> => {
    const found = weights.get(name);
    if (!found) throw new Error(`the oracle's model has no ${name}`);
    return found;
  };
  const bias = (name: string, out: Float64Array): Float64Array => {
    const values = weights.get(name);
    return values ? out.map((value, i) => value + (values[i] as number)) : out;
  };
  const embedding = weight('token_embd.weight');
  const rows = tokens.map((id) => Float64Array.from({ length: dim }, (_, i) => embedding[id * dim + i] as number));
  for (let layer = 0; layer < model.layers; layer++) {
    const p = `blk.${layer}.`;
    const keys: Float64Array[][] = [];
    const values: Float64Array[][] = [];
    for (const [position, x] of rows.entries()) {
      const h = normalise(x, weight(`${p}attn_norm.weight`), model.eps);
      const project = (name: string, count: number): Float64Array[] => {
        const flat = bias(`${p}${name}.bias`, multiply(weight(`${p}${name}.weight`), h, count * headDim));
        return Array.from({ length: count }, (_, i) => flat.slice(i * headDim, (i + 1) * headDim));
      };
      const prepare = (head: Float64Array, norm: string): Float64Array => {
        const weights_ = weights.get(`${p}${norm}.weight`);
        return rotate(model, weights_ ? normalise(head, weights_, model.eps) : head, position);
      };
      const queries = project('attn_q', heads).map((head) => prepare(head, 'attn_q_norm'));
      keys.push(project('attn_k', kvHeads).map((head) => prepare(head, 'attn_k_norm')));
      values.push(project('attn_v', kvHeads));
      const attended = queries.flatMap((query, head) => {
        const group = Math.floor(head / (heads / kvHeads));
        const scores = keys.map((key) => dot(query, key[group] as Float64Array) / Math.sqrt(headDim));
        const most = Math.max(...scores);
        const shares = scores.map((score) => Math.exp(score - most));
        const total = shares.reduce((a, b) => a + b);
        return Array.from({ length: headDim }, (_, i) =>
          shares.reduce(
            (sum, share, j) =>
              sum + (share / total) * (((values[j] as Float64Array[])[group] as Float64Array)[i] as number),
            0,
          ),
        );
      });
      add(x, multiply(weight(`${p}attn_output.weight`), Float64Array.from(attended), dim));
    }
    for (const x of rows) {
      const h = normalise(x, weight(`${p}ffn_norm.weight`), model.eps);
      const up = multiply(weight(`${p}ffn_up.weight`), h, model.ffnDim);
      const gated = multiply(weight(`${p}ffn_gate.weight`), h, model.ffnDim).map(
        (gate, i) => (gate / (1 + Math.exp(-gate))) * (up[i] as number),
      );
      add(x, multiply(weight(`${p}ffn_down.weight`), gated, dim));
    }
  }
  const output = weights.get('output.weight') ?? embedding;
  return rows.map((x) => multiply(output, normalise(x, weight('output_norm.weight'), model.eps), model.vocabulary));
}

function multiply(matrix: ArrayLike<number>, x: Float64Array, outputs: number): Float64Array {
  const inputs = x.length;
  return Float64Array.from({ length: outputs }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < inputs; i++) sum += (matrix[row * inputs + i] as number) * (x[i] as number);
    return sum;
  });
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
}

function add(to: Float64Array, from: Float64Array): void {
  for (let i = 0; i < to.length; i++) to[i] = (to[i] as number) + (from[i] as number);
}

function normalise(x: Float64Array, weight: ArrayLike<number>, eps: number): Float64Array {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((value, i) => value * scale * (weight[i] as number));
}

function rotate(model: OracleModel, head: Float64Array, position: number): Float64Array {
  const out = head.slice();
  const half = model.rotaryDim / 2;
  for (let i = 0; i < half; i++) {
    const angle = (position * model.theta ** ((-2 * i) / model.rotaryDim)) / (model.ropeFactors?.[i] ?? 1);
    const [first, second] = model.pairing === 'interleaved' ? [2 * i, 2 * i + 1] : [i, i + half];
    const a = head[first] as number;
    const b = head[second] as number;
    const magnitude = model.ropeMagnitude ?? 1;
    out[first] = magnitude * (a * Math.cos(angle) - b * Math.sin(angle));
    out[second] = magnitude * (a * Math.sin(angle) + b * Math.cos(angle));
  }
  return out;
}

/** YaRN (Peng et al., 2023), section 3: divisors of the rotary frequencies with alpha = 1 and beta = 32, the ramp over pairs. */
export function yarnFactors(rotaryDim: number, theta: number, factor: number, originalContext: number): number[] {
  const pairThatTurns = (times: number): number =>
    (rotaryDim * Math.log(originalContext / (2 * Math.PI * times))) / (2 * Math.log(theta));
  const first = Math.max(0, Math.floor(pairThatTurns(32)));
  const last = Math.min(rotaryDim - 1, Math.ceil(pairThatTurns(1)));
  return Array.from({ length: rotaryDim / 2 }, (_, pair) => {
    const kept = pair <= first ? 1 : pair >= last ? 0 : (last - pair) / (last - first);
    return 1 / (kept + (1 - kept) / factor);
  });
}
