// SPDX-License-Identifier: Apache-2.0
import { PagewarpError, unsupported } from '../errors.js';
import type { RopePairing } from '../ops/rope.js';
import type { RopeScaling } from '../ops/ropefrequencies.js';
import type { GgufFile } from './gguf.js';

/** Families of the Llama architecture, and what they add to it. Mistral's files call themselves llama. */
const families: Readonly<Record<string, { pairing: RopePairing }>> = {
  llama: { pairing: 'interleaved' },
  qwen2: { pairing: 'halves' },
  qwen3: { pairing: 'halves' },
};

/** Shape and constants of a Llama-family model. */
export interface LlamaConfig {
  readonly architecture: string;
  readonly name: string;
  readonly layers: number;
  /** Width of the residual stream. */
  readonly dim: number;
  /** Query heads. */
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Width of the feed-forward layer. */
  readonly ffnDim: number;
  readonly vocabulary: number;
  /** Positions that the model was made for. */
  readonly contextLength: number;
  /** Of RMSNorm. */
  readonly eps: number;
  readonly rope: {
    readonly theta: number;
    /** Elements of a head that are rotated. */
    readonly rotaryDim: number;
    readonly pairing: RopePairing;
    readonly scaling: RopeScaling;
  };
  /** Are the rows of the embedding the rows of the output layer, too? */
  readonly tiedEmbeddings: boolean;
  /** Do Q, K and V have biases (Qwen2)? */
  readonly qkvBias: boolean;
  /** Are the heads of Q and K normalised (Qwen3)? */
  readonly qkNorm: boolean;
}

/**
 * Reads and checks the hyperparameters of a GGUF file, and that its tensors have the shapes that follow from them.
 * @throws PagewarpError ERR_UNSUPPORTED for another architecture, ERR_INVALID_MODEL when the file contradicts itself
 */
export function configFromGguf(file: GgufFile): LlamaConfig {
  const architecture = file.string('general.architecture');
  if (architecture === undefined) throw invalid(file, '"general.architecture" is missing');
  const family = Object.hasOwn(families, architecture) ? families[architecture] : undefined;
  if (!family) {
    throw unsupported(`the architecture "${architecture}" of ${file.path}`, Object.keys(families).join(', '));
  }
  const read = new Reader(file, architecture);
  const experts = read.optional('expert_count', 0, 1024, true);
  if (experts) throw unsupported(`a mixture of ${experts} experts (${file.path})`, 'dense models');
  const dim = read.integer('embedding_length', 1, 1 << 20);
  const heads = read.integer('attention.head_count', 1, 4096);
  const kvHeads = read.optional('attention.head_count_kv', 1, heads, true) ?? heads;
  const headDim = read.optional('attention.key_length', 1, 1024, true) ?? dim / heads;
  if (!Number.isInteger(headDim)) {
    throw invalid(file, `${dim} (embedding_length) is not divisible by ${heads} (attention.head_count)`);
  }
  if (heads % kvHeads !== 0) {
    throw invalid(file, `${heads} query heads cannot share ${kvHeads} key-value heads equally`);
  }
  const valueDim = read.optional('attention.value_length', 1, 1024, true) ?? headDim;
  if (valueDim !== headDim) {
    throw unsupported(`values of ${valueDim} elements beside keys of ${headDim} (${file.path})`, 'equal head sizes');
  }
  const embedding = file.tensor('token_embd.weight');
  const config: LlamaConfig = {
    architecture,
    name: file.string('general.name') ?? architecture,
    layers: read.integer('block_count', 1, 4096),
    dim,
    heads,
    kvHeads,
    headDim,
    ffnDim: read.integer('feed_forward_length', 1, 1 << 24),
    vocabulary: embedding.shape[0] as number,
    contextLength: read.integer('context_length', 1, 2 ** 31 - 1),
    eps: read.number('attention.layer_norm_rms_epsilon', 1e-12, 1),
    rope: ropeOf(file, read, headDim, family.pairing),
    tiedEmbeddings: !file.tensors.has('output.weight'),
    qkvBias: file.tensors.has('blk.0.attn_q.bias'),
    qkNorm: file.tensors.has('blk.0.attn_q_norm.weight'),
  };
  const expected = new Map(tensorShapes(config));
  for (const [name, shape] of expected) checkTensorShape(file, name, shape);
  for (const name of file.tensors.keys()) {
    if (!expected.has(name) && name !== 'rope_freqs.weight') throw superfluous(file.path, name, config);
  }
  return config;
}

/** A tensor that belongs to no part of the model: whatever it is for, text without it would be wrong. */
export function superfluous(path: string, name: string, { layers }: LlamaConfig): PagewarpError {
  const layer = /(?:^blk|\.layers)\.(\d+)\./.exec(name)?.[1];
  if (layer !== undefined && Number(layer) >= layers) {
    const what = `there is a tensor "${name}", but the hyperparameters say that the model has ${layers} layers`;
    return new PagewarpError('ERR_INVALID_MODEL', `${path}: ${what}`, { name, layers });
  }
  return unsupported(`${path}: the tensor "${name}"`, 'weights, and biases of queries, keys and values together');
}

