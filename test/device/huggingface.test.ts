// SPDX-License-Identifier: Apache-2.0
/** Folders of Hugging Face: dense and 4-bit weights, shards, and what strangers may have written. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Device, load, PagewarpError, philox } from '../../lib/index.js';
import { HfSource, hfName } from '../../lib/model/hf.js';
import { atOnce } from '../../lib/piecewise.js';
import { encodeInt4, type Int4Options, quantizationConfig } from '../oracle/int4.js';
import { temporaryFolder } from '../support/folder.js';
import { ggufFromFolder } from '../support/hf-to-gguf.js';
import { modelPath } from '../support/models.js';
import {
  floats,
  readSafetensors,
  type StoredTensor,
  safetensorsBytes,
  valuesOf,
  writeFolder,
} from '../support/safetensors-writer.js';
import { nmse } from '../support/tolerance.js';

const temporary = temporaryFolder();
const base = modelPath('demo', 'draft-hf') as string;
const original = readSafetensors(join(base, 'model.safetensors'));
const prompt = 'The President of the United States';

async function greedy(path: string): Promise<number[]> {
  await using model = await load(path, { device: { threads: 2 }, cacheDType: 'f32' });
  return (await model.generate(prompt, { maxTokens: 40, ignoreEnd: true }).complete()).tokens;
}

describe('a dense folder', () => {
  it('generates what the GGUF file of the same weights does', async () => {
    for (const name of ['draft', 'target']) {
      const folder = modelPath('demo', `${name}-hf`) as string;
      const path = join(temporary, `${name}.gguf`);
      ggufFromFolder(folder).write(path);
      expect(await greedy(folder)).toEqual(await greedy(path));
    }
  });

  it('may be sharded, and in any floating type', async () => {
    const expected = await greedy(base);
    expect(await greedy(writeFolder(join(temporary, 'sharded'), base, original, {}, 2))).toEqual(expected);
    const wide = new Map([...original].map(([name, tensor]) => [name, floats(tensor.shape, valuesOf(tensor))]));
    expect(await greedy(writeFolder(join(temporary, 'f32'), base, wide))).toEqual(expected);
    const narrow = new Map(
      [...original].map(([name, tensor]) => [name, floats(tensor.shape, valuesOf(tensor), 'BF16')]),
    );
    const rounded = new Map([...narrow].map(([name, tensor]) => [name, floats(tensor.shape, valuesOf(tensor))]));
    expect(await greedy(writeFolder(join(temporary, 'bf16'), base, narrow))).toEqual(
      await greedy(writeFolder(join(temporary, 'rounded'), base, rounded)),
    );
  });

  it('is refused with layers or biases that would be left out', async () => {
    const folder = join(temporary, 'others');
    for (const module of ['self_attn.o_proj', 'self_attn.q_proj', 'mlp.up_proj']) {
      const name = `model.layers.1.${module}.bias`;
      writeFolder(folder, base, new Map([...original, [name, floats([64], new Float32Array(64))]]));
      const message = expect.stringContaining(`the tensor "${name}" is not supported`);
      await expect(load(folder)).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED', message });
    }
    writeFolder(folder, base, original, { num_hidden_layers: 1 });
    await expect(load(folder)).rejects.toMatchObject({
      code: 'ERR_INVALID_MODEL',
      message: expect.stringMatching(/"model\.layers\.1\..* 1 layers/),
    });
  });

  it('knows ends of text from every file that names them', async () => {
    const folder = writeFolder(join(temporary, 'ends'), base, original, { eos_token_id: [0, 7] });
    writeFileSync(join(folder, 'generation_config.json'), '{"eos_token_id": 9}');
    using source = new HfSource(folder);
    expect(atOnce(source.tokenizer()).endTokens).toEqual([0, 7, 9]);
  });
});

const linears = [...original.keys()].filter((name) => /proj\.weight$/.test(name));

/** The draft with its projections in 4 bits, and the values that these stand for. */
function quantised(options: Int4Options): { tensors: Map<string, StoredTensor>; values: Map<string, Float32Array> } {
  const tensors = new Map([...original].filter(([name]) => !linears.includes(name)));
  const values = new Map<string, Float32Array>();
  for (const name of linears) {
    const tensor = original.get(name) as StoredTensor;
    const [n, k] = tensor.shape as [number, number];
    const groupOf = options.groupOf && shuffledGroups(k, options.groupSize);
    const own = encodeInt4(valuesOf(tensor), n, k, { ...options, ...(groupOf ? { groupOf } : {}) });
    values.set(name, own.values);
    for (const [suffix, part] of own.tensors) tensors.set(name.replace(/weight$/, suffix), part);
  }
  return { tensors, values };
}

