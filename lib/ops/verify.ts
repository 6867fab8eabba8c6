// SPDX-License-Identifier: Apache-2.0

import { checkList, checkObject, invalidArgument, shapeMismatch, unsupported } from '../errors.js';
import { native } from '../native.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { checkInteger, checkNumber, checkShape, checkTensor } from './check.js';
import { checkLogits } from './sample.js';
import { checkParameters, type SamplingOptions, withSampling } from './sampling.js';
import { depthsOf } from './treemask.js';

/** Where drafted tokens came from, which decides how likely a token had been to be drafted. */
export type DraftSource =
  /** Not by chance: prompt lookup, the most probable tokens of a draft model, a user's guess. */
  | { kind: 'deterministic' }
  /** Drawn by {@link sample} or {@link drawCandidates} from `logits` with the request's own sampling parameters. */
  | {
      kind: 'sampled';
      /** [rows, vocabulary]. */
      logits: Tensor<FloatDType>;
      /** [total drafted]: the row that each token was drawn from. Default: row i for token i. Siblings share a row. */
      rows?: Tensor<'i32'>;
      /** [requests, 8] from {@link packSampling}: how the drafter sampled, when it was not with the request's parameters. */
      parameters?: Tensor<'f32'>;
      /** Siblings were drawn without replacement, in order of their index. Default false: independently. */
      distinct?: boolean;
    };

/** Drafts whose lengths are on the device. */
export interface DraftIndptr {
  /** [requests + 1]: request b drafted tokens indptr[b] to indptr[b + 1]. */
  indptr: Tensor<'i32'>;
  /** No request drafted more than this. */
  maxLength: number;
}

/** Draft trees whose parents are on the device. */
export interface DraftParents {
  /** [total drafted]: of each node the parent, an earlier node of its request, or -1 for the last committed token. */
  parents: Tensor<'i32'>;
  /** No tree is deeper than this. */
  maxDepth: number;
}

/** How {@link verify} judges. All but `typical` and `threshold` are lossless. */
export type VerifyRule =
  /**
   * Recursive rejection sampling. A chain: speculative sampling (Leviathan et al., ICML 2023; Chen et al., 2023). A tree:
   * multi-round speculative sampling (SpecInfer; Miao et al., ASPLOS 2024), or, for siblings drawn without replacement,
   * recursive rejection sampling (RSD; Jeon et al., 2024; Sequoia's and EAGLE's trees).
   */
  | 'rejection'
  /** The same with every temperature 0: the output is plain greedy decoding. */
  | 'greedy'
  /** Siblings, drawn independently, as candidates of one optimal transport (k-SEQ of SpecTr; Sun et al., NeurIPS 2023). */
  | 'k-seq'
  /** The tokens of a chain judged together: at least as many are accepted on average (Sun et al., ICLR 2025). */
  | 'block'
  /**
   * Draws from the target as {@link sample} does with the same seed and offset, and accepts the node that has the token: the
   * output is that of plain sampling, token for token, whatever is drafted. As good as `rejection` for deterministic drafts.
   */
  | 'match'
  /** Lossy. Accepts what has a probability above min(epsilon, delta e^-entropy) (Medusa; Cai et al., 2024). */
  | { kind: 'typical' /** Default 0.09. */; epsilon?: number /** Default 0.3. */; delta?: number }
  /** Lossy. Accepts what has at least this probability. BiLD's rollback (Kim et al., 2023) is e^-alpha. */
  | { kind: 'threshold'; probability: number };

export interface VerifyOptions extends SamplingOptions {
  /**
   * [total drafted + requests, vocabulary]: for each request, the target's logits after its last committed token, then after
   * each drafted token, computed with the tokens above it ({@link treeMask}).
   */
  targetLogits: Tensor<FloatDType>;
  /**
   * [total drafted], contiguous: the requests' drafts one after the other. A negative id ends its request's chain early, or
   * is no node of its tree.
   */
  draftTokens: Tensor<'i32'>;
  /** Drafted tokens per request. */
  draftLengths: readonly number[] | DraftIndptr;
  /**
   * Trees: of each request's nodes the parent, an earlier node, or -1 for the last committed token. Default: chains. Siblings
   * are judged in order of their index; siblings with the same token are one continuation, drawn several times.
   */
  parents?: readonly (readonly number[])[] | DraftParents;
  /** Default: deterministic. */
  draft?: DraftSource;
  /** Default `rejection`. */
  rule?: VerifyRule;
  /** [requests] positions of the first row of each request, to be advanced. */
  positions?: Tensor<'i32' | 'i64'>;
  /** Ask for the log-probabilities of the emitted tokens. */
  logprobs?: boolean;
}

