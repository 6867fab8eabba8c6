// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import {
  GgufFile,
  philox,
  type Tokenizer,
  type TokenizerJson,
  tokenizerFromGguf,
  tokenizerFromJson,
} from '../../lib/index.js';
import { atOnce } from '../../lib/piecewise.js';
import { TokenKind } from '../../lib/tokenizer/pieces.js';
import { sentencePieceEncoders } from '../../lib/tokenizer/sentencepiece.js';
import { segment } from '../oracle/sentencepiece.js';
import { temporaryFolder } from '../support/folder.js';
import { GgufWriter } from '../support/gguf-writer.js';
import { type GoldenModel, goldenModels, modelPath } from '../support/models.js';

const folder = temporaryFolder();
const models = goldenModels();

function tokenizerOf(model: GoldenModel): Tokenizer | undefined {
  const path = model.file('Q4_0') ?? model.file('F32');
  if (!path) return undefined;
  using file = GgufFile.open(path);
  return tokenizerFromGguf(file);
}

/** A byte-level vocabulary of the 256 bytes, some merges and two control tokens. */
function byteLevelFile(pre: string, extra: (writer: GgufWriter) => void = () => {}): GgufFile {
  const bytes: string[] = [];
  for (let byte = 0, next = 0x100; byte < 256; byte++) {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    bytes.push(String.fromCodePoint(printable ? byte : next++));
  }
  const merged = ['he', 'll', 'hell', 'hello', 'Ġw', '12', '123', 'ĊĊ'];
  const merges = ['h e', 'l l', 'he ll', 'hell o', 'Ġ w', '1 2', '12 3', 'Ċ Ċ'];
  const writer = new GgufWriter()
    .value('tokenizer.ggml.model', 'string', 'gpt2')
    .value('tokenizer.ggml.pre', 'string', pre)
    .array('tokenizer.ggml.tokens', 'string', [...bytes, ...merged, '<|im_start|>', '<|im_end|>'])
    .array('tokenizer.ggml.token_type', 'i32', [...Array<number>(256 + merged.length).fill(1), 3, 3])
    .array('tokenizer.ggml.merges', 'string', merges)
    .value('tokenizer.ggml.eos_token_id', 'u32', 256 + merged.length + 1);
  extra(writer);
  const path = join(folder, `${pre}.gguf`);
  writer.write(path);
  return GgufFile.open(path);
}

describe.each(models)('vocabulary of $name', (model) => {
  it('encodes the golden prompts', () => {
    const tokenizer = tokenizerOf(model);
    for (const { prompt, ids } of model.cases) expect(tokenizer?.encode(prompt)).toEqual(ids);
    expect(model.cases.length).toBeGreaterThan(0);
  });

  it('decodes, all at once and token by token, to the same text', () => {
    const tokenizer = tokenizerOf(model) as Tokenizer;
    for (const { ids, greedy } of model.cases) {
      const whole = tokenizer.decode([...ids, ...greedy]);
      const stream = tokenizer.detokenizer();
      expect([...ids, ...greedy].map((id) => stream.push(id)).join('') + stream.flush()).toBe(whole);
    }
  });
});

describe('golden text', () => {
  // babyllama's golden text comes from a vocabulary file that names its line break <unk>; its GGUF files do better.
  it.each(models.filter((model) => model.name !== 'babyllama-tok105'))('of $name', (model) => {
    const tokenizer = tokenizerOf(model) as Tokenizer;
    for (const { ids, greedy, text } of model.cases) {
      expect(tokenizer.decode(greedy, { previous: ids.at(-1) as number })).toBe(text);
    }
  });
});

describe('tokenizer.json', () => {
  const pairs: [string, string][] = [
    ['tinystories-656k', 'tinystories-656k'],
    ['demo', 'demo/target-hf'],
  ];
  it.each(pairs)('of %s gives the ids of the GGUF file', (name, path) => {
    const json = modelPath(...path.split('/'), 'tokenizer.json');
    const config = modelPath(...path.split('/'), 'tokenizer_config.json');
    const model = models.find((candidate) => candidate.name === name);
    if (!json || !config || !model) return;
    const tokenizer = tokenizerFromJson(
      JSON.parse(readFileSync(json, 'utf8')),
      JSON.parse(readFileSync(config, 'utf8')),
    );
    for (const { prompt, ids, greedy, text } of model.cases) {
      expect(tokenizer.encode(prompt)).toEqual(ids);
      expect(tokenizer.decode(greedy, { previous: ids.at(-1) as number })).toBe(text);
    }
    expect(tokenizer.eosToken).toBe(tokenizerOf(model)?.eosToken);
  });
});

