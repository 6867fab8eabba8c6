// SPDX-License-Identifier: Apache-2.0
/** Linear layers in float64, and the activations as kernels over quantised weights see them. */

export interface LinearProblem {
  /** [m, k] */
  x: ArrayLike<number>;
  /** [n, k] */
  weight: ArrayLike<number>;
  m: number;
  n: number;
  k: number;
  bias?: ArrayLike<number> | undefined;
  /** [m, n] */
  residual?: ArrayLike<number> | undefined;
}

export function linearOracle({ x, weight, m, n, k, bias, residual }: LinearProblem): Float64Array {
  const out = new Float64Array(m * n);
  for (let row = 0; row < m; row++) {
    for (let column = 0; column < n; column++) {
      let sum = 0;
      for (let i = 0; i < k; i++) sum += (x[row * k + i] as number) * (weight[column * k + i] as number);
      sum += bias?.[column] ?? 0;
      sum += residual?.[row * n + column] ?? 0;
      out[row * n + column] = sum;
    }
  }
  return out;
}

/** Nearest integer, ties to even. */
function roundToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The 16 levels of a table as integer kernels see them: multiples of the largest magnitude / 127, in f32. */
export function roundLevels(levels: ArrayLike<number>): Float64Array {
  const unit = Math.fround(Math.max(...Array.from(levels, Math.abs)) / 127);
  return Float64Array.from(levels, (level) => roundToEven(Math.fround(level / unit)) * unit);
}

/** Activations rounded to 8 bits: `columns` share the scale that maps their largest magnitude to 127, in f32. */
export function roundActivations(x: ArrayLike<number>, columns = 32): Float64Array {
  const rounded = new Float64Array(x.length);
  for (let group = 0; group < x.length; group += columns) {
    let largest = 0;
    for (let i = group; i < group + columns; i++) largest = Math.max(largest, Math.abs(x[i] as number));
    const scale = Math.fround(largest / 127);
    const inverse = largest > 0 ? Math.fround(127 / largest) : 0;
    for (let i = group; i < group + columns; i++) {
      rounded[i] = roundToEven(Math.fround((x[i] as number) * inverse)) * scale;
    }
  }
  return rounded;
}
