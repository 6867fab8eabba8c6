// SPDX-License-Identifier: Apache-2.0
/** Attention in float64, from the raw lengths and rules: shares nothing with the library, and judges its float64 reference. */

export interface OracleRow {
  /** [headDim] */
  q: ArrayLike<number>;
  /** Keys and values of the row's kv head, one entry per token of the sequence. */
  k: readonly ArrayLike<number>[];
  v: readonly ArrayLike<number>[];
  scale: number;
  visible: (key: number) => boolean;
  /** Added to the logit of a key. */
  bias?: (key: number) => number;
  softCap?: number;
  sink?: number;
}

export interface OracleResult {
  out: number[];
  lse: number;
}

/** One query row of one head. */
export function attendRow(row: OracleRow): OracleResult {
  const { q, k, v, scale, visible, bias, softCap = 0, sink } = row;
  const seen: { logit: number; value: ArrayLike<number> }[] = [];
  for (const [key, vector] of k.entries()) {
    if (!visible(key)) continue;
    let logit = 0;
    for (let d = 0; d < q.length; d++) logit += (q[d] as number) * (vector[d] as number);
    logit *= scale;
    if (softCap > 0) logit = softCap * Math.tanh(logit / softCap);
    seen.push({ logit: logit + (bias?.(key) ?? 0), value: v[key] as ArrayLike<number> });
  }
  const out = new Array<number>(q.length).fill(0);
  const logits = seen.map(({ logit }) => logit).concat(sink === undefined ? [] : [sink]);
  if (logits.length === 0) return { out, lse: Number.NEGATIVE_INFINITY };
  const top = logits.reduce((a, b) => Math.max(a, b));
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
  for (const { logit, value } of seen) {
    const weight = Math.exp(logit - top) / total;
    for (let d = 0; d < out.length; d++) out[d] = (out[d] as number) + weight * (value[d] as number);
  }
  return { out, lse: top + Math.log(total) };
}

export interface OracleMask {
  kind: 'causal' | 'none' | 'tree' | 'custom';
  queries: number;
  keys: number;
  window?: number | undefined;
  sinkTokens?: number | undefined;
  /** Tree: the parent of each of the last tokens. */
  parents?: readonly number[] | undefined;
  /** Custom: may query row `i` see key `j`? */
  custom?: ((i: number, j: number) => boolean) | undefined;
}

/** Depth of a tree node: 0 for a child of the prompt. */
function depth(parents: readonly number[], node: number): number {
  return node < 0 ? -1 : 1 + depth(parents, parents[node] as number);
}

/** Position of query row `i`, and of key `j`, by the meaning of the mask. */
export function positions(mask: OracleMask): { query: (i: number) => number; key: (j: number) => number } {
  const { queries, keys, parents } = mask;
  if (mask.kind !== 'tree' || !parents) return { query: (i) => keys - queries + i, key: (j) => j };
  const base = keys - parents.length;
  const key = (j: number): number => (j < base ? j : base + depth(parents, j - base));
  return { query: (i) => key(keys - queries + i), key };
}

export function isVisible(mask: OracleMask, i: number, j: number): boolean {
  const { queries, keys, window, sinkTokens = 0, parents } = mask;
  const position = positions(mask);
  const row = keys - queries + i;
  let visible = true;
  if (mask.kind === 'causal') visible = j <= row;
  if (mask.kind === 'custom') visible = mask.custom?.(i, j) ?? true;
  const isNode = mask.kind === 'tree' && parents !== undefined && j >= keys - parents.length;
  if (isNode) {
    const base = keys - parents.length;
    let node = row - base;
    while (node >= 0 && node !== j - base) node = parents[node] as number;
    visible = node === j - base;
  }
  const inWindow = window === undefined || position.key(j) > position.query(i) - window;
  return visible && (inWindow || (j < sinkTokens && !isNode));
}