/** As many columns in each group, in an order of chance. */
function shuffledGroups(k: number, groupSize: number): Int32Array {
  const groupOf = Int32Array.from({ length: k }, (_, i) => Math.floor(i / groupSize));
  for (let i = k - 1; i > 0; i--) {
    const j = (philox(k, 0, i)[0] ?? 0) % (i + 1);
    [groupOf[i], groupOf[j]] = [groupOf[j] as number, groupOf[i] as number];
  }
  return groupOf;
}

const actOrder = { groupOf: new Int32Array(0) };
const schemes: Int4Options[] = [
  { method: 'gptq', groupSize: 32, symmetric: true },
  { method: 'gptq', groupSize: 128, symmetric: false },
  { method: 'gptq', groupSize: 64, symmetric: false, ...actOrder },
  { method: 'gptq', groupSize: 32, symmetric: true, ...actOrder },
  { method: 'gptq_v2', groupSize: 0, symmetric: false },
  { method: 'awq', groupSize: 64, symmetric: false },
  { method: 'awq', groupSize: 128, symmetric: true },
  { method: 'compressed', groupSize: 128, symmetric: true },
  { method: 'compressed', groupSize: 32, symmetric: false },
  { method: 'compressed', groupSize: 0, symmetric: true },
  { method: 'compressed', groupSize: 32, symmetric: false, ...actOrder },
  { method: 'gptq', groupSize: 16, symmetric: true, ...actOrder },
  { method: 'compressed', groupSize: 16, symmetric: true },
];

