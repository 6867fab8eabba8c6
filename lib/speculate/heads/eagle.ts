// SPDX-License-Identifier: Apache-2.0
import { disposed } from '../../errors.js';
import { PagedKvCache } from '../../kv/cache.js';
import type { LlamaConfig } from '../../model/config.js';
import { hfName } from '../../model/hf.js';
import { configFromHf } from '../../model/hfconfig.js';
import { LlamaRunner } from '../../model/llama.js';
import type { FusionWeights, LayerWeights } from '../../model/weights.js';
import { loadLayer, WeightLoader } from '../../model/weights.js';
import { gatherRows } from '../../ops/embedding.js';
import { PackedMatrix } from '../../quant/matrix.js';
import type { Stream } from '../../tensor/stream.js';
import { Tensor } from '../../tensor/tensor.js';
import { type Draft, type DraftOutcome, type DraftTarget, type EnqueuedDraft, noDraft } from '../drafter.js';
import { type DraftModelOptions, mostPerLevel, resolveDraftOptions } from '../draftmodel.js';
import type { DraftRunner, HeadRows } from '../draftsequence.js';
import { ModelDrafter } from '../modeldrafter.js';
import type { HeadCheckpoint } from './checkpoint.js';
import { FeatureStore } from './features.js';
import { requireRunner } from './residualdrafter.js';

const pageSize = 16;

/** An EAGLE head: one layer or a few between the target's embedding and its output layer, with a cache of their own. */
export class EagleHead implements DraftRunner, Disposable {
  readonly runner: LlamaRunner;
  /** Of the model that it was made for. */
  readonly target: LlamaRunner;
  readonly contextLength: number;
  readonly #owned: Disposable[];

  private constructor(runner: LlamaRunner, target: LlamaRunner, contextLength: number, owned: Disposable[]) {
    this.runner = runner;
    this.target = target;
    this.contextLength = contextLength;
    this.#owned = owned;
  }

  /** @throws PagewarpError ERR_INVALID_MODEL, ERR_UNSUPPORTED, ERR_OUT_OF_MEMORY */
  static async load(checkpoint: HeadCheckpoint, target: LlamaRunner, contextLength: number): Promise<EagleHead> {
    // Checkpoints name their layers with and without "model.".
    const bare = !checkpoint.has('model.layers.0.self_attn.q_proj.weight');
    const layers = checkpoint.renamed((name) => hfName(name).slice(bare ? 'model.'.length : 0));
    const config = configOf(checkpoint, layers, target.config);
    const { stream } = target;
    const loader = new WeightLoader(layers, stream);
    const { owned } = loader;
    try {
      const fusion = fusionOf(checkpoint, stream, config.dim, owned);
      const loaded: LayerWeights[] = [];
      for (let layer = 0; layer < config.layers; layer++) {
        loaded.push(await loadLayer(loader, config, layer, layers.has(`blk.${layer}.attn_norm.weight`)));
      }
      const cache = new PagedKvCache(stream.device, {
        layers: config.layers,
        kvHeads: config.kvHeads,
        headDim: config.headDim,
        pageSize,
        pages: Math.ceil((2 * contextLength) / pageSize),
        dtype: 'f16',
      });
      owned.push(cache);
      const { embedding, output } = target.weights;
      const weights = { embedding, fusion, layers: loaded, outputNorm: undefined, output };
      const chunk = Math.min(512, contextLength);
      const limits = { rows: Math.max(mostPerLevel, chunk), outputs: mostPerLevel, chunk };
      const runner = new LlamaRunner(stream, config, weights, cache, limits);
      owned.push(runner);
      await stream.synchronize();
      return new EagleHead(runner, target, contextLength, owned);
    } catch (error) {
      for (const resource of owned.reverse()) resource[Symbol.dispose]();
      throw error;
    }
  }

  parts(): { runner: LlamaRunner; contextLength: number } {
    return { runner: this.runner, contextLength: this.contextLength };
  }

