// SPDX-License-Identifier: Apache-2.0
import { unsupported } from '../errors.js';
import type { Piecewise } from '../piecewise.js';
import { addedTokens, type BpeVocabulary, bpeEncoders, type Encoders, idsOf, inexpressible } from './bpe.js';

export interface ByteLevelVocabulary {
  pieces: readonly string[];
  merges: BpeVocabulary['merges'];
  kinds: ArrayLike<number>;
  /** `tokenizer.ggml.pre`: the rule by which text is cut into words before merging. */
  pre: string;
}

interface Rules {
  /** Regular expressions that cut the text, applied one after the other; none means GPT-2's own. */
  split?: readonly string[];
  digits?: boolean;
  /** A word that is a token as it stands is taken whole. */
  ignoreMerges?: boolean;
  normalizer?: object;
}

// The published pre-tokenizers of the model families; the expressions are part of their vocabularies' definition.
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const tail = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const words = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';
const llama3: Rules = { split: [`${contractions}|${words}|\\p{N}{1,3}|${tail}`], ignoreMerges: true };
const qwen2: Rules = { split: [`${contractions}|${words}|\\p{N}|${tail}`], normalizer: { type: 'NFC' } };
const upper = '\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}';
const lower = '\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}';
const start = '[^\\r\\n\\p{L}\\p{N}]?';
const tekken: Rules = {
  split: [
    `${start}[${upper}]*[${lower}]+|${start}[${upper}]+[${lower}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
  ],
  ignoreMerges: true,
};
const fallback: Rules = {
  split: [
    '[\\p{P}\\$\\+<=>\\^~\\|]+',
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)",
    '\\p{N}+',
    '[0-9][0-9][0-9]',
  ],
};

const rulesOf: Readonly<Record<string, Rules>> = {
  'gpt-2': {},
  'llama-bpe': llama3,
  llama3,
  'llama-v3': llama3,
  qwen2,
  'deepseek-r1-qwen': qwen2,
  tekken,
  smollm: { digits: true },
  default: fallback,
};

/**
 * Tokenizers of a byte-level BPE vocabulary.
 * @throws PagewarpError ERR_UNSUPPORTED for a pre-tokenizer that is not known
 */
export function* byteLevelEncoders(vocabulary: ByteLevelVocabulary): Piecewise<Encoders> {
  const { pieces, merges, kinds, pre } = vocabulary;
  const rules = Object.hasOwn(rulesOf, pre) ? (rulesOf[pre] as Rules) : undefined;
  if (!rules) throw unsupported(`the pre-tokenizer "${pre}"`, Object.keys(rulesOf).join(', '));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: !rules.split };
  return yield* bpeEncoders({
    settings: {
      version: '1.0',
      normalizer: rules.normalizer ?? null,
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          ...(rules.split ?? []).map((Regex) => ({
            type: 'Split',
            pattern: { Regex },
            behavior: 'Isolated',
            invert: false,
          })),
          ...(rules.digits ? [{ type: 'Digits', individual_digits: true }] : []),
          byteLevel,
        ],
      },
      post_processor: null,
      decoder: null,
      model: { unk_token: inexpressible, ignore_merges: rules.ignoreMerges ?? false },
    },
    added: addedTokens(pieces, kinds),
    pieces,
    ids: yield* idsOf(pieces),
    merges,
  });
}
