// SPDX-License-Identifier: Apache-2.0
import type { PagewarpError } from '../errors.js';
import { lateNumber } from '../kv/late.js';
import { joinTokens } from '../model/tokens.js';
import { packSampling, type SamplingParameters } from '../ops/sampling.js';
import { type VerifyResult, verify } from '../ops/verify.js';
import { type Draft, type EnqueuedDraft, parentsOf, sizeOf } from '../speculate/drafter.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { readDespite } from './despite.js';
import type { Proposal, Verified } from './proposal.js';
import type { Drawn, Sampler } from './sampler.js';
import { type Run, runsOf } from './slots.js';

/** A draft among the rows of a step. */
export interface VerifiedRows {
  sampler: Sampler;
  proposal: Proposal;
  /** Of its first row, that of the token before the draft, in its sequence; of one that comes late, at least. */
  position: number;
}

/** What came of a draft: nothing where logits are not numbers, or where it cannot be judged by its rule. */
export interface Verification {
  verified?: Verified;
  error?: unknown;
}

/** What came of all of them. */
export interface Verifications {
  results: Verification[];
  /** What was wrong with some draft's data. */
  error?: PagewarpError;
}

/** Those that one command verifies. */
interface Group {
  requests: readonly VerifiedRows[];
  result: VerifyResult;
  /** Tokens of the drafts, one after the other; if only the device knows some of them. */
  drafted: Tensor<'i32'> | undefined;
}

/**
 * What drafts that one command can verify have in common; undefined: this one takes a command for itself. Those with penalties,
 * each with a history of its own, do, those drawn by chance, each from logits of its own, and those that others follow before the
 * host knows what comes of them.
 */
export function groupOf(sampler: Sampler, { draft, rule, onVerdict, late }: Proposal): string | undefined {
  if (sampler.history || draft.source?.kind === 'sampled' || onVerdict || late) return undefined;
  // Of a tree block verification says that it does not do that, which is nothing to the chains.
  return JSON.stringify([rule, sampler.logprobs === undefined, rule === 'block' && draft.parents !== undefined]);
}

/**
 * Verifies drafts, chains and trees of any size, and draws the token after what was accepted of each: neighbours of one
 * {@link groupOf} by one command. The last tokens stay in the samplers' slots, as the next step's inputs.
 * @param logits [rows, vocabulary]: of each request, the rows of the token before its draft and of its nodes
 */
export function verifyDrafts(
  stream: Stream,
  logits: Tensor<'f32'>,
  requests: readonly VerifiedRows[],
): Promise<Verifications> {
  const read: Promise<Verifications>[] = [];
  let row = 0;
  for (const group of groupsOf(requests)) {
    const rows = group.reduce((sum, { proposal }) => sum + 1 + sizeOf(proposal.draft), 0);
    using own = logits.slice(0, row, row + rows);
    row += rows;
    try {
      read.push(readGroup(stream, enqueueGroup(stream, own, group)));
    } catch (error) {
      // Its rule is not for such drafts: that of the group alone.
      read.push(Promise.resolve({ results: group.map(() => ({ error })) }));
    }
  }
  return Promise.all(read).then((groups) => {
    const error = groups.find((group) => group.error)?.error;
    return { results: groups.flatMap(({ results }) => results), ...(error ? { error } : {}) };
  });
}

function groupsOf(requests: readonly VerifiedRows[]): VerifiedRows[][] {
  const groups: VerifiedRows[][] = [];
  let before: string | undefined;
  for (const request of requests) {
    const key = groupOf(request.sampler, request.proposal);
    if (key !== undefined && key === before) groups.at(-1)?.push(request);
    else groups.push([request]);
    before = key;
  }
  return groups;
}

function enqueueGroup(stream: Stream, logits: Tensor<'f32'>, requests: readonly VerifiedRows[]): Group {
  const [{ sampler, proposal }] = requests as [VerifiedRows];
  const drafts = requests.map(({ proposal: { draft } }) => draft);
  const { source } = proposal.draft;
  const { history } = sampler;
  const runs = runsOf(requests.map((request) => ({ slot: request.sampler.slot })));
  const draftTokens = tokensOf(stream, drafts);
  const { parameters, seed, dispose } = samplingOf(stream, requests, runs);
  const late = proposal.late && lateNumber(stream, (requests[0] as VerifiedRows).position, proposal.late.pending);
  let drafted: Tensor<'i32'> | undefined;
  try {
    const result = verify(stream, {
      targetLogits: logits,
      draftTokens,
      draftLengths: drafts.map(sizeOf),
      ...(drafts.some((draft) => draft.parents) ? { parents: drafts.map(parentsOf) } : {}),
      ...(source ? { draft: source } : {}),
      rule: proposal.rule,
      parameters,
      seed,
      offset: late ?? requests.map(({ position }) => position),
      ...(history ? { history } : {}),
      logprobs: sampler.logprobs !== undefined,
    });
    keepLast(stream, result.lastTokens, runs);
    proposal.onVerdict?.(result);
    if (drafts.some((draft) => 'enqueued' in draft)) drafted = draftTokens;
    return { requests, result, drafted };
  } finally {
    dispose();
    late?.dispose();
    if (!drafted) draftTokens.dispose();
  }
}

