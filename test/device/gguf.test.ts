// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GgufFile } from '../../lib/index.js';
import { temporaryFolder } from '../support/folder.js';
import { GgufWriter } from '../support/gguf-writer.js';

const folder = temporaryFolder();
const path = join(folder, 'file.gguf');

function open(writer: GgufWriter): GgufFile {
  writer.write(path);
  return GgufFile.open(path);
}

describe('GgufFile', () => {
  it('reads every type of metadata', () => {
    using file = open(
      new GgufWriter()
        .value('u8', 'u8', 255)
        .value('i16', 'i16', -300)
        .value('i32', 'i32', -5)
        .value('f32', 'f32', 0.5)
        .value('f64', 'f64', 1e300)
        .value('yes', 'bool', true)
        .value('exact', 'u64', 2n ** 53n)
        .value('beyond', 'u64', 2n ** 60n)
        .value('text', 'string', 'Zoë 你好')
        .array('words', 'string', ['a', '', '▁the'])
        .array('scores', 'f32', [1, -2.5])
        .array('kinds', 'i32', [1, 2, 3])
        .array('flags', 'bool', [true, false]),
    );
    expect(file.number('u8')).toBe(255);
    expect(file.number('i16')).toBe(-300);
    expect(file.number('i32')).toBe(-5);
    expect(file.number('f32')).toBe(0.5);
    expect(file.number('f64')).toBe(1e300);
    expect(file.boolean('yes')).toBe(true);
    expect(file.number('exact')).toBe(2 ** 53);
    expect(new Map(file.metadata()).get('beyond')).toBe(2n ** 60n);
    expect(file.string('text')).toBe('Zoë 你好');
    expect(file.strings('words')).toEqual(['a', '', '▁the']);
    expect(file.numbers('scores')).toEqual(Float32Array.of(1, -2.5));
    expect(file.numbers('kinds')).toEqual(Int32Array.of(1, 2, 3));
    expect(file.numbers('flags')).toEqual(Uint8Array.of(1, 0));
    expect(new Map(file.metadata()).get('words')).toEqual({ element: 'string', length: 3 });
    expect(file.string('absent')).toBeUndefined();
  });

  it('lists tensors row-major and reads small ones', () => {
    const values = Float32Array.from({ length: 6 }, (_, i) => i / 2);
    using file = open(
      new GgufWriter().tensor('a', [2, 3], values).tensor('b', [6], values, 'F16').tensor('c', [6], values, 'BF16'),
    );
    expect(file.tensor('a').shape).toEqual([2, 3]);
    for (const name of ['a', 'b', 'c']) expect(file.values(name)).toEqual(values);
    expect(() => file.tensor('d')).toThrow(expect.objectContaining({ code: 'ERR_INVALID_MODEL' }));
  });

  it('refuses values of another type, naming the key', () => {
    using file = open(
      new GgufWriter()
        .value('n', 'u32', 7)
        .array('words', 'string', ['x'])
        .value('big', 'u64', 2n ** 60n),
    );
    expect(() => file.string('n')).toThrow(/"n" is u32 7, but must be a string/);
    expect(() => file.numbers('words')).toThrow(/array of string, but must be an array of numbers/);
    expect(() => file.number('big')).toThrow(expect.objectContaining({ code: 'ERR_INVALID_MODEL' }));
  });

  it('says what is wrong with a file that is none', () => {
    writeFileSync(path, 'PK\u0003\u0004 not a model at all');
    expect(() => GgufFile.open(path)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_MODEL' }));
    expect(() => GgufFile.open(join(folder, 'absent.gguf'))).toThrow(expect.objectContaining({ code: 'ERR_IO' }));
    expect(() => GgufFile.open(folder)).toThrow(/folder/);
  });

  it('survives truncation at every byte of the header', () => {
    const bytes = new GgufWriter().value('k', 'string', 'v').tensor('t', [4], new Float32Array(4)).bytes();
    let refused = 0;
    for (let length = 1; length < bytes.length; length++) {
      writeFileSync(path, bytes.subarray(0, length));
      try {
        GgufFile.open(path).dispose();
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_INVALID_MODEL' });
        refused++;
      }
    }
    expect(refused).toBe(bytes.length - 1);
  });

  it('cannot be used after dispose', () => {
    const file = open(new GgufWriter().array('words', 'string', ['x']));
    file.dispose();
    file.dispose();
    expect(() => file.strings('words')).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
  });
});