describe('a 4-bit folder', () => {
  it.each(schemes)(
    '$method, groups of $groupSize, symmetric $symmetric, order $groupOf: its values exactly',
    async (options) => {
      const { tensors, values } = quantised(options);
      const folder = writeFolder(join(temporary, `int4-${schemes.indexOf(options)}`), base, tensors, {
        quantization_config: quantizationConfig(options),
      });
      using device = Device.cpu({ threads: 1 });
      {
        using source = new HfSource(folder);
        for (const names of [
          ['blk.0.attn_q.weight', 'blk.0.attn_k.weight', 'blk.0.attn_v.weight'],
          ['blk.1.ffn_down.weight'],
        ]) {
          using matrix = source.pack(device.defaultStream, names);
          const symmetric = options.groupSize === 16 ? 'int4_g16' : 'q4_0';
          expect(matrix.format).toBe(options.symmetric ? symmetric : 'int4_zp');
          const expected = names.flatMap((name) => [...(values.get(hfName(name)) as Float32Array)]);
          const unpacked = await matrix.unpack(device.defaultStream).readNumbers();
          expect(unpacked.every((value, i) => value === expected[i])).toBe(true);
        }
      }
      const dense = new Map(
        [...original].map(([name, tensor]) => {
          const own = values.get(name);
          return [name, own ? floats(tensor.shape, own) : tensor];
        }),
      );
      await using model = await load(folder, { device, cacheDType: 'f32' });
      await using reference = await load(writeFolder(join(temporary, 'dense'), base, dense), {
        device,
        cacheDType: 'f32',
      });
      const ids = model.tokenize(prompt);
      const [actual, expected] = [await model.logits(ids), await reference.logits(ids)];
      expect(nmse(actual.at(-1) as Float32Array, expected.at(-1) as Float32Array)).toBeLessThan(1e-3);
    },
  );

  it('refuses zero points of groups of 16 columns', () => {
    const options: Int4Options = { method: 'awq', groupSize: 16, symmetric: false };
    const folder = writeFolder(join(temporary, 'int4-short-zeros'), base, quantised(options).tensors, {
      quantization_config: quantizationConfig(options),
    });
    expect(() => new HfSource(folder)).toThrow(expect.objectContaining({ code: 'ERR_UNSUPPORTED' }));
  });

  it('names what it does not support', async () => {
    const { tensors } = quantised({ method: 'gptq', groupSize: 32, symmetric: true });
    const refused = async (quantization: unknown, code: string, message: RegExp): Promise<void> => {
      const folder = writeFolder(join(temporary, 'refused'), base, tensors, { quantization_config: quantization });
      await expect(load(folder)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    };
    await refused({ quant_method: 'gptq', bits: 8 }, 'ERR_UNSUPPORTED', /gptq with 8 bits/);
    await refused({ quant_method: 'awq', bits: 4, version: 'gemv' }, 'ERR_UNSUPPORTED', /awq "gemv"/);
    await refused({ quant_method: 'hqq' }, 'ERR_UNSUPPORTED', /method "hqq"/);
    await refused(
      { quant_method: 'compressed-tensors', format: 'float-quantized', config_groups: { a: {} } },
      'ERR_UNSUPPORTED',
      /float-quantized/,
    );
    await refused(undefined, 'ERR_INVALID_MODEL', /no tensor "model.layers.0.self_attn.q_proj.weight"/);
  });

  it('refuses parts that do not fit', async () => {
    const options: Int4Options = { method: 'gptq', groupSize: 32, symmetric: true };
    const prefix = 'model.layers.1.mlp.up_proj';
    const spoil = async (suffix: string, change: (tensor: StoredTensor) => StoredTensor): Promise<unknown> => {
      const { tensors } = quantised(options);
      tensors.set(`${prefix}.${suffix}`, change(tensors.get(`${prefix}.${suffix}`) as StoredTensor));
      const folder = writeFolder(join(temporary, 'spoiled'), base, tensors, {
        quantization_config: quantizationConfig(options),
      });
      return load(folder).then(
        () => 'loaded',
        (error: PagewarpError) => error.code,
      );
    };
    const half = ({ dtype, shape, bytes }: StoredTensor): StoredTensor => ({
      dtype,
      shape: [(shape[0] as number) / 2, ...shape.slice(1)],
      bytes: bytes.slice(0, bytes.length / 2),
    });
    expect(await spoil('qweight', half)).toBe('ERR_INVALID_MODEL');
    expect(await spoil('qzeros', half)).toBe('ERR_INVALID_MODEL');
    expect(await spoil('g_idx', half)).toBe('ERR_INVALID_MODEL');
    expect(await spoil('g_idx', (tensor) => ({ ...tensor, bytes: tensor.bytes.map(() => 1) }))).toBe(
      'ERR_INVALID_MODEL',
    );
    expect(await spoil('g_idx', (tensor) => ({ ...tensor, bytes: tensor.bytes.map(() => 0) }))).toBe(
      'ERR_INVALID_MODEL',
    );
    expect(await spoil('qweight', (tensor) => ({ ...tensor, dtype: 'F32' }))).toBe('ERR_UNSUPPORTED');
    expect(await spoil('scales', (tensor) => ({ ...tensor, shape: tensor.shape.toReversed() }))).toBe(
      'ERR_INVALID_MODEL',
    );
  });
});

describe('a hostile folder', () => {
  const folder = join(temporary, 'hostile');
  const attempt = (): Promise<string> =>
    load(folder, { device: { threads: 1 }, chunk: 8 }).then(
      async (model) => {
        await model.generate('abc', { maxTokens: 2 }).complete();
        await model[Symbol.asyncDispose]();
        return 'ok';
      },
      (error: unknown) => {
        if (!(error instanceof PagewarpError)) throw error;
        return error.code;
      },
    );

  /** The file with another header. */
  function withHeader(
    edit: (header: Record<string, { shape: number[]; data_offsets: number[]; dtype: string }>) => void,
  ): Buffer {
    const file = Buffer.from(safetensorsBytes(original));
    const begin = 8 + Number(file.readBigUInt64LE(0));
    const header = JSON.parse(file.toString('utf8', 8, begin));
    edit(header);
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([length, text, file.subarray(begin)]);
  }

  it('is refused with a typed error', async () => {
    writeFolder(folder, base, original);
    const norm = 'model.norm.weight';
    const files: Record<string, Uint8Array> = {
      'an empty header': Buffer.alloc(8),
      'half a length': Buffer.alloc(4),
      'a huge length': Buffer.from([255, 255, 255, 255, 255, 255, 255, 127, 123]),
      'no JSON': Buffer.concat([Buffer.from([4, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('{"a"')]),
      'an array': Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('[]')]),
      'a null tensor': withHeader((header) => Object.assign(header, { [norm]: null })),
      'an end beyond the file': withHeader((header) => {
        (header[norm] as { data_offsets: number[] }).data_offsets[1] = 2 ** 40;
      }),
      'a negative offset': withHeader((header) => {
        (header[norm] as { data_offsets: number[] }).data_offsets[0] = -8;
      }),
      'an overlap': withHeader((header) => {
        (header[norm] as { data_offsets: number[] }).data_offsets = [0, 256];
      }),
      'a shape that overflows': withHeader((header) => {
        (header[norm] as { shape: number[] }).shape = [2 ** 50, 2 ** 50];
      }),
      'another size than its shape': withHeader((header) => {
        (header[norm] as { shape: number[] }).shape = [64];
      }),
      'an unknown type': withHeader((header) => {
        (header[norm] as { dtype: string }).dtype = 'F12';
      }),
      'a missing tensor': withHeader((header) => {
        delete header[norm];
      }),
      'a cut file': Buffer.from(safetensorsBytes(original)).subarray(0, -100),
    };
    for (const [what, bytes] of Object.entries(files)) {
      writeFileSync(join(folder, 'model.safetensors'), bytes);
      expect(await attempt(), what).toBe('ERR_INVALID_MODEL');
    }
    writeFolder(folder, base, original, { hidden_size: 64 });
    expect(await attempt()).toBe('ERR_INVALID_MODEL');
    writeFolder(folder, base, original, { model_type: 'mamba' });
    expect(await attempt()).toBe('ERR_UNSUPPORTED');
    writeFolder(folder, base, original, { rope_scaling: { rope_type: 'dynamic', factor: 2 } });
    expect(await attempt()).toBe('ERR_UNSUPPORTED');
    writeFolder(folder, base, original);
    writeFileSync(join(folder, 'model.safetensors.index.json'), '{"weight_map": {"a": "../../secret.safetensors"}}');
    expect(await attempt()).toBe('ERR_INVALID_MODEL');
    const empty = join(temporary, 'empty');
    mkdirSync(empty, { recursive: true });
    await expect(load(empty)).rejects.toMatchObject({ code: 'ERR_IO' });
  });

  it('whatever its files say, ends in a result or a typed error', async () => {
    const fuzzed = join(temporary, 'fuzzed');
    writeFolder(fuzzed, base, original);
    rmSync(join(folder, 'model.safetensors.index.json'), { force: true });
    const names = ['model.safetensors', 'config.json', 'tokenizer.json', 'tokenizer_config.json'] as const;
    const contents = names.map((name) => readFileSync(join(fuzzed, name)));
    const outcomes = new Map<string, number>();
    for (let seed = 0; seed < 150; seed++) {
      let counter = 0;
      const random = (n: number): number => (philox(seed, 9, counter++)[0] ?? 0) % n;
      const which = seed % names.length;
      const bytes = Buffer.from(contents[which] as Buffer);
      const header = which === 0 ? 8 + Number(bytes.readBigUInt64LE(0)) : bytes.length;
      for (let i = 0, n = 1 + random(3); i < n; i++) {
        const digits = '0123456789-.,:"[]{}eE';
        bytes[random(header)] = random(2) === 0 ? random(256) : digits.charCodeAt(random(digits.length));
      }
      for (const [i, name] of names.entries())
        writeFileSync(join(folder, name), i === which ? bytes : (contents[i] as Buffer));
      const outcome = await attempt();
      expect(outcome, `seed ${seed}`).not.toBe('ERR_INTERNAL');
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    // Both kinds must have been met, or the changes show nothing.
    expect(outcomes.get('ok') ?? 0).toBeGreaterThan(10);
    expect(outcomes.get('ERR_INVALID_MODEL') ?? 0).toBeGreaterThan(10);
  });
});
