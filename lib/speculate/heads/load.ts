// SPDX-License-Identifier: Apache-2.0
import { checkInstance, checkObject, disposed, invalidArgument, unsupported } from '../../errors.js';
import type { LlamaRunner } from '../../model/llama.js';
import { LanguageModel } from '../../model/model.js';
import { checkInteger, checkNumber } from '../../ops/check.js';
import type { Stream } from '../../tensor/stream.js';
import { Tensor } from '../../tensor/tensor.js';
import { type Drafter, largestDraft } from '../drafter.js';
import type { DraftModelOptions } from '../draftmodel.js';
import { HeadCheckpoint } from './checkpoint.js';
import { EagleDrafter, EagleHead } from './eagle.js';
import { ResidualDrafter } from './residualdrafter.js';
import type { Affine, ResidualHead, ResidualHeads } from './residualhead.js';

/** What kind of heads a checkpoint has. */
export type DraftHeadKind = 'medusa' | 'hydra' | 'eagle';

export type DraftHeadOptions = Pick<DraftModelOptions, 'maxDraft' | 'width' | 'depth' | 'confidence'>;

/** Most heads side by side, blocks of one, and nodes of a level. */
const mostHeads = 16;
const mostBlocks = 16;
const mostWidth = 64;

/**
 * Draft heads that were trained for a model, on its device. They must not outlive the model, nor be disposed while a generation
 * uses them.
 */
export class DraftHeads implements Disposable {
  readonly kind: DraftHeadKind;
  readonly #make: (options: DraftHeadOptions) => Drafter;
  readonly #free: () => void;
  #disposed = false;

  /** @internal Use {@link loadDraftHeads}. */
  constructor(kind: DraftHeadKind, make: (options: DraftHeadOptions) => Drafter, free: () => void) {
    this.kind = kind;
    this.#make = make;
    this.#free = free;
  }

