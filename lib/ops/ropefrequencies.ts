// SPDX-License-Identifier: Apache-2.0
import { checkList, checkObject, invalidArgument, shapeMismatch } from '../errors.js';
import type { Device } from '../tensor/device.js';
import { Tensor } from '../tensor/tensor.js';
import { checkNumber } from './check.js';

/** How a model stretches its rotary frequencies to contexts longer than it was pretrained with. */
export type RopeScaling =
  | { type: 'none' }
  /** Positions divided by `factor` (Chen et al., "Extending context window ... via position interpolation", 2023). */
  | { type: 'linear'; factor: number }
  /** Llama 3.1: wavelengths beyond originalContext / lowFrequencyFactor are stretched, a band below it gradually. */
  | {
      type: 'llama3';
      factor: number;
      lowFrequencyFactor: number;
      highFrequencyFactor: number;
      originalContext: number;
    }
  /**
   * YaRN (Peng et al., "YaRN: efficient context window extension of large language models", 2023): dimensions that turn more
   * than `betaFast` times over the original context stay, those below `betaSlow` are stretched, a ramp lies between; cos and
   * sin are multiplied by `magnitude`.
   */
  | {
      type: 'yarn';
      factor: number;
      originalContext: number;
      /** Default 32. */
      betaFast?: number;
      /** Default 1. */
      betaSlow?: number;
      /** Default 0.1 ln(factor) + 1. */
      magnitude?: number;
    }
  /** One divisor per pair: LongRoPE (Ding et al., 2024), the `rope_freqs` tensor of GGUF files. `magnitude`: default 1. */
  | { type: 'factors'; factors: ArrayLike<number>; magnitude?: number };

export interface RopeFrequencyOptions {
  /** Elements of a head that are rotated; even. The others pass unchanged. */
  rotaryDim: number;
  /** Base of the geometric series of wavelengths: 10000, or what the model says. */
  theta: number;
  /** Default: none. */
  scaling?: RopeScaling;
}

export interface RopeFrequencies {
  readonly rotaryDim: number;
  /** Radians per position of each pair: rotaryDim / 2 numbers. */
  readonly inverse: Float64Array;
  /** Factor on cos and sin. */
  readonly magnitude: number;
}

/**
 * The rotary frequencies of a model: theta^(-2i / rotaryDim) for pair i (Su et al., "RoFormer", 2021), scaled.
 * @throws PagewarpError ERR_INVALID_ARGUMENT, ERR_SHAPE_MISMATCH
 */
export function ropeFrequencies(options: RopeFrequencyOptions): RopeFrequencies {
  checkObject('options', options);
  const { rotaryDim, theta, scaling = { type: 'none' } } = options;
  checkObject('scaling', scaling);
  checkNumber('rotaryDim', rotaryDim, 'an even integer above 0', (n) => Number.isInteger(n) && n > 0 && n % 2 === 0);
  checkNumber('theta', theta, 'a number above 1', (n) => n > 1);
  const plain = Float64Array.from({ length: rotaryDim / 2 }, (_, i) => theta ** ((-2 * i) / rotaryDim));
  const { inverse, magnitude = 1 } = scale(plain, rotaryDim, theta, scaling);
  checkNumber('magnitude', magnitude, 'a number above 0', (n) => n > 0);
  return { rotaryDim, inverse, magnitude };
}

/**
 * The frequencies on a device, as {@link ropeTable} takes them: [2, rotaryDim / 2], each frequency as the sum of two f32, so
 * that angles at positions of a million keep their accuracy.
 */
export function ropeFrequencyTensor(device: Device, frequencies: RopeFrequencies): Tensor<'f32'> {
  checkObject('frequencies', frequencies);
  checkList('frequencies.inverse', frequencies.inverse);
  const high = Float32Array.from(frequencies.inverse);
  const low = Float32Array.from(frequencies.inverse, (f, i) => f - (high[i] as number));
  return Tensor.from(device, Float32Array.of(...high, ...low), [2, high.length], 'f32');
}

function scale(
  plain: Float64Array,
  rotaryDim: number,
  theta: number,
  scaling: RopeScaling,
): { inverse: Float64Array; magnitude?: number | undefined } {
  switch (scaling.type) {
    case 'none':
      return { inverse: plain };
    case 'linear':
      checkFactor(scaling.factor);
      return { inverse: plain.map((f) => f / scaling.factor) };
    case 'llama3':
      return { inverse: llama3(plain, scaling) };
    case 'yarn':
      return yarn(plain, rotaryDim, theta, scaling);
    case 'factors': {
      const { factors, magnitude } = scaling;
      checkList('factors', factors);
      if (factors.length !== plain.length) {
        throw shapeMismatch('factors', [factors.length], [plain.length], 'one divisor per rotated pair');
      }
      const inverse = plain.map((f, i) => {
        checkFactor(factors[i] as number);
        return f / (factors[i] as number);
      });
      return { inverse, magnitude };
    }
    default:
      throw invalidArgument(
        'scaling.type',
        (scaling as { type: unknown }).type,
        'none, linear, llama3, yarn or factors',
      );
  }
}

function llama3(plain: Float64Array, scaling: Extract<RopeScaling, { type: 'llama3' }>): Float64Array {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
  checkFactor(factor);
  checkContext(originalContext);
  checkNumber('lowFrequencyFactor', low, 'a number above 0', (n) => n > 0);
  checkNumber('highFrequencyFactor', high, 'a number above lowFrequencyFactor', (n) => n > low);
  return plain.map((f) => {
    const turns = (originalContext * f) / (2 * Math.PI); // over the original context
    const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return kept * f + ((1 - kept) * f) / factor;
  });
}

function yarn(
  plain: Float64Array,
  rotaryDim: number,
  theta: number,
  scaling: Extract<RopeScaling, { type: 'yarn' }>,
): { inverse: Float64Array; magnitude: number } {
  const { factor, originalContext, betaFast = 32, betaSlow = 1 } = scaling;
  checkFactor(factor);
  checkContext(originalContext);
  checkNumber('betaSlow', betaSlow, 'a number above 0', (n) => n > 0);
  checkNumber('betaFast', betaFast, 'a number of at least betaSlow', (n) => n >= betaSlow);
  // The pair (as a real number) that turns `beta` times over the original context.
  const pairOf = (beta: number): number =>
    (rotaryDim * Math.log(originalContext / (beta * 2 * Math.PI))) / (2 * Math.log(theta));
  const first = Math.max(0, Math.floor(pairOf(betaFast)));
  const last = Math.min(rotaryDim - 1, Math.ceil(pairOf(betaSlow)));
  const width = Math.max(last - first, 0.001);
  const inverse = plain.map((f, i) => {
    const stretched = Math.min(1, Math.max(0, (i - first) / width));
    return (stretched * f) / factor + (1 - stretched) * f;
  });
  return { inverse, magnitude: scaling.magnitude ?? (factor > 1 ? 0.1 * Math.log(factor) + 1 : 1) };
}

function checkFactor(factor: number): void {
  checkNumber('factor', factor, 'a number above 0', (n) => n > 0);
}

function checkContext(context: number): void {
  checkNumber('originalContext', context, 'a number of positions above 0', (n) => n > 0);
}
