// SPDX-License-Identifier: Apache-2.0
import { bf16ToNumber, type FloatDType, f16ToNumber, numberToBf16, numberToF16 } from '../../lib/index.js';

/** The distance of neighbouring numbers of a dtype, relative to the smaller one, at most. 0 for f32, which is exact here. */
export const roundingStep: Readonly<Record<FloatDType, number>> = { f32: 0, f16: 2 ** -10, bf16: 2 ** -7 };

/** The nearest number of a dtype. */
export const rounding: Readonly<Record<FloatDType, (x: number) => number>> = {
  f32: Math.fround,
  f16: (x) => f16ToNumber(numberToF16(x)),
  bf16: (x) => bf16ToNumber(numberToBf16(x)),
};
