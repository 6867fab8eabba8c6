// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PagewarpError, unsupported } from '../errors.js';
import { type NativeInt4, native } from '../native.js';
import type { Piecewise } from '../piecewise.js';
import type { MatrixFormat } from '../quant/format.js';
import { PackedMatrix } from '../quant/matrix.js';
import type { Stream } from '../tensor/stream.js';
import { jsonTokenizer, type TokenizerConfig, type TokenizerJson } from '../tokenizer/json.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { type LlamaConfig, superfluous, tensorShapes } from './config.js';
import { configFromHf } from './hfconfig.js';
import { codesOf, type Int4Scheme, int4Matrix, int4SchemeOf, type Lut4Matrix, lut4Matrix } from './int4.js';
import { type Json, readJsonObject } from './json.js';
import { type SafeTensor, SafetensorsFile } from './safetensors.js';
import type { ModelSource } from './source.js';

/** Modules of a layer by GGUF's names. */
const layerModules: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  attn_output: 'self_attn.o_proj',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};

const globalModules: Readonly<Record<string, string>> = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
};

const otherFiles = [
  'tokenizer.json',
  'tokenizer_config.json',
  'generation_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
];

/** "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight" */
export function hfName(name: string): string {
  const [, layer, layerModule, globalModule, kind] = /^(?:blk\.(\d+)\.(\w+)|(\w+))\.(\w+)$/.exec(name) ?? [];
  if (layer === undefined) return `${globalModules[globalModule as string]}.${kind}`;
  return `model.layers.${layer}.${layerModules[layerModule as string]}.${kind}`;
}

/** Encodes a text of common characters; that the vocabulary has no token for one of them is no mistake. */
function encodes(tokenizer: Tokenizer, parseSpecial: boolean): void {
  try {
    tokenizer.encode('A 1st test, of "words"\n and such\u00e9.', { parseSpecial });
  } catch (error) {
    if (!(error instanceof PagewarpError) || error.code !== 'ERR_INVALID_TOKEN') throw error;
  }
}

export const denseFormats: Readonly<Record<string, MatrixFormat>> = { F32: 'f32', F16: 'f16', BF16: 'bf16' };

/**
 * A folder as the Hugging Face hub lays it out: config.json, model.safetensors (or shards with an index), tokenizer.json.
 * Weights may be F32, F16 or BF16, or 4-bit as GPTQ, AWQ and compressed-tensors store them.
 */
export class HfSource implements ModelSource {
  readonly path: string;
  readonly config: LlamaConfig;
  readonly #shards = new Map<string, SafetensorsFile>();
  /** The shard of each tensor. */
  readonly #files = new Map<string, SafetensorsFile>();
  readonly #scheme: Int4Scheme | undefined;
  /** The contents of config.json. */
  readonly configJson: Json;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  readonly #int4 = new Map<string, NativeInt4>();
  readonly #lut4 = new Map<string, Lut4Matrix>();