  dispose(): void {
    for (const resource of this.#owned.splice(0).reverse()) resource[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The head's own shape; its vocabulary and width are the target's. */
function configOf(checkpoint: HeadCheckpoint, layers: HeadCheckpoint, target: LlamaConfig): LlamaConfig {
  const config = configFromHf(`${checkpoint.path}/config.json`, checkpoint.config, {
    vocabulary: target.vocabulary,
    tied: true,
    qkvBias: layers.has('blk.0.attn_q.bias'),
    qkNorm: layers.has('blk.0.attn_q_norm.weight'),
  });
  const { dim, heads, kvHeads, headDim, ffnDim } = config;
  if (dim !== target.dim) {
    throw checkpoint.invalid(`it was made for a model of width ${dim}, but this one has ${target.dim}`);
  }
  checkpoint.requireShape('fc.weight', [dim, 2 * dim]);
  for (let layer = 0; layer < config.layers; layer++) {
    for (const [name, shape] of [
      ['attn_q', [heads * headDim, dim]],
      ['attn_k', [kvHeads * headDim, dim]],
      ['attn_v', [kvHeads * headDim, dim]],
      ['attn_output', [dim, heads * headDim]],
      ['ffn_norm', [dim]],
      ['ffn_gate', [ffnDim, dim]],
      ['ffn_up', [ffnDim, dim]],
      ['ffn_down', [dim, ffnDim]],
    ] as const) {
      layers.requireShape(`blk.${layer}.${name}.weight`, shape);
    }
  }
  return config;
}

/** The layer over embedding and features side by side, as two. */
function fusionOf(checkpoint: HeadCheckpoint, stream: Stream, dim: number, owned: Disposable[]): FusionWeights {
  const format = checkpoint.kindOf('fc.weight') === 'F32' ? 'f32' : 'f16';
  using both = Tensor.from(stream.device, checkpoint.vector('fc.weight'), [dim, 2 * dim], 'f32');
  const half = (begin: number): PackedMatrix => {
    using part = both.slice(1, begin, begin + dim);
    using copy = part.to('f32', stream);
    const matrix = PackedMatrix.fromTensor(stream, copy, format);
    owned.push(matrix);
    return matrix;
  };
  const [embedding, features] = [half(0), half(dim)];
  if (!checkpoint.has('fc.bias')) return { embedding, features, bias: undefined };
  const bias = Tensor.from(stream.device, checkpoint.vector('fc.bias'), [dim], 'f32');
  owned.push(bias);
  return { embedding, features, bias };
}

/**
 * Drafts with an EAGLE head (Li et al., ICML 2024): its row for token i + 1 joins that token with the target's features of token
 * i, or, below the root of a draft, with the head's own.
 */
export class EagleDrafter extends ModelDrafter {
  readonly #head: EagleHead;
  #stream: Stream | undefined;
  #features: FeatureStore | undefined;
  /** The head's own features of the rows computed for a draft. */
  #own: Tensor<'f32'> | undefined;

  constructor(head: EagleHead, options: DraftModelOptions) {
    super(head, resolveDraftOptions(options));
    this.#head = head;
  }

  get features(): FeatureStore | undefined {
    return this.#features;
  }

  override reset(target?: DraftTarget): void {
    this.#free();
    if (target) requireRunner(this.#head.target, target);
    super.reset(target);
    if (!target) return;
    const { stream } = target.runner;
    const { dim } = this.#head.runner.config;
    this.#stream = stream;
    this.#features = new FeatureStore(stream, dim, this.#head.contextLength, target.runner.maxOutputs);
    this.#own = Tensor.empty(stream.device, [this.mostRows, dim], 'f32');
  }

  override async draft(context: ArrayLike<number>, maxTokens: number, worth?: number): Promise<Draft> {
    const tokens = this.#rowsOf(context);
    return tokens ? super.draft(tokens, maxTokens, worth) : noDraft;
  }

  override enqueue(
    context: ArrayLike<number>,
    maxTokens: number,
    worth: number,
    depth: number,
  ): Promise<EnqueuedDraft | Draft | undefined> | undefined {
    const tokens = this.#rowsOf(context);
    return tokens && super.enqueue(tokens, maxTokens, worth, depth);
  }

  override observe(outcome: DraftOutcome): void {
    super.observe(outcome);
    this.#features?.observe(outcome);
  }

  override dispose(): void {
    super.dispose();
    this.#free();
  }

  protected override get head(): HeadRows {
    return {
      contextStep: (begin, end) => {
        const { first } = this.#features as FeatureStore;
        const inputs = this.#features?.view(first + begin, first + end);
        return { features: true, ...(inputs ? { inputs } : {}) };
      },
      nodeStep: (rows) => {
        const stream = this.#stream as Stream;
        using indices = Tensor.empty(stream.device, [rows.length], 'i32');
        indices.write(rows, stream);
        return { features: true, inputs: gatherRows(stream, { x: this.#own as Tensor<'f32'>, indices }) };
      },
      computed: (features, begin) => {
        using to = this.#own?.slice(0, begin, begin + (features.shape[0] as number));
        to?.copyFrom(features, this.#stream);
      },
    };
  }

  /** The tokens that the head has rows for: not the first whose features are known. undefined: some are not known. */
  #rowsOf(context: ArrayLike<number>): number[] | undefined {
    const store = this.#features;
    if (!store) throw disposed('draft heads');
    using known = store.view(store.first, context.length - 1);
    return (
      known &&
      Array.from({ length: context.length - store.first - 1 }, (_, i) => context[store.first + 1 + i] as number)
    );
  }

  #free(): void {
    this.#features?.dispose();
    this.#own?.dispose();
    this.#features = undefined;
    this.#own = undefined;
  }
}
