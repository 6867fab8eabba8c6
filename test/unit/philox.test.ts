// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { philox, uniformF32, uniformF64 } from '../../lib/index.js';

describe('philox', () => {
  // The known-answer vectors of the authors' Random123 distribution (philox4x32-10), counter words c0..c3, key k0 k1.
  it.each([
    [0n, 0n, 0n, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
    [0xffffffffffffffffn, 0xffffffffffffffffn, 0xffffffffffffffffn, [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
    [0x299f31d0a4093822n, 0x0370734413198a2en, 0x85a308d3243f6a88n, [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]],
  ])('answers the known vectors (key %s)', (seed, stream, offset, words) => {
    expect(philox(seed, stream, offset)).toEqual(words);
  });

  it('maps bits to the documented intervals', () => {
    expect(uniformF32(0)).toBe(0);
    expect(uniformF32(0xffffffff)).toBeLessThan(1);
    expect(uniformF64(0, 0)).toBeGreaterThan(0);
    expect(uniformF64(0xffffffff, 0xffffffff)).toBeLessThanOrEqual(1);
  });
});
