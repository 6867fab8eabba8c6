// SPDX-License-Identifier: Apache-2.0

/** What a generation would put into the next step. */
export interface Wish {
  /** Rows of its prompt that are still to be computed; else that of the token drawn last, and of a draft that is verified whole. */
  rows: number;
  isPrompt: boolean;
  /** A part of its prompt that is not the last one has a multiple of so many rows. */
  cut: number;
}

export interface StepBounds {
  /** Rows of a step, and those of them with logits: the last one of a prompt, and all others. */
  rows: number;
  outputs: number;
  /** Rows of prompts in a step, unless the first cut of one is longer. */
  promptRows: number;
}

/**
 * How many rows of each wish the next step takes: those that decode first, whole or not at all, then prompts, cut where they have
 * no room, one after the other (chunked prefill; Agrawal et al., "Sarathi-Serve", OSDI 2024). Who has waited longest is always there, and
 * then the first prompt advances, however many others decode.
 * @param wishes those that have waited longest first
 * @returns rows per wish; 0: not in this step
 */
export function compose(wishes: readonly Wish[], { rows, outputs, promptRows }: StepBounds): number[] {
  const taken = wishes.map(() => 0);
  const prompt = wishes.find(({ isPrompt }) => isPrompt);
  const least = prompt ? Math.min(prompt.rows, prompt.cut) : 0;
  let left = rows;
  let logits = outputs;
  for (const [i, { rows: wanted, isPrompt }] of wishes.entries()) {
    const kept = i === 0 ? { rows: 0, logits: 0 } : { rows: least, logits: prompt ? 1 : 0 };
    if (isPrompt || left - wanted < kept.rows || logits - wanted < kept.logits) continue;
    taken[i] = wanted;
    left -= wanted;
    logits -= wanted;
  }
  let budget = Math.min(left, Math.max(least, promptRows));
  for (const [i, wish] of wishes.entries()) {
    if (!wish.isPrompt) continue;
    const part = wish.rows <= budget ? wish.rows : Math.floor(budget / wish.cut) * wish.cut;
    if (part === 0 || logits === 0) break;
    taken[i] = part;
    budget -= part;
    logits--;
  }
  return taken;
}
