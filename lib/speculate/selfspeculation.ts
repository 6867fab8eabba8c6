// SPDX-License-Identifier: Apache-2.0
import { checkList, checkObject, invalidArgument } from '../errors.js';
import type { TokenPart } from '../model/tokens.js';
import { checkInteger, checkNumber } from '../ops/check.js';
import { argmax } from '../ops/sample.js';
import { Tensor } from '../tensor/tensor.js';
import { type Candidates, readCandidates } from './candidates.js';
import type { Draft, Drafter, DraftTarget, EnqueuedDraft } from './drafter.js';
import { noDraft } from './drafter.js';
import type { JointMember } from './jointsteps.js';
import { type DraftRows, type ModelPart, ModelSteps } from './modelsteps.js';

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
  checkList('skipLayers', skipLayers);
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

interface PartOptions {
  exitLayer: number | undefined;
  skipLayers: readonly number[];
  window: number | undefined;
  sinkTokens: number;
  maxDraft: number;
  confidence: number;
}

/** A generation that is drafted for. */
interface Served {
  target: DraftTarget;
  part: ModelPart;
  member: JointMember<DraftRows>;
  /** The last enqueued draft. */
  tokens: Tensor<'i32'>;
}

/** Those that draft with the same part of a model at the same time do that in the same steps. */
class SelfSpeculation implements Drafter {
  readonly #options: PartOptions;
  #served: Served | undefined;

  constructor(options: PartOptions) {
    this.#options = options;
  }

  reset(target?: DraftTarget): void {
    this.#served?.member.dispose();
    this.#served?.tokens.dispose();
    this.#served = undefined;
    if (!target) return;
    const { runner } = target;
    const part = partOf(this.#options, runner.config.layers);
    const tokens = Tensor.empty(runner.stream.device, [this.#options.maxDraft], 'i32');
    this.#served = { target, part, member: ModelSteps.of(runner).join(), tokens };
  }

  async draft(context: ArrayLike<number>, maxTokens: number, worth = 0): Promise<Draft> {
    return (await this.#together((served) => this.#grow(served, context, maxTokens, worth))) ?? noDraft;
  }

  enqueue(
    context: ArrayLike<number>,
    maxTokens: number,
    _worth: number,
    depth: number,
  ): Promise<EnqueuedDraft | undefined> | undefined {
    const { maxDraft, confidence } = this.#options;
    const count = Math.min(maxTokens, maxDraft, depth);
    if (confidence > 0 || count < 1) return undefined;
    return this.#together((served) => this.#enqueue(served, context, count));
  }

  observe(): void {}

  dispose(): void {
    this.reset();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * Drafts at the same time as others that do with this part, and takes the nodes out of the cache again.
   * @returns undefined also when the generation has ended meanwhile
   */
  async #together<T>(make: (served: Served) => Promise<T>): Promise<T | undefined> {
    const served = this.#served;
    if (!served) return undefined;
    const { kv } = served.target;
    const base = kv.length;
    try {
      return await served.member.draft(() => make(served));
    } finally {
      if (this.#served === served && !kv.isDisposed && !kv.cache.isDisposed) kv.truncate(base);
    }
  }

  async #grow(served: Served, context: ArrayLike<number>, maxTokens: number, worth: number): Promise<Draft> {
    const { runner, sampling } = served.target;
    const { maxDraft, confidence } = this.#options;
    const least = Math.max(worth, confidence);
    const tokens: number[] = [];
    let chance = 1;
    for (let last = context[context.length - 1] as number; tokens.length < Math.min(maxTokens, maxDraft); ) {
      const drawn: Candidates | undefined = await this.#step(served, Int32Array.of(last), (logits) =>
        readCandidates(runner.stream, logits, 1, sampling),
      );
      if (!drawn) break;
      last = drawn.ids[0] as number;
      chance *= Math.exp(drawn.logprobs[0] as number);
      if (last < 0 || chance <= least) break;
      tokens.push(last);
    }
    return this.#served === served ? { tokens } : noDraft;
  }

  async #enqueue(served: Served, context: ArrayLike<number>, count: number): Promise<EnqueuedDraft | undefined> {
    const { stream } = served.target.runner;
    using place = served.tokens.slice(0, 0, count);
    let made = 0;
    const draw = (logits: Tensor<'f32'>): true => {
      using out = place.slice(0, made, made + 1);
      argmax(stream, { logits, out });
      return true;
    };
    let isDrawn = await this.#step(served, Int32Array.of(context[context.length - 1] as number), draw);
    while (isDrawn) {
      made++;
      if (made === count) break;
      using last = place.slice(0, made - 1, made);
      isDrawn = await this.#step(served, last, draw);
    }
    return made > 0 && this.#served === served ? { enqueued: place.slice(0, 0, made) } : undefined;
  }

  /**
   * The part's step over one token.
   * @returns what `use` returns; undefined where other sequences have taken the room, or the generation has ended
   */
  #step<T>({ target, part, member }: Served, ids: TokenPart, use: (logits: Tensor<'f32'>) => T) {
    return member.step({ kv: target.kv, ids, count: 1, outputs: 1, part, use });
  }
}

/** @throws PagewarpError ERR_INVALID_ARGUMENT for layers that the model does not have */
function partOf({ exitLayer, skipLayers, window, sinkTokens }: PartOptions, modelLayers: number): ModelPart {
  const exit = exitLayer ?? modelLayers;
  const beyond = [exit - 1, ...skipLayers].find((layer) => layer >= modelLayers);
  if (beyond !== undefined) throw invalidArgument('layer', beyond, `from 0 to ${modelLayers - 1}, those of this model`);
  const layers = Array.from({ length: exit }, (_, layer) => layer).filter((layer) => !skipLayers.includes(layer));
  return { layers, ...(window === undefined ? {} : { window, sinkTokens }) };
}
