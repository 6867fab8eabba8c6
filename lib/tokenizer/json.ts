// SPDX-License-Identifier: Apache-2.0
import { checkList, checkObject, PagewarpError, unsupported } from '../errors.js';
import { atOnce, inPieces, type Piecewise } from '../piecewise.js';
import { bpeEncoders } from './bpe.js';
import { type AddedToken, byteValue, metaspace, type PieceEncoding, PieceTable, TokenKind } from './pieces.js';
import { Tokenizer } from './tokenizer.js';

interface Component {
  type: string;
  decoders?: Component[];
  processors?: Component[];
  single?: { SpecialToken?: { id: string }; Sequence?: { id: string } }[];
  special_tokens?: Record<string, { ids: number[] }>;
  pattern?: { String?: string };
}

/** The parts of a `tokenizer.json` that are read here; the rest is `@huggingface/tokenizers`'s business. */
export interface TokenizerJson {
  model: { type?: string; vocab: Record<string, number>; [key: string]: unknown };
  added_tokens: AddedToken[];
  decoder: Component | null;
  post_processor: Component | null;
  normalizer: unknown;
  pre_tokenizer: unknown;
}

const mostTokens = 1 << 24;

type NamedToken = string | { content: string } | null;

/** The parts of a `tokenizer_config.json` that are read here. */
export interface TokenizerConfig {
  bos_token?: NamedToken;
  eos_token?: NamedToken;
  unk_token?: NamedToken;
  add_bos_token?: boolean;
  add_eos_token?: boolean;
  chat_template?: string | { name: string; template: string }[];
  [key: string]: unknown;
}

/**
 * The tokenizer of a Hugging Face folder.
 * @param json contents of tokenizer.json (BPE with a byte-level or a Metaspace decoder)
 * @param config contents of tokenizer_config.json
 * @param endTokens further tokens that end a generation, as config.json and generation_config.json name them
 * @throws PagewarpError ERR_INVALID_MODEL when there is no vocabulary, ERR_UNSUPPORTED for other decoders
 */
export function tokenizerFromJson(
  json: TokenizerJson,
  config: TokenizerConfig = {},
  endTokens: readonly number[] = [],
): Tokenizer {
  checkObject('json', json);
  checkObject('config', config);
  checkList('endTokens', endTokens);
  return atOnce(jsonTokenizer(json, config, endTokens));
}

/** {@link tokenizerFromJson}, in pieces. */
export function* jsonTokenizer(
  json: TokenizerJson,
  config: TokenizerConfig,
  endTokens: readonly number[],
): Piecewise<Tokenizer> {
  if (!json.model?.vocab || Array.isArray(json.model.vocab)) {
    throw new PagewarpError('ERR_INVALID_MODEL', 'tokenizer.json has no BPE vocabulary ("model.vocab")');
  }
  // The oldest files of BPE vocabularies do not say so.
  const { type = 'BPE' } = json.model;
  if (type !== 'BPE') throw unsupported(`the tokenizer model "${type}" of tokenizer.json`, 'BPE');
  const { pieces, kinds } = vocabularyOf(json, config);
  const { encoding, stripsSpace } = decodingOf(json.decoder);
  const idOf = (token: NamedToken | undefined): number | undefined => {
    const id = pieces.indexOf(nameOf(token) ?? '');
    return id < 0 ? undefined : id;
  };
  const bosToken = idOf(config.bos_token);
  const eosToken = idOf(config.eos_token);
  const around = templateOf(json.post_processor) ?? {
    prefix: config.add_bos_token && bosToken !== undefined ? [bosToken] : [],
    suffix: config.add_eos_token && eosToken !== undefined ? [eosToken] : [],
  };
  const { added_tokens: added, ...rest } = json;
  const { vocab, merges, ...model } = json.model;
  const template = config.chat_template;
  return new Tokenizer({
    table: new PieceTable(pieces, kinds, encoding),
    encoders: yield* bpeEncoders({
      settings: { ...rest, model },
      added,
      config,
      pieces,
      ids: new Map(Object.entries(vocab)),
      merges: (add) => mergesOf(merges, add),
    }),
    ...around,
    stripsSpace,
    bosToken,
    eosToken,
    endTokens: [...new Set(eosToken === undefined ? endTokens : [eosToken, ...endTokens])],
    chatTemplate: Array.isArray(template) ? template.find((t) => t.name === 'default')?.template : template,
  });
}