/** Tensors on the device, so that the next step's commands can be enqueued without waiting for them. */
export interface VerifyResult {
  /** [requests]: drafted tokens that were accepted; one more token than that is emitted. */
  acceptedLengths: Tensor<'i32'>;
  /** [requests, deepest draft + 1]: the accepted tokens, the token after them, then -1. */
  tokens: Tensor<'i32'>;
  /** [requests]: the last emitted token, input of the next step. -1 for a request with invalid logits or tokens. */
  lastTokens: Tensor<'i32'>;
  /** [requests, deepest draft]: the accepted nodes of each tree, then -1. With `parents`. */
  path?: Tensor<'i32'>;
  /** [requests]: `positions + acceptedLengths + 1`. With `positions`. */
  nextPositions?: Tensor<'i32' | 'i64'>;
  /** [requests, deepest draft + 1]: log-softmax of the target's logits as given, at the emitted tokens. */
  logprobs?: Tensor<'f32'>;
}

/**
 * Verifies drafted tokens, chains or trees, against the target model's logits: which of them are kept, and the token after
 * them. p and q are the distributions that {@link sample} draws from with the same parameters; accepted tokens count as
 * history. With a lossless rule, what is emitted is distributed exactly as plain sampling.
 *
 * A random number per child judged and one for the last token belong to each position, all different from those of plain
 * sampling at the same seed and offset, which therefore may have drawn the draft. Rows that the walk does not come to are
 * not read.
 *
 * Invalid logits and ids beyond the vocabulary surface as ERR_INVALID_LOGITS and ERR_INVALID_TOKEN at the next
 * synchronisation, drafts on the device that are no trees as ERR_INVALID_ARGUMENT; their request accepts nothing and emits -1.
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function verify(stream: Stream, options: VerifyOptions): VerifyResult {
  checkObject('options', options);
  const { targetLogits, draftTokens, draftLengths, parents, draft = { kind: 'deterministic' } } = options;
  const rule = resolveRule(options.rule ?? 'rejection');
  checkObject('draftLengths', draftLengths);
  checkObject('draft', draft);
  if (parents !== undefined) checkObject('parents', parents);
  checkTensor('draftTokens', draftTokens, stream, ['i32']);
  checkShape('draftTokens', draftTokens, ['total'], 'the drafts one after the other');
  if (!draftTokens.isContiguous) throw invalidArgument('draftTokens', 'a strided view', 'contiguous');
  const total = draftTokens.shape[0] as number;
  const { requests, longest } = checkDraftLengths(draftLengths, total, stream);
  const deepest = parents ? checkParents(parents, draftLengths, total, stream) : longest;
  if (rule.code === ruleCodes.block && parents) {
    throw unsupported('block verification of trees', 'block verification of chains (no parents)');
  }
  if (rule.code === ruleCodes['k-seq'] && (draft.kind !== 'sampled' || draft.distinct)) {
    throw unsupported('k-seq for this draft', 'k-seq for siblings sampled independently');
  }
  checkLogits('targetLogits', targetLogits, stream);
  const vocabulary = targetLogits.shape[1] as number;
  checkShape('targetLogits', targetLogits, [total + requests, vocabulary], 'a row per drafted token and per request');
  const { positions } = options;
  if (positions) {
    checkTensor('positions', positions, stream, ['i32', 'i64']);
    checkShape('positions', positions, [requests], 'one position per request');
  }
  const source = checkDraft(draft, total, vocabulary, requests, stream);

  return withSampling(stream, requests, options, (sampling) => {
    const { device } = stream;
    const uploads: Tensor[] = [];
    const upload = (values: Int32Array): Tensor<'i32'> => {
      const tensor = Tensor.empty(device, [values.length], 'i32');
      uploads.push(tensor);
      tensor.write(values, stream);
      return tensor;
    };
    const indptr = 'indptr' in draftLengths ? draftLengths.indptr : upload(indptrOf(draftLengths));
    const tree = parents && ('parents' in parents ? parents.parents : upload(Int32Array.from(parents.flat())));
    const result: VerifyResult = {
      acceptedLengths: Tensor.empty(device, [requests], 'i32'),
      tokens: Tensor.empty(device, [requests, deepest + 1], 'i32'),
      lastTokens: Tensor.empty(device, [requests], 'i32'),
    };
    if (parents) result.path = Tensor.empty(device, [requests, deepest], 'i32');
    if (positions) result.nextPositions = Tensor.empty(device, [requests], positions.dtype);
    if (options.logprobs) result.logprobs = Tensor.empty(device, [requests, deepest + 1], 'f32');
    native().verify(
      stream.native,
      targetLogits.native,
      draftTokens.native,
      indptr.native,
      tree?.native ?? null,
      source?.logits.native ?? null,
      source?.rows?.native ?? null,
      source?.parameters?.native ?? null,
      source?.distinct ?? false,
      rule.code,
      rule.threshold,
      rule.delta,
      result.acceptedLengths.native,
      result.tokens.native,
      result.lastTokens.native,
      result.path?.native ?? null,
      positions?.native ?? null,
      result.nextPositions?.native ?? null,
      result.logprobs?.native ?? null,
      ...sampling,
    );
    for (const tensor of uploads) tensor.dispose();
    return result;
  });
}

/** pw_verify_rule */
const ruleCodes = { rejection: 0, greedy: 1, 'k-seq': 2, block: 3, typical: 4, threshold: 5, match: 6 } as const;

/** @param name what the caller calls the rule. @throws PagewarpError ERR_INVALID_ARGUMENT */
export function checkRule(name: string, rule: VerifyRule): void {
  resolveRule(rule, name);
}

