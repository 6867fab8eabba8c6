// SPDX-License-Identifier: Apache-2.0

/**
 * SentencePiece's BPE segmentation by definition, at quadratic cost: join, again and again, the neighbours whose
 * concatenation has the highest score, the leftmost of equals.
 */
export function segment(text: string, pieces: readonly string[], scores: readonly number[]): string[] {
  const scoreOf = new Map<string, number>();
  for (const [id, piece] of pieces.entries()) if (!scoreOf.has(piece)) scoreOf.set(piece, scores[id] as number);
  const symbols = Array.from(text);
  for (;;) {
    let best = Number.NEGATIVE_INFINITY;
    let at = -1;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const score = scoreOf.get(`${symbols[i]}${symbols[i + 1]}`);
      if (score !== undefined && score > best) {
        best = score;
        at = i;
      }
    }
    if (at < 0) return symbols;
    symbols.splice(at, 2, `${symbols[at]}${symbols[at + 1]}`);
  }
}