/** Every tensor that a model of this shape has, row-major: [outputs, inputs] for matrices. */
export function* tensorShapes(config: LlamaConfig): Generator<[name: string, shape: number[]]> {
  const { dim, heads, kvHeads, headDim, ffnDim, vocabulary } = config;
  yield ['token_embd.weight', [vocabulary, dim]];
  yield ['output_norm.weight', [dim]];
  if (!config.tiedEmbeddings) yield ['output.weight', [vocabulary, dim]];
  for (let layer = 0; layer < config.layers; layer++) {
    const p = `blk.${layer}.`;
    yield [`${p}attn_norm.weight`, [dim]];
    yield [`${p}attn_q.weight`, [heads * headDim, dim]];
    yield [`${p}attn_k.weight`, [kvHeads * headDim, dim]];
    yield [`${p}attn_v.weight`, [kvHeads * headDim, dim]];
    yield [`${p}attn_output.weight`, [dim, heads * headDim]];
    if (config.qkvBias) {
      yield [`${p}attn_q.bias`, [heads * headDim]];
      yield [`${p}attn_k.bias`, [kvHeads * headDim]];
      yield [`${p}attn_v.bias`, [kvHeads * headDim]];
    }
    if (config.qkNorm) {
      yield [`${p}attn_q_norm.weight`, [headDim]];
      yield [`${p}attn_k_norm.weight`, [headDim]];
    }
    yield [`${p}ffn_norm.weight`, [dim]];
    yield [`${p}ffn_gate.weight`, [ffnDim, dim]];
    yield [`${p}ffn_up.weight`, [ffnDim, dim]];
    yield [`${p}ffn_down.weight`, [dim, ffnDim]];
  }
}

function checkTensorShape(file: GgufFile, name: string, expected: number[]): void {
  const { shape } = file.tensor(name);
  if (shape.length !== expected.length || shape.some((n, d) => n !== expected[d])) {
    throw new PagewarpError(
      'ERR_INVALID_MODEL',
      `${file.path}: tensor "${name}" has shape [${shape.join(', ')}], but the hyperparameters ask for [${expected.join(', ')}]`,
      { name, given: shape, expected },
    );
  }
}

function ropeOf(file: GgufFile, read: Reader, headDim: number, pairing: RopePairing): LlamaConfig['rope'] {
  const rotaryDim = read.optional('rope.dimension_count', 2, headDim, true) ?? headDim;
  if (rotaryDim % 2 !== 0) throw invalid(file, `rope.dimension_count is ${rotaryDim}, but must be even`);
  const theta = read.optional('rope.freq_base', 1.0001, 1e12) ?? 10000;
  return { theta, rotaryDim, pairing, scaling: scalingOf(file, read, rotaryDim) };
}

function scalingOf(file: GgufFile, read: Reader, rotaryDim: number): RopeScaling {
  const magnitude = read.optional('rope.scaling.attn_factor', 1e-3, 1e3);
  if (file.tensors.has('rope_freqs.weight')) {
    checkTensorShape(file, 'rope_freqs.weight', [rotaryDim / 2]);
    const factors = file.values('rope_freqs.weight');
    const wrong = factors.find((factor) => !(factor > 0 && Number.isFinite(factor)));
    if (wrong !== undefined) throw invalid(file, `tensor "rope_freqs.weight" has the factor ${wrong}`);
    return {
      type: 'factors',
      factors,
      ...(magnitude === undefined ? {} : { magnitude }),
    };
  }
  const factor = read.optional('rope.scaling.factor', 1e-3, 1e6) ?? read.optional('rope.scale_linear', 1e-3, 1e6) ?? 1;
  const type = read.text('rope.scaling.type') ?? (factor === 1 ? 'none' : 'linear');
  switch (type) {
    case 'none':
      return { type: 'none' };
    case 'linear':
      return factor === 1 ? { type: 'none' } : { type: 'linear', factor };
    case 'yarn': {
      const originalContext = read.integer('rope.scaling.original_context_length', 1, 2 ** 31 - 1);
      return { type: 'yarn', factor, originalContext, magnitude: (magnitude ?? 1) * (0.1 * Math.log(factor) + 1) };
    }
    default:
      throw unsupported(`the rope scaling "${type}" of ${file.path}`, 'none, linear, yarn, and a rope_freqs tensor');
  }
}

/** Reads hyperparameters under the architecture's prefix and checks their ranges. */
class Reader {
  readonly #file: GgufFile;
  readonly #prefix: string;

  constructor(file: GgufFile, architecture: string) {
    this.#file = file;
    this.#prefix = `${architecture}.`;
  }

  text(key: string): string | undefined {
    return this.#file.string(this.#prefix + key);
  }

  integer(key: string, least: number, most: number): number {
    return this.#required(key, this.optional(key, least, most, true));
  }

  number(key: string, least: number, most: number): number {
    return this.#required(key, this.optional(key, least, most));
  }

  optional(key: string, least: number, most: number, whole = false): number | undefined {
    const value = this.#file.number(this.#prefix + key);
    if (value === undefined) return undefined;
    if (!(value >= least && value <= most) || (whole && !Number.isInteger(value))) {
      const kind = whole ? 'an integer' : 'a number';
      throw invalid(this.#file, `"${this.#prefix}${key}" is ${value}, but must be ${kind} from ${least} to ${most}`);
    }
    return value;
  }

  #required(key: string, value: number | undefined): number {
    if (value === undefined) throw invalid(this.#file, `"${this.#prefix}${key}" is missing`);
    return value;
  }
}

function invalid(file: GgufFile, what: string): PagewarpError {
  return new PagewarpError('ERR_INVALID_MODEL', `${file.path}: ${what}`, { path: file.path });
}