describe('tables that are filled here', () => {
  it('do what those of the library’s own constructor do, control tokens in the text or not', () => {
    const read = (name: string) => JSON.parse(readFileSync(modelPath('demo', 'target-hf', name) as string, 'utf8'));
    const [json, config] = [read('tokenizer.json') as TokenizerJson, read('tokenizer_config.json')];
    const added_tokens = json.added_tokens.filter(({ special }) => !special);
    const tokenizer = tokenizerFromJson(json, config);
    const control = json.added_tokens.map(({ content }) => content);
    expect(control.length).toBeGreaterThan(0);
    const words = ['The President', ' of', ' the Union', ' 1790', '\n\n', '🙂', ' é', 'x', ...control];
    for (const parseSpecial of [true, false]) {
      const library = new HfTokenizer(parseSpecial ? json : { ...json, added_tokens }, config);
      for (let seed = 0; seed < 100; seed++) {
        const word = (i: number): string => words[(philox(seed, 0, i)[0] ?? 0) % words.length] as string;
        const text = Array.from({ length: 12 }, (_, i) => word(i)).join('');
        const { ids } = library.encode(text, { add_special_tokens: false });
        expect(tokenizer.encode(text, { parseSpecial, addSpecial: false }), text).toEqual(ids);
      }
    }
  });

  it('keep apart the merges of pieces that share an id', () => {
    const model = { type: 'BPE', vocab: { a: 0, b: 0, c: 1, ac: 2, d: 3, bd: 4 }, merges: ['a c', 'b d'] };
    const parts = { added_tokens: [{ id: 3, content: '<d>', special: true }], normalizer: null, post_processor: null };
    const json = { ...parts, model, pre_tokenizer: null, decoder: { type: 'ByteLevel' } } satisfies TokenizerJson;
    const tokenizer = tokenizerFromJson(json);
    const library = new HfTokenizer(json, {});
    for (const text of ['ac', 'bc', 'ad', 'bd', 'acbd', 'd<d>']) {
      expect(tokenizer.encode(text), text).toEqual(library.encode(text, { add_special_tokens: false }).ids);
    }
    expect(tokenizer.encode('bcbd')).toEqual([0, 1, 4]);
  });
});

describe('SentencePiece segmentation', () => {
  it('equals the definition on random vocabularies, ties and repetitions included', () => {
    const letters = ['a', 'b', 'c', '▁'];
    let joined = 0;
    for (let seed = 0; seed < 200; seed++) {
      let counter = 0;
      const random = (n: number): number => (philox(seed, 0, counter++)[0] ?? 0) % n;
      const pieces = [...letters];
      for (let i = 0; i < 14; i++) {
        const piece = (pieces[random(pieces.length)] as string) + (pieces[random(pieces.length)] as string);
        if (!pieces.includes(piece)) pieces.push(piece);
      }
      const scores = pieces.map(() => -random(6));
      const vocabulary = { pieces, scores, kinds: pieces.map(() => TokenKind.Normal), unknownToken: undefined };
      const { parsing: hf } = atOnce(sentencePieceEncoders({ ...vocabulary, addSpacePrefix: false }));
      for (let i = 0; i < 5; i++) {
        const text = Array.from({ length: 1 + random(24) }, () => 'aabbc '[random(6)]).join('');
        const expected = segment(text.replaceAll(' ', '▁'), pieces, scores);
        expect(hf.encode(text).tokens, `seed ${seed}: ${JSON.stringify(text)}`).toEqual(expected);
        if (expected.length < text.length) joined++;
      }
    }
    expect(joined).toBeGreaterThan(500);
  });
});

