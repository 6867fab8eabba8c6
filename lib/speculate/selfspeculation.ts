// SPDX-License-Identifier: Apache-2.0
import { checkObject, invalidArgument } from '../errors.js';
import { drawCandidates } from '../ops/candidates.js';
import { checkInteger, checkNumber } from '../ops/check.js';
import { argmax } from '../ops/sample.js';
import { Tensor } from '../tensor/tensor.js';
import type { Draft, Drafter, DraftTarget, EnqueuedDraft } from './drafter.js';
import { noDraft } from './drafter.js';

export interface SelfSpeculationOptions {
  /** Run only the first so many layers (early exit, as in LayerSkip; Elhoushi et al., ACL 2024). Default: all. */
  exitLayer?: number;
  /** Leave these layers out (Draft & Verify; Zhang et al., ACL 2024). */
  skipLayers?: readonly number[];
  /** Attend to the last so many keys only (StreamingLLM as a draft; TriForce; Sun et al., 2024). Default: all. */
  window?: number;
  /** First keys that the window never hides. Default 4. */
  sinkTokens?: number;
  /** Most tokens of a draft, 1 to 63. Default 4. */
  maxDraft?: number;
  /** Go on only while the chance of all drafted tokens is above this. Default 0: what the generation finds worthwhile. */
  confidence?: number;
}

/**
 * Drafts with a part of the target model: fewer layers, or an attention that sees less. It uses the target's own cache, since
 * the keys and values of committed tokens serve the part as they are; those of drafted tokens are overwritten when the draft is
 * verified. No memory, no second model; it pays when the model was trained for it or the context is long.
 * @throws PagewarpError ERR_INVALID_ARGUMENT; when a generation begins also for layers that the model does not have
 */
export function selfSpeculation(options: SelfSpeculationOptions): Drafter {
  checkObject('options', options);
  const { exitLayer, skipLayers = [], window, sinkTokens = 4, maxDraft = 4, confidence = 0 } = options;
  if (exitLayer !== undefined) checkInteger('exitLayer', exitLayer, 1, 1024);
  for (const layer of skipLayers) checkInteger('skipLayers', layer, 0, 1023);
  if (window !== undefined) checkInteger('window', window, 1, 2 ** 31 - 1);
  checkInteger('sinkTokens', sinkTokens, 0, 2 ** 31 - 1);
  checkInteger('maxDraft', maxDraft, 1, 63);
  checkNumber('confidence', confidence, 'a number from 0 to 1', (x) => x >= 0 && x <= 1);
  if (exitLayer === undefined && skipLayers.length === 0 && window === undefined) {
    throw invalidArgument('options', options, 'exitLayer, skipLayers or window: a part of the model');
  }
  return new SelfSpeculation({ exitLayer, skipLayers, window, sinkTokens, maxDraft, confidence });
}

interface Part {
  exitLayer: number | undefined;
  skipLayers: readonly number[];
  window: number | undefined;
  sinkTokens: number;
  maxDraft: number;
  confidence: number;
}

class SelfSpeculation implements Drafter {
  readonly #part: Part;
  #target: DraftTarget | undefined;
  #layers: number[] = [];
  #tokens: Tensor<'i32'> | undefined;

  constructor(part: Part) {
    this.#part = part;
  }

  reset(target?: DraftTarget): void {
    this.#tokens?.dispose();
    this.#tokens = undefined;
    this.#target = target;
    if (!target) return;
    const { layers } = target.runner.config;
    const { exitLayer = layers, skipLayers } = this.#part;
    const beyond = [exitLayer - 1, ...skipLayers].find((layer) => layer >= layers);
    if (beyond !== undefined) throw invalidArgument('layer', beyond, `from 0 to ${layers - 1}, those of this model`);
    this.#layers = Array.from({ length: exitLayer }, (_, layer) => layer).filter(
      (layer) => !skipLayers.includes(layer),
    );
  }

  async draft(context: ArrayLike<number>, maxTokens: number, worth = 0): Promise<Draft> {
    const target = this.#target;
    if (!target) return noDraft;
    const { runner, kv, sampling } = target;
    const { maxDraft, confidence } = this.#part;
    const { temperature, topK, topP, minP } = sampling;
    const { stream } = runner;
    const base = kv.length;
    const least = Math.max(worth, confidence);
    const tokens: number[] = [];
    let chance = 1;
    try {
      for (let last = context[context.length - 1] as number; tokens.length < Math.min(maxTokens, maxDraft); ) {
        // Other sequences may have taken pages meanwhile.
        if (kv.length % kv.cache.pageSize === 0 && kv.cache.freeTokens === 0) break;
        const logits = this.#step(target, Int32Array.of(last));
        const filters = temperature > 0 ? { temperature, topK, topP, minP } : {};
        const drawn = drawCandidates(stream, { logits, count: 1, kind: 'top', ...filters });
        const reads = Promise.all([drawn.ids.read(stream), drawn.logprobs.read(stream)]);
        drawn.ids.dispose();
        drawn.logprobs.dispose();
        const [ids, logprobs] = await reads;
        if (this.#target !== target) return noDraft; // that generation has ended meanwhile
        last = ids[0] as number;
        chance *= Math.exp(logprobs[0] as number);
        if (last < 0 || chance <= least) break;
        tokens.push(last);
      }
    } finally {
      if (this.#target === target && !kv.isDisposed) kv.truncate(base);
    }
    return { tokens };
  }

  enqueue(context: ArrayLike<number>, maxTokens: number, _worth: number, depth: number): EnqueuedDraft | undefined {
    const target = this.#target;
    const { maxDraft, confidence } = this.#part;
    if (!target || confidence > 0) return undefined;
    const { kv, runner } = target;
    const { stream } = runner;
    const base = kv.length;
    const count = Math.min(maxTokens, maxDraft, depth);
    this.#tokens ??= Tensor.empty(stream.device, [maxDraft], 'i32');
    try {
      let logits = this.#step(target, Int32Array.of(context[context.length - 1] as number));
      for (let at = 0; ; at++) {
        using place = this.#tokens.slice(0, at, at + 1);
        argmax(stream, { logits, out: place });
        if (at + 1 === count) break;
        logits = this.#step(target, place);
      }
    } finally {
      kv.truncate(base);
    }
    return { enqueued: this.#tokens.slice(0, 0, count) };
  }

  observe(): void {}

  dispose(): void {
    this.reset();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Enqueues the part's step over one token; its logits. */
  #step({ runner, kv }: DraftTarget, ids: Int32Array | Tensor<'i32'>): Tensor<'f32'> {
    const { window, sinkTokens } = this.#part;
    kv.reserve(1, runner.stream);
    const batch = runner.cache.batch([{ sequence: kv, queryLength: 1 }]);
    return runner.forward(batch, ids, 1, {
      layers: this.#layers,
      ...(window === undefined ? {} : { window, sinkTokens }),
    });
  }
}