  /**
   * A drafter for one generation at a time, of the heads' own model: the tree of the most probable continuations.
   * @throws PagewarpError ERR_INVALID_ARGUMENT naming the option, ERR_DISPOSED
   */
  drafter(options: DraftHeadOptions = {}): Drafter {
    if (this.#disposed) throw disposed('DraftHeads');
    checkObject('options', options);
    return this.#make(options);
  }

  dispose(): void {
    if (!this.#disposed) this.#free();
    this.#disposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Loads the draft heads of a checkpoint: Medusa (Cai et al., 2024), Hydra's sequentially dependent heads (Ankner et al., 2024;
 * the architecture "mlp"), or EAGLE's autoregressive head (Li et al., ICML 2024).
 * @param path a folder as the hub lays it out: config.json, and medusa_lm_head.safetensors, hydra_lm_head.safetensors or
 *   model.safetensors (F32, F16, BF16)
 * @param model that they were trained for
 * @throws PagewarpError ERR_IO, ERR_INVALID_MODEL (also for heads of another width or vocabulary), ERR_UNSUPPORTED,
 *   ERR_OUT_OF_MEMORY, ERR_DISPOSED
 */
export async function loadDraftHeads(path: string, model: LanguageModel): Promise<DraftHeads> {
  if (typeof path !== 'string' || path === '') throw invalidArgument('path', path, 'the path of a folder');
  checkInstance('model', model, LanguageModel);
  const { runner, contextLength } = model.parts();
  using checkpoint = HeadCheckpoint.open(path);
  if (checkpoint.has('fc.weight')) {
    const head = await EagleHead.load(checkpoint, runner, contextLength);
    return new DraftHeads(
      'eagle',
      (options) => new EagleDrafter(head, options),
      () => head.dispose(),
    );
  }
  const kind = checkpoint.has('hydra_lm_head.0.weight') ? 'hydra' : 'medusa';
  const loader = new HeadLoader(checkpoint, runner);
  try {
    const heads = kind === 'hydra' ? loader.hydra() : loader.medusa();
    await runner.stream.synchronize();
    return new DraftHeads(kind, (options) => new ResidualDrafter(heads, resolve(options)), heads.free);
  } catch (error) {
    loader.free();
    throw error;
  }
}

function resolve({ maxDraft = 24, width = 4, depth = mostHeads, confidence = 0 }: DraftHeadOptions) {
  checkInteger('maxDraft', maxDraft, 1, largestDraft);
  checkInteger('width', width, 1, mostWidth);
  checkInteger('depth', depth, 1, 63);
  checkNumber('confidence', confidence, 'a number from 0 to 1', (x) => x >= 0 && x <= 1);
  return { maxDraft, width, depth, confidence };
}

/** Packs the heads of Medusa and Hydra. */
class HeadLoader {
  readonly #checkpoint: HeadCheckpoint;
  readonly #runner: LlamaRunner;
  readonly #stream: Stream;
  readonly #owned: Disposable[] = [];

  constructor(checkpoint: HeadCheckpoint, runner: LlamaRunner) {
    this.#checkpoint = checkpoint;
    this.#runner = runner;
    this.#stream = runner.stream;
  }

  /** "2.0.linear.weight": head 2, block 0; after its blocks, "2.1.weight", the head's output layer. */
  medusa(): ResidualHeads & { free: () => void } {
    const { dim } = this.#runner.config;
    const prefix = ['', 'medusa_head.', 'heads.'].find((name) => this.#checkpoint.has(`${name}0.0.linear.weight`));
    if (prefix === undefined) {
      throw unsupported(`${this.#checkpoint.path}: heads of another kind`, 'Medusa, Hydra and EAGLE');
    }
    return this.#heads(false, (head) => {
      const name = `${prefix}${head}.`;
      if (!this.#checkpoint.has(`${name}0.linear.weight`)) return undefined;
      const blocks = this.#blocks((block) => `${name}${block}.`, dim);
      return { blocks, output: this.#output(`${name}${blocks.length}`) };
    });
  }

  /** Heads that read the tokens before theirs, unless "grounded_heads" is false. */
  hydra(): ResidualHeads & { free: () => void } {
    const { config, path } = this.#checkpoint;
    const { dim } = this.#runner.config;
    const architecture = config['hydra_head_arch'] ?? 'mlp';
    if (architecture !== 'mlp') throw unsupported(`${path}: Hydra heads of the kind "${architecture}"`, '"mlp"');
    const grounded = config['grounded_heads'] !== false;
    return this.#heads(grounded, (head) => {
      if (!this.#checkpoint.has(`hydra_lm_head.${head}.weight`)) return undefined;
      const features = grounded ? (head + 2) * dim : dim;
      const blocks = this.#blocks((block) => `hydra_mlp.${head}.${block}.`, features);
      return { blocks, output: this.#output(`hydra_lm_head.${head}`) };
    });
  }

  free(): void {
    for (const resource of this.#owned.splice(0).reverse()) resource[Symbol.dispose]();
  }

  #heads(grounded: boolean, load: (head: number) => ResidualHead | undefined): ResidualHeads & { free: () => void } {
    const { dim } = this.#runner.config;
    const heads: ResidualHead[] = [];
    for (let head = load(0); head && heads.length < mostHeads; head = load(heads.length)) heads.push(head);
    const ones = Tensor.empty(this.#stream.device, [mostWidth, dim], 'f32');
    this.#owned.push(ones);
    ones.fill(1, this.#stream);
    return { heads, grounded, dim, ones, runner: this.#runner, free: () => this.free() };
  }

  #blocks(nameOf: (block: number) => string, features: number): ResidualHead['blocks'] {
    const { dim } = this.#runner.config;
    const blocks: ResidualHead['blocks'][number][] = [];
    for (let block = 0; block < mostBlocks && this.#checkpoint.has(`${nameOf(block)}linear.weight`); block++) {
      const width = block === 0 ? features : dim;
      const skip = this.#checkpoint.has(`${nameOf(block)}res_connection.weight`)
        ? this.#affine(`${nameOf(block)}res_connection`, [dim, width])
        : undefined;
      if (!skip && width !== dim)
        throw this.#checkpoint.invalid(`there is no tensor "${nameOf(block)}res_connection.weight"`);
      blocks.push({ linear: this.#affine(`${nameOf(block)}linear`, [dim, width]), skip });
    }
    return blocks;
  }

  #output(name: string): Affine {
    const { dim, vocabulary } = this.#runner.config;
    return this.#affine(name, [vocabulary, dim]);
  }

  #affine(name: string, shape: readonly [number, number]): Affine {
    this.#checkpoint.requireShape(`${name}.weight`, shape);
    const weight = this.#checkpoint.pack(this.#stream, [`${name}.weight`]);
    this.#owned.push(weight);
    if (!this.#checkpoint.has(`${name}.bias`)) return { weight, bias: undefined };
    this.#checkpoint.requireShape(`${name}.bias`, [shape[0]]);
    const bias = Tensor.from(this.#stream.device, this.#checkpoint.vector(`${name}.bias`), [shape[0]], 'f32');
    this.#owned.push(bias);
    return { weight, bias };
  }
}