describe('byte-level vocabularies', () => {
  it.each(['gpt-2', 'llama-bpe', 'qwen2', 'tekken', 'smollm', 'default'])('%s round-trips any text', (pre) => {
    using file = byteLevelFile(pre);
    const tokenizer = tokenizerFromGguf(file);
    for (const text of ['hello world', " it's 12345\n\n  naïve 你好 🙂\t x", 'a\u0000b', '']) {
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });

  it('cut numbers as their families do', () => {
    const pieces = (pre: string): (string | undefined)[] => {
      using file = byteLevelFile(pre);
      const tokenizer = tokenizerFromGguf(file);
      return tokenizer.encode('12345').map((id) => tokenizer.tokenName(id));
    };
    expect(pieces('gpt-2')).toEqual(['123', '4', '5']);
    expect(pieces('llama-bpe')).toEqual(['123', '4', '5']);
    expect(pieces('qwen2')).toEqual(['1', '2', '3', '4', '5']);
    expect(pieces('smollm')).toEqual(['1', '2', '3', '4', '5']);
  });

  it('refuse a pre-tokenizer that they do not know', () => {
    using file = byteLevelFile('exotic');
    expect(() => tokenizerFromGguf(file)).toThrow(expect.objectContaining({ code: 'ERR_UNSUPPORTED' }));
  });

  it('read control tokens in text only when asked to', () => {
    using file = byteLevelFile('qwen2');
    const tokenizer = tokenizerFromGguf(file);
    expect(tokenizer.encode('<|im_end|>')).toEqual([265]);
    const literal = tokenizer.encode('<|im_end|>', { parseSpecial: false });
    expect(literal.length).toBe(10);
    expect(tokenizer.decode(literal)).toBe('<|im_end|>');
    expect(tokenizer.decode([265])).toBe('');
    expect(tokenizer.decode([265], { special: true })).toBe('<|im_end|>');
    expect(tokenizer.endTokens).toEqual([265]);
  });

  it('never split a character nor invent one', () => {
    using file = byteLevelFile('gpt-2');
    const tokenizer = tokenizerFromGguf(file);
    const text = 'aé你🙂z';
    const stream = tokenizer.detokenizer();
    const parts = tokenizer.encode(text).map((id) => stream.push(id));
    expect(parts.join('')).toBe(text);
    expect(parts.filter((part) => part !== '')).toEqual(['a', 'é', '你', '🙂', 'z']);
    expect(stream.flush()).toBe('');
    // Cut inside a character: nothing until the end, then one replacement character.
    const cut = tokenizer.detokenizer();
    expect(cut.push(tokenizer.encode('é')[0] as number)).toBe('');
    expect(cut.flush()).toBe('\ufffd');
  });

  it('stream random bytes to what decoding them at once gives', () => {
    using file = byteLevelFile('gpt-2');
    const tokenizer = tokenizerFromGguf(file);
    const lead = [0x61, 0xc3, 0xa9, 0xe4, 0xbd, 0xa0, 0xf0, 0x9f, 0x99, 0x82, 0xff, 0x80];
    for (let seed = 0; seed < 200; seed++) {
      const bytes = Array.from({ length: 20 }, (_, i) => lead[(philox(seed, 0, i)[0] ?? 0) % lead.length] as number);
      const stream = tokenizer.detokenizer();
      const joined = bytes.map((byte) => stream.push(byte)).join('') + stream.flush();
      expect(joined).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes)));
    }
  });
});

describe('broken vocabularies', () => {
  const refuse = (change: (writer: GgufWriter) => void, message: RegExp): void => {
    const writer = new GgufWriter();
    change(writer);
    const path = join(folder, 'broken.gguf');
    writer.write(path);
    using file = GgufFile.open(path);
    expect(() => tokenizerFromGguf(file)).toThrow(expect.objectContaining({ message: expect.stringMatching(message) }));
  };
  const llama = (writer: GgufWriter) => writer.value('tokenizer.ggml.model', 'string', 'llama');

  it('are refused with the reason', () => {
    refuse(() => {}, /has no vocabulary/);
    refuse((w) => llama(w), /tokens" is missing or empty/);
    refuse((w) => llama(w).array('tokenizer.ggml.tokens', 'string', ['a']), /scores" is missing/);
    refuse(
      (w) => llama(w).array('tokenizer.ggml.tokens', 'string', ['a']).array('tokenizer.ggml.scores', 'f32', [0, 1]),
      /2 entries for 1 tokens/,
    );
    refuse(
      (w) =>
        llama(w)
          .array('tokenizer.ggml.tokens', 'string', ['a'])
          .array('tokenizer.ggml.scores', 'f32', [0])
          .value('tokenizer.ggml.eos_token_id', 'u32', 9),
      /eos_token_id" is 9, but the vocabulary has 1 tokens/,
    );
    refuse(
      (w) => w.value('tokenizer.ggml.model', 'string', 'rwkv').array('tokenizer.ggml.tokens', 'string', ['a']),
      /rwkv/,
    );
  });

  it('without an unknown token refuse text that they cannot express', () => {
    const path = join(folder, 'letters.gguf');
    llama(new GgufWriter())
      .array('tokenizer.ggml.tokens', 'string', ['▁', 'a'])
      .array('tokenizer.ggml.scores', 'f32', [0, -1])
      .write(path);
    using file = GgufFile.open(path);
    const tokenizer = tokenizerFromGguf(file);
    expect(tokenizer.encode('a a')).toEqual([0, 1, 0, 1]);
    expect(() => tokenizer.encode('b')).toThrow(expect.objectContaining({ code: 'ERR_INVALID_TOKEN' }));
  });
});
