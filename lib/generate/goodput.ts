// SPDX-License-Identifier: Apache-2.0
import { depthsOf } from '../ops/treemask.js';

/** What a generation would put into a step beside the row of its last token. */
export interface Offer {
  /** Of each node, in order, the tokens that are expected of it: its chance of being accepted. */
  gains: readonly number[];
  /** Can only be taken whole, or else not at all. Default false: nodes at the end can be left out. */
  isWhole?: boolean;
}

/** A step without what is offered. */
export interface StepBase {
  rows: number;
  /** Tokens that it gives. */
  tokens: number;
}

export interface Share {
  /** Nodes of each offer. */
  counts: number[];
  /** The tokens that a further row would have to be expected to give. */
  worth: number;
}

/** Nodes of an offer that are taken together. */
interface Segment {
  rows: number;
  gain: number;
}

/**
 * How much of each offer makes the step with the highest goodput: expected tokens of all generations, per predicted time
 * (SmartSpec; Liu et al., "Optimizing Speculative Decoding for Serving Large Language Models Using Goodput", 2024). A row costs the
 * same whoever has it, so that the rows that are expected to give most come first, and as many of them are taken as give the
 * highest quotient: none, where rows are dear because there are many already.
 * @param most rows that may be taken in all
 * @param time expected of a step of so many rows
 */
export function shareRows(
  offers: readonly Offer[],
  base: StepBase,
  most: number,
  time: (rows: number) => number,
): Share {
  const queues = offers.map(segmentsOf);
  const next = offers.map(() => 0); // segment of each queue
  const order: { offer: number; rows: number }[] = [];
  let rows = 0;
  let { tokens } = base;
  let best = { goodput: tokens / time(base.rows), segments: 0, rows: 0 };
  for (;;) {
    let chosen = -1;
    let segment: Segment | undefined;
    for (let offer = 0; offer < queues.length; offer++) {
      const candidate = queues[offer]?.[next[offer] as number];
      if (!candidate || rows + candidate.rows > most) continue;
      if (segment && candidate.gain * segment.rows <= segment.gain * candidate.rows) continue;
      segment = candidate;
      chosen = offer;
    }
    if (!segment) break;
    next[chosen] = (next[chosen] as number) + 1;
    order.push({ offer: chosen, rows: segment.rows });
    rows += segment.rows;
    tokens += segment.gain;
    const goodput = tokens / time(base.rows + rows);
    if (goodput > best.goodput) best = { goodput, segments: order.length, rows };
  }
  const counts = offers.map(() => 0);
  for (const { offer, rows: own } of order.slice(0, best.segments)) counts[offer] = (counts[offer] as number) + own;
  const marginal = time(base.rows + best.rows + 1) - time(base.rows + best.rows);
  return { counts, worth: Math.min(0.9, Math.max(0, best.goodput * marginal)) };
}

/** Cuts an offer where what comes after is worth less per row: none of its segments is worth more than one before. */
function segmentsOf({ gains, isWhole = false }: Offer): Segment[] {
  if (isWhole) return gains.length === 0 ? [] : [{ rows: gains.length, gain: gains.reduce((sum, gain) => sum + gain) }];
  const segments: Segment[] = [];
  for (const gain of gains) {
    const segment: Segment = { rows: 1, gain };
    for (let last = segments.length - 1; last >= 0; last--) {
      const before = segments[last] as Segment;
      if (segment.gain * before.rows <= before.gain * segment.rows) break;
      segments.length = last;
      segment.rows += before.rows;
      segment.gain += before.gain;
    }
    segments.push(segment);
  }
  return segments;
}

/**
 * What the nodes of a draft are expected to give.
 * @param acceptance chance that a level has an accepted token when the one above it has
 * @param parents of a tree's nodes, between whom the chance of their level is divided
 */
export function gainsOf(nodes: number, acceptance: number, parents?: readonly number[]): number[] {
  if (!parents) return chainGains(nodes, acceptance);
  const depths = depthsOf(parents);
  const sizes: number[] = [];
  for (const depth of depths) sizes[depth] = (sizes[depth] ?? 0) + 1;
  return Array.from(depths, (depth) => acceptance ** depth / (sizes[depth] as number));
}

function chainGains(nodes: number, acceptance: number): number[] {
  const gains: number[] = [];
  for (let gain = acceptance; gains.length < nodes; gain *= acceptance) gains.push(gain);
  return gains;
}