/** The drafts one after the other, in a tensor of its own: who drafted may be gone before it has been read. */
function tokensOf(stream: Stream, drafts: readonly (Draft | EnqueuedDraft)[]): Tensor<'i32'> {
  const { tokens, owned } = joinTokens(
    stream,
    drafts.map((draft) => ('enqueued' in draft ? draft.enqueued : Int32Array.from(draft.tokens))),
  );
  if (tokens instanceof Tensor) return owned ? tokens : tokens.slice(0, 0, tokens.shape[0] as number);
  const uploaded = Tensor.empty(stream.device, [tokens.length], 'i32');
  uploaded.write(tokens, stream);
  return uploaded;
}

/** How the requests sample: as it lies side by side in their slots, or else put together. */
function samplingOf(
  stream: Stream,
  requests: readonly VerifiedRows[],
  runs: readonly Run[],
): { parameters: Tensor<'f32'>; seed: Tensor<'i64'> | bigint[]; dispose: () => void } {
  const [{ slot }] = runs as [Run];
  if (runs.length === 1) {
    const end = slot.index + requests.length;
    const { bank, index } = slot;
    return { parameters: bank.parameters(index, end), seed: bank.seeds(index, end), dispose() {} };
  }
  const samplings = requests.map(({ sampler }) => sampler.sampling);
  const columns: Partial<Record<keyof SamplingParameters, number[]>> = {};
  for (const name of Object.keys(samplings[0] as object) as (keyof SamplingParameters)[]) {
    columns[name] = samplings.map((sampling) => sampling[name]);
  }
  const parameters = packSampling(stream, requests.length, columns);
  return { parameters, seed: requests.map(({ sampler }) => sampler.seed), dispose: () => parameters.dispose() };
}

function keepLast(stream: Stream, lastTokens: Tensor<'i32'>, runs: readonly Run[]): void {
  for (const { begin, end, slot } of runs) {
    using part = lastTokens.slice(0, begin, end);
    slot.bank.last(slot.index, slot.index + end - begin).copyFrom(part, stream);
  }
}

async function readGroup(stream: Stream, { requests, result, drafted }: Group): Promise<Verifications> {
  const { tokens, path, logprobs } = result;
  const width = tokens.shape[1] as number;
  try {
    const [tokensRead, pathRead, logprobsRead, draftedRead] = await Promise.all([
      readDespite(tokens, stream),
      path && readDespite(path, stream),
      logprobs && readDespite(logprobs, stream),
      drafted && readDespite(drafted, stream),
    ]);
    const error = [tokensRead, pathRead, logprobsRead, draftedRead].find((read) => read?.error)?.error;
    let node = 0;
    const results = requests.map(({ proposal: { draft } }, request): Verification => {
      const first = node;
      node += sizeOf(draft);
      const drawn = drawnOf(tokensRead.values, logprobsRead?.values, request * width, width);
      if (drawn.length === 0) return {};
      const accepted = drawn.length - 1;
      const at = request * (width - 1);
      const accepts = pathRead?.values.subarray(at, at + accepted) ?? Array.from({ length: accepted }).keys();
      const known = draftedRead ? knownDraft(draft, draftedRead.values.subarray(first, node)) : (draft as Draft);
      return { verified: { drawn, draft: known, path: Array.from(accepts) } };
    });
    return { results, ...(error ? { error } : {}) };
  } finally {
    for (const tensor of Object.values(result)) (tensor as Tensor).dispose();
    drafted?.dispose();
  }
}

function knownDraft({ parents }: Draft | EnqueuedDraft, tokens: Int32Array): Draft {
  return { tokens: Array.from(tokens), ...(parents ? { parents } : {}) };
}

/** The tokens of a row, up to the first -1. */
function drawnOf(tokens: Int32Array, logprobs: Float32Array | undefined, begin: number, width: number): Drawn[] {
  const drawn: Drawn[] = [];
  for (let i = begin; i < begin + width && (tokens[i] as number) >= 0; i++) {
    const token = tokens[i] as number;
    drawn.push(logprobs ? { token, logprob: { token, logprob: logprobs[i] as number, top: [] } } : { token });
  }
  return drawn;
}