/** The rule as native code takes it. @throws PagewarpError ERR_INVALID_ARGUMENT */
function resolveRule(rule: VerifyRule, name = 'rule'): { code: number; threshold: number; delta: number } {
  const kind = typeof rule === 'string' ? rule : rule?.kind;
  const lossy = kind === 'typical' || kind === 'threshold';
  if (!Object.hasOwn(ruleCodes, kind) || lossy === (typeof rule === 'string')) {
    throw invalidArgument(
      name,
      rule,
      "'rejection', 'greedy', 'k-seq', 'block', 'match', { kind: 'typical' | 'threshold', ... }",
    );
  }
  const code = ruleCodes[kind];
  if (typeof rule === 'string') return { code, threshold: 0, delta: 0 };
  if (rule.kind === 'threshold')
    return { code, threshold: checkShare(`${name}.probability`, rule.probability), delta: 0 };
  const { epsilon = 0.09, delta = 0.3 } = rule;
  return { code, threshold: checkShare(`${name}.epsilon`, epsilon), delta: checkShare(`${name}.delta`, delta) };
}

function checkShare(name: string, value: number): number {
  checkNumber(name, value, 'a number from 0 to 1', (x) => x >= 0 && x <= 1);
  return value;
}

/** @returns the depth of the deepest tree */
function checkParents(
  parents: readonly (readonly number[])[] | DraftParents,
  lengths: readonly number[] | DraftIndptr,
  total: number,
  stream: Stream,
): number {
  if ('parents' in parents) {
    checkTensor('parents.parents', parents.parents, stream, ['i32']);
    checkShape('parents.parents', parents.parents, [total], 'a parent per drafted token');
    if (!parents.parents.isContiguous) throw invalidArgument('parents.parents', 'a strided view', 'contiguous');
    checkLength('parents.maxDepth', parents.maxDepth);
    return parents.maxDepth;
  }
  if ('indptr' in lengths) throw invalidArgument('parents', 'lists', 'on the device, like draftLengths');
  checkList('parents', parents);
  if (parents.length !== lengths.length) {
    throw shapeMismatch('parents', [parents.length], [lengths.length], 'a list per request');
  }
  let deepest = 0;
  for (const [b, tree] of parents.entries()) {
    const length = lengths[b] as number;
    checkList(`parents[${b}]`, tree);
    if (tree.length !== length) throw shapeMismatch(`parents[${b}]`, [tree.length], [length], 'a parent per node');
    for (const depth of depthsOf(tree, `parents[${b}]`)) deepest = Math.max(deepest, depth);
  }
  return deepest;
}

function checkDraftLengths(
  lengths: readonly number[] | DraftIndptr,
  total: number,
  stream: Stream,
): { requests: number; longest: number } {
  if ('indptr' in lengths) {
    checkTensor('draftLengths.indptr', lengths.indptr, stream, ['i32']);
    checkShape('draftLengths.indptr', lengths.indptr, ['requests + 1'], 'where each draft begins, and the end');
    const requests = (lengths.indptr.shape[0] as number) - 1;
    if (requests < 0) throw shapeMismatch('draftLengths.indptr', [0], ['requests + 1'], 'it has at least one entry');
    checkLength('draftLengths.maxLength', lengths.maxLength);
    return { requests, longest: lengths.maxLength };
  }
  let sum = 0;
  let longest = 0;
  checkList('draftLengths', lengths);
  for (const length of lengths) {
    checkLength('draftLengths', length);
    sum += length;
    longest = Math.max(longest, length);
  }
  if (sum !== total) throw shapeMismatch('draftTokens', [total], [sum], 'draftLengths add up to that');
  return { requests: lengths.length, longest };
}

function checkLength(name: string, length: number): void {
  checkInteger(name, length, 0);
}

function checkDraft(
  draft: DraftSource,
  total: number,
  vocabulary: number,
  requests: number,
  stream: Stream,
): Extract<DraftSource, { kind: 'sampled' }> | undefined {
  if (draft.kind === 'deterministic') return undefined;
  if (draft.kind !== 'sampled') {
    throw invalidArgument('draft.kind', (draft as { kind: unknown }).kind, "'deterministic' or 'sampled'");
  }
  const { logits, rows } = draft;
  checkLogits('draft.logits', logits, stream);
  checkShape('draft.logits', logits, [rows ? 'rows' : total, vocabulary], 'rows with the target vocabulary');
  if (rows) {
    checkTensor('draft.rows', rows, stream, ['i32']);
    checkShape('draft.rows', rows, [total], 'a row per drafted token');
    if (!rows.isContiguous) throw invalidArgument('draft.rows', 'a strided view', 'contiguous');
  }
  if (draft.parameters) checkParameters('draft.parameters', draft.parameters, requests, stream);
  return draft;
}

function indptrOf(lengths: readonly number[]): Int32Array {
  const indptr = new Int32Array(lengths.length + 1);
  lengths.forEach((length, i) => {
    indptr[i + 1] = (indptr[i] as number) + length;
  });
  return indptr;
}
