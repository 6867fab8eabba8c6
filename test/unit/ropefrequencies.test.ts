// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { ropeFrequencies } from '../../lib/index.js';

describe('ropeFrequencies', () => {
  const plain = ropeFrequencies({ rotaryDim: 128, theta: 500000 });

  it('is a geometric series', () => {
    expect(plain.inverse).toHaveLength(64);
    expect(plain.inverse[0]).toBe(1);
    expect(plain.inverse[32]).toBeCloseTo(1 / Math.sqrt(500000), 15);
    expect(plain.magnitude).toBe(1);
  });

  it('scales linearly and by pair', () => {
    const linear = ropeFrequencies({ rotaryDim: 128, theta: 500000, scaling: { type: 'linear', factor: 4 } });
    linear.inverse.forEach((f, i) => {
      expect(f).toBeCloseTo((plain.inverse[i] as number) / 4, 15);
    });
    const factors = Float32Array.from({ length: 64 }, (_, i) => 1 + i);
    const each = ropeFrequencies({
      rotaryDim: 128,
      theta: 500000,
      scaling: { type: 'factors', factors, magnitude: 1.19 },
    });
    expect(each.inverse[9]).toBeCloseTo((plain.inverse[9] as number) / 10, 15);
    expect(each.magnitude).toBe(1.19);
  });

  it('keeps short wavelengths and stretches long ones as Llama 3.1 does', () => {
    const scaling = {
      type: 'llama3',
      factor: 8,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalContext: 8192,
    } as const;
    const { inverse } = ropeFrequencies({ rotaryDim: 128, theta: 500000, scaling });
    inverse.forEach((f, i) => {
      const original = plain.inverse[i] as number;
      const wavelength = (2 * Math.PI) / original;
      if (wavelength < 8192 / 4) expect(f).toBe(original);
      else if (wavelength > 8192) expect(f).toBeCloseTo(original / 8, 15);
      else {
        const smooth = (8192 / wavelength - 1) / (4 - 1);
        expect(f).toBeCloseTo(((1 - smooth) * original) / 8 + smooth * original, 15);
      }
    });
    // 2048 positions are a wavelength at pair 28.2, 8192 at pair 34.98.
    expect((plain.inverse[28] as number) / (inverse[28] as number)).toBe(1);
    expect((plain.inverse[35] as number) / (inverse[35] as number)).toBeCloseTo(8, 12);
  });

  it('ramps between kept and stretched dimensions as YaRN does', () => {
    const scaling = { type: 'yarn', factor: 16, originalContext: 4096 } as const;
    const base = ropeFrequencies({ rotaryDim: 128, theta: 10000 });
    const { inverse, magnitude } = ropeFrequencies({ rotaryDim: 128, theta: 10000, scaling });
    expect(magnitude).toBeCloseTo(0.1 * Math.log(16) + 1, 15);
    // Pairs that turn 32 times and once over 4096 positions: 20.9 and 45.03; the ramp runs from 20 to 46.
    for (const [pair, stretched] of [
      [0, 0],
      [20, 0],
      [33, 0.5],
      [46, 1],
      [63, 1],
    ] as const) {
      const f = base.inverse[pair] as number;
      expect(inverse[pair]).toBeCloseTo((stretched * f) / 16 + (1 - stretched) * f, 12);
    }
  });

  it('names what is wrong', () => {
    const code = (options: Partial<Parameters<typeof ropeFrequencies>[0]>): unknown => {
      try {
        ropeFrequencies({ rotaryDim: 64, theta: 10000, ...options });
      } catch (error) {
        return (error as { code: string }).code;
      }
      return undefined;
    };
    expect(code({ rotaryDim: 63 })).toBe('ERR_INVALID_ARGUMENT');
    expect(code({ theta: 0 })).toBe('ERR_INVALID_ARGUMENT');
    expect(code({ scaling: { type: 'linear', factor: 0 } })).toBe('ERR_INVALID_ARGUMENT');
    expect(code({ scaling: { type: 'magic' } as never })).toBe('ERR_INVALID_ARGUMENT');
    expect(code({ scaling: { type: 'factors', factors: [1] } })).toBe('ERR_SHAPE_MISMATCH');
  });
});