  /** @throws PagewarpError ERR_IO, ERR_INVALID_MODEL, ERR_UNSUPPORTED */
  constructor(path: string) {
    this.path = path;
    try {
      this.configJson = this.#readJson('config.json');
      this.#openShards();
      this.#scheme = int4SchemeOf(path, this.configJson['quantization_config']);
      this.config = configFromHf(join(path, 'config.json'), this.configJson, {
        vocabulary: this.#tensor('token_embd.weight').shape[0] ?? 0,
        tied: this.#tied(),
        qkvBias: this.#files.has(hfName('blk.0.attn_q.bias')),
        qkNorm: this.#files.has(hfName('blk.0.attn_q_norm.weight')),
      });
      this.#shapes = new Map(tensorShapes(this.config));
      for (const [name, shape] of this.#shapes) this.#check(name, shape);
      this.#checkOthers();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  get tensorBytes(): number {
    return [...this.#shapes.keys()].reduce((sum, name) => sum + this.bytesOf(name), 0);
  }

  /** Are there matrices in 4 bits? */
  get isQuantized(): boolean {
    return this.#scheme !== undefined;
  }

  /** Every tensor of the folder, by the folder's own names. */
  tensorNames(): Iterable<string> {
    return this.#files.keys();
  }

  /** A tensor by the folder's own name. */
  safeTensor(name: string): SafeTensor {
    return this.#fileOf(name).tensor(name);
  }

  /** A tensor's bytes, by the folder's own name. */
  rawBytes(name: string): Uint8Array {
    return new Uint8Array(this.#fileOf(name).bytes(name));
  }

  /** Files beside weights and configuration that belong to the model. */
  otherFiles(): string[] {
    return otherFiles.filter((name) => existsSync(join(this.path, name)));
  }

  /** The contents of tokenizer.json and tokenizer_config.json. */
  tokenizerFiles(): { json: TokenizerJson; config: TokenizerConfig } {
    const json = this.#readJson('tokenizer.json') as unknown as TokenizerJson;
    const config: TokenizerConfig = this.#optionalJson('tokenizer_config.json');
    const template = join(this.path, 'chat_template.jinja');
    if (config.chat_template === undefined && existsSync(template)) {
      config.chat_template = readFileSync(template, 'utf8');
    }
    return { json, config };
  }

  *tokenizer(): Piecewise<Tokenizer> {
    const { json, config } = this.tokenizerFiles();
    const ends = [this.configJson, this.#optionalJson('generation_config.json')].flatMap(
      (source) => source['eos_token_id'],
    );
    const endTokens = ends.filter((id): id is number => Number.isInteger(id));
    try {
      const tokenizer = yield* jsonTokenizer(json, config, [...new Set(endTokens)]);
      // What is wrong with its rules shows when it is used: better now than in the midst of a generation.
      for (const parseSpecial of [true, false]) encodes(tokenizer, parseSpecial);
      return tokenizer;
    } catch (error) {
      if (error instanceof PagewarpError) throw error;
      const message = `${this.path}: tokenizer.json cannot be used: ${(error as Error).message}`;
      throw new PagewarpError('ERR_INVALID_MODEL', message, { path: this.path }, { cause: error });
    }
  }

  bytesOf(name: string): number {
    const int4 = this.#int4.get(name);
    const lut4 = this.#lut4.get(name);
    if (lut4) return lut4.file.tensor(lut4.blocks).bytes + lut4.levels.byteLength;
    if (!int4) return this.#tensor(name).bytes;
    return int4.codes[2] + int4.scales[2] + (int4.zeros?.[2] ?? 0);
  }

  vector(name: string): Float32Array {
    return this.#fileOf(hfName(name)).values(hfName(name));
  }

  kindOf(name: string): string {
    const int4 = this.#int4.get(name);
    if (this.#lut4.has(name)) return 'lut4';
    if (!int4) return this.#tensor(name).dtype;
    return `int4, ${int4.zeros ? 'zero points' : 'symmetric'}, order ${int4.order?.join() ?? 'plain'}`;
  }

  pack(stream: Stream, names: readonly string[]): PackedMatrix {
    const quantised = names.flatMap((name) => this.#int4.get(name) ?? []);
    if (quantised.length > 0) return PackedMatrix.fromInt4(stream, quantised);
    return PackedMatrix.fromFile(
      stream,
      names.map((name) => {
        const lut4 = this.#lut4.get(name);
        if (lut4) {
          const { file, blocks, levels, rows, columns } = lut4;
          const { offset } = file.tensor(blocks);
          return { file: file.native, offset, rows, columns, format: 'lut4' as const, levels };
        }
        const { shape, dtype, offset } = this.#tensor(name);
        const [rows, columns] = shape as [number, number];
        const format = denseFormats[dtype];
        if (!format) throw unsupported(`${this.path}: tensor "${hfName(name)}" of type ${dtype}`, 'F32, F16, BF16');
        return { file: this.#fileOf(hfName(name)).native, offset, rows, columns, format };
      }),
    );
  }

  [Symbol.dispose](): void {
    for (const shard of this.#shards.values()) shard.dispose();
  }

  #tied(): boolean {
    if (this.#files.has('lm_head.weight')) return this.configJson['tie_word_embeddings'] === true;
    return true;
  }

  #tensor(name: string): ReturnType<SafetensorsFile['tensor']> {
    return this.#fileOf(hfName(name)).tensor(hfName(name));
  }

  #fileOf(tensor: string): SafetensorsFile {
    const file = this.#files.get(tensor);
    if (!file) throw this.#invalid(`there is no tensor "${tensor}"`);
    return file;
  }

  /** That a tensor has the shape which the hyperparameters ask for, dense or quantised. */
  #check(name: string, expected: readonly number[]): void {
    const module = hfName(name).replace(/\.weight$/, '');
    const [rows, columns] = expected as [number, number];
    if (this.#scheme && expected.length === 2 && this.#files.has(codesOf(module, this.#scheme))) {
      const file = (tensor: string) => this.#fileOf(tensor);
      const has = (tensor: string) => this.#files.has(tensor);
      if (this.#scheme.method === 'pagewarp') {
        this.#lut4.set(name, lut4Matrix(module, [rows, columns], file));
        return;
      }
      const int4 = int4Matrix(this.#scheme, module, [rows, columns], file, has);
      // Zero points that are all 8 need not be kept.
      const symmetric = !int4.zeros || native().int4IsSymmetric(int4);
      if (!symmetric && int4.groupSize % 32 !== 0) {
        throw unsupported(`${module}: zero points of groups of ${int4.groupSize} columns`, 'multiples of 32 columns');
      }
      this.#int4.set(name, symmetric ? { ...int4, zeros: null } : int4);
      return;
    }
    const { shape } = this.#tensor(name);
    if (shape.length !== expected.length || shape.some((n, d) => n !== expected[d])) {
      throw this.#invalid(
        `tensor "${hfName(name)}" has shape [${shape.join(', ')}], but the hyperparameters ask for [${expected.join(', ')}]`,
      );
    }
  }

  /** That no layer and no bias is left out. What else may lie beside the weights depends on how they were quantised. */
  #checkOthers(): void {
    const { layers } = this.config;
    const biases = new Set([...this.#shapes.keys()].filter((name) => name.endsWith('.bias')).map(hfName));
    for (const name of this.#files.keys()) {
      const layer = Number(/^model\.layers\.(\d+)\./.exec(name)?.[1] ?? 0);
      if (layer >= layers || (name.endsWith('.bias') && !biases.has(name))) {
        throw superfluous(this.path, name, this.config);
      }
    }
  }

  #openShards(): void {
    const index = join(this.path, 'model.safetensors.index.json');
    if (!existsSync(index)) {
      const file = this.#shard('model.safetensors');
      for (const name of file.tensors.keys()) this.#files.set(name, file);
      return;
    }
    const map = this.#readJson('model.safetensors.index.json')['weight_map'];
    if (typeof map !== 'object' || map === null) throw this.#invalid('the index of the shards has no "weight_map"');
    for (const [tensor, shard] of Object.entries(map)) {
      if (typeof shard !== 'string' || !/^[\w.-]+\.safetensors$/.test(shard)) {
        throw this.#invalid(`the index names the shard ${JSON.stringify(shard)}, but must name files of the folder`);
      }
      const file = this.#shard(shard);
      file.tensor(tensor); // throws when the shard has none
      this.#files.set(tensor, file);
    }
  }

  #shard(name: string): SafetensorsFile {
    let file = this.#shards.get(name);
    if (!file) {
      file = SafetensorsFile.open(join(this.path, name));
      this.#shards.set(name, file);
    }
    return file;
  }

  #optionalJson(name: string): Json {
    return existsSync(join(this.path, name)) ? this.#readJson(name) : {};
  }

  #readJson(name: string): Json {
    return readJsonObject(join(this.path, name));
  }

  #invalid(what: string): PagewarpError {
    return new PagewarpError('ERR_INVALID_MODEL', `${this.path}: ${what}`, { path: this.path });
  }
}
