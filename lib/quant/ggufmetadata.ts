// SPDX-License-Identifier: Apache-2.0
import { unsupported } from '../errors.js';
import type { LlamaConfig } from '../model/config.js';
import type { GgufFile } from '../model/gguf.js';
import type { HfSource } from '../model/hf.js';
import { atOnce } from '../piecewise.js';
import { type GgufEntry, ggufArrayEntry, ggufEntry } from './ggufwriter.js';

/** GGUF's numbers for "mostly of this type". */
const fileTypes: Readonly<Record<string, number>> = { q4_0: 2, q4_1: 3, q8_0: 7 };
const replaced = new Set(['general.file_type', 'general.quantization_version', 'general.alignment']);

function typeEntries(type: string): GgufEntry[] {
  return [
    ggufEntry('general.file_type', 'u32', fileTypes[type] ?? 1),
    ggufEntry('general.quantization_version', 'u32', 2),
  ];
}

/** The metadata of a GGUF file, for a copy of another type. */
export function copiedMetadata(file: GgufFile, type: string): GgufEntry[] {
  return [...file.rawEntries().flatMap(([key, bytes]) => (replaced.has(key) ? [] : [bytes])), ...typeEntries(type)];
}

/** Numbers of token types. */
const kinds = { normal: 1, control: 3, userDefined: 4, unused: 5 };

/**
 * The metadata that GGUF wants of a Hugging Face folder.
 * @throws PagewarpError ERR_UNSUPPORTED for tokenizers that are not byte-level BPE
 */
export function metadataOf(source: HfSource, type: string): GgufEntry[] {
  const { config } = source;
  const architecture = config.architecture === 'mistral' ? 'llama' : config.architecture;
  const p = `${architecture}.`;
  return [
    ggufEntry('general.architecture', 'string', architecture),
    ggufEntry('general.name', 'string', config.name),
    ...typeEntries(type),
    ggufEntry(`${p}context_length`, 'u32', config.contextLength),
    ggufEntry(`${p}embedding_length`, 'u32', config.dim),
    ggufEntry(`${p}block_count`, 'u32', config.layers),
    ggufEntry(`${p}feed_forward_length`, 'u32', config.ffnDim),
    ggufEntry(`${p}attention.head_count`, 'u32', config.heads),
    ggufEntry(`${p}attention.head_count_kv`, 'u32', config.kvHeads),
    ggufEntry(`${p}attention.key_length`, 'u32', config.headDim),
    ggufEntry(`${p}attention.value_length`, 'u32', config.headDim),
    ggufEntry(`${p}attention.layer_norm_rms_epsilon`, 'f32', config.eps),
    ggufEntry(`${p}rope.dimension_count`, 'u32', config.rope.rotaryDim),
    ggufEntry(`${p}rope.freq_base`, 'f32', config.rope.theta),
    ggufEntry(`${p}vocab_size`, 'u32', config.vocabulary),
    ...scalingEntries(config, p),
    ...tokenizerEntries(source),
  ];
}

function scalingEntries({ rope: { scaling } }: LlamaConfig, p: string): GgufEntry[] {
  switch (scaling.type) {
    case 'linear':
    case 'yarn':
      return [
        ggufEntry(`${p}rope.scaling.type`, 'string', scaling.type),
        ggufEntry(`${p}rope.scaling.factor`, 'f32', scaling.factor),
        ...(scaling.type === 'yarn'
          ? [ggufEntry(`${p}rope.scaling.original_context_length`, 'u32', scaling.originalContext)]
          : []),
      ];
    default:
      return []; // llama3 becomes a tensor of factors
  }
}

function tokenizerEntries(source: HfSource): GgufEntry[] {
  const { json, config } = source.tokenizerFiles();
  const { vocab, merges } = json.model as { vocab: Record<string, number>; merges?: (string | [string, string])[] };
  const pre = preTokenizerOf(source, json.pre_tokenizer);
  const size = source.config.vocabulary;
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Array<number>(size).fill(kinds.unused);
  for (const [piece, id] of Object.entries(vocab)) {
    tokens[id] = piece;
    types[id] = kinds.normal;
  }
  for (const { id, content, special } of json.added_tokens ?? []) {
    tokens[id] = content;
    types[id] = special ? kinds.control : kinds.userDefined;
  }
  const tokenizer = atOnce(source.tokenizer());
  const ids = { bos: tokenizer.bosToken, eos: tokenizer.eosToken };
  const addsBegin = tokenizer.encode('').includes(ids.bos ?? -1);
  return [
    ggufEntry('tokenizer.ggml.model', 'string', 'gpt2'),
    ggufEntry('tokenizer.ggml.pre', 'string', pre),
    ggufArrayEntry('tokenizer.ggml.tokens', 'string', tokens),
    ggufArrayEntry('tokenizer.ggml.token_type', 'i32', types),
    ggufArrayEntry(
      'tokenizer.ggml.merges',
      'string',
      (merges ?? []).map((merge) => (typeof merge === 'string' ? merge : merge.join(' '))),
    ),
    ...Object.entries(ids).flatMap(([name, id]) =>
      id === undefined ? [] : [ggufEntry(`tokenizer.ggml.${name}_token_id`, 'u32', id)],
    ),
    ggufEntry('tokenizer.ggml.add_bos_token', 'bool', addsBegin),
    ...(typeof config.chat_template === 'string'
      ? [ggufEntry('tokenizer.chat_template', 'string', config.chat_template)]
      : []),
  ];
}

/** The name under which GGUF knows a byte-level pre-tokenizer. */
function preTokenizerOf(source: HfSource, pre: unknown): string {
  const text = JSON.stringify(pre ?? null);
  if (text.includes('"ByteLevel"')) {
    if (!text.includes('"Split"') && !text.includes('"Digits"')) return 'gpt-2';
    if (source.config.architecture.startsWith('qwen')) return 'qwen2';
    if (text.includes('{1,3}')) return 'llama-bpe';
  }
  throw unsupported(`${source.path}: a GGUF file with this tokenizer`, 'byte-level BPE of GPT-2, Llama 3 and Qwen');
}