function mergesOf(merges: unknown, add: (left: string, right: string, rank: number) => void): Piecewise<void> {
  if (!Array.isArray(merges))
    throw new PagewarpError('ERR_INVALID_MODEL', 'tokenizer.json has no merges ("model.merges")');
  return inPieces(merges as unknown[], (merge, rank) => {
    const pair: unknown = typeof merge === 'string' ? merge.split(' ', 2) : merge;
    if (!Array.isArray(pair) || typeof pair[0] !== 'string' || typeof pair[1] !== 'string') {
      throw new PagewarpError('ERR_INVALID_MODEL', `merge ${rank} of tokenizer.json is not two tokens`, { rank });
    }
    add(pair[0], pair[1], rank);
  });
}

function vocabularyOf(json: TokenizerJson, config: TokenizerConfig): { pieces: string[]; kinds: Uint8Array } {
  const entries: [string, number][] = Object.entries(json.model.vocab);
  if (!Array.isArray(json.added_tokens) || !json.added_tokens.every((token) => typeof token?.content === 'string')) {
    throw new PagewarpError('ERR_INVALID_MODEL', 'tokenizer.json has no list of tokens under "added_tokens"');
  }
  for (const token of json.added_tokens) entries.push([token.content, token.id]);
  for (const [piece, id] of entries) {
    if (!Number.isInteger(id) || id < 0 || id >= mostTokens) {
      throw new PagewarpError('ERR_INVALID_MODEL', `tokenizer.json gives "${piece}" the id ${id}`, { piece, id });
    }
  }
  const size = entries.reduce((most, [, id]) => Math.max(most, id + 1), 0);
  const pieces = new Array<string>(size).fill('');
  const kinds = new Uint8Array(size).fill(TokenKind.Normal);
  for (const [piece, id] of Object.entries(json.model.vocab)) {
    pieces[id] = piece;
    if (byteValue(piece) !== undefined) kinds[id] = TokenKind.Byte;
  }
  for (const { id, content, special } of json.added_tokens) {
    pieces[id] = content;
    kinds[id] = special ? TokenKind.Control : TokenKind.UserDefined;
  }
  const unknown = pieces.indexOf(nameOf(config.unk_token) ?? '');
  if (unknown >= 0 && kinds[unknown] === TokenKind.Normal) kinds[unknown] = TokenKind.Unknown;
  return { pieces, kinds };
}

function decodingOf(decoder: Component | null): { encoding: PieceEncoding; stripsSpace: boolean } {
  const steps = decoder?.type === 'Sequence' ? (decoder.decoders ?? []) : decoder ? [decoder] : [];
  const has = (type: string) => steps.some((step) => step.type === type);
  if (has('ByteLevel')) return { encoding: 'byte-level', stripsSpace: false };
  if (has('Metaspace')) return { encoding: 'sentencepiece', stripsSpace: true };
  if (steps.some((step) => step.type === 'Replace' && step.pattern?.String === metaspace)) {
    return { encoding: 'sentencepiece', stripsSpace: has('Strip') };
  }
  throw unsupported(
    `the decoder "${decoder?.type ?? 'none'}" of tokenizer.json`,
    'ByteLevel, Metaspace, SentencePiece',
  );
}

/** The tokens that a TemplateProcessing puts around a text. */
function templateOf(processor: Component | null): { prefix: number[]; suffix: number[] } | undefined {
  const steps = processor?.type === 'Sequence' ? (processor.processors ?? []) : processor ? [processor] : [];
  const template = steps.find((step) => step.type === 'TemplateProcessing');
  if (!template?.single) return undefined;
  const at = template.single.findIndex((item) => item.Sequence);
  const ids = (items: NonNullable<Component['single']>) =>
    items.flatMap((item) => template.special_tokens?.[item.SpecialToken?.id ?? '']?.ids ?? []);
  return { prefix: ids(template.single.slice(0, at)), suffix: ids(template.single.slice(at + 1)) };
}

function nameOf(token: NamedToken | undefined): string | undefined {
  return typeof token === 'string' ? token : token?.content;
}
