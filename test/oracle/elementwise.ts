// SPDX-License-Identifier: Apache-2.0
/** RMSNorm, rotary embedding and gated activations of single rows, from their definitions in float64. */

export function rmsNorm(x: ArrayLike<number>, weight: ArrayLike<number>, eps: number): Float64Array {
  let squares = 0;
  for (let i = 0; i < x.length; i++) squares += (x[i] as number) ** 2;
  const scale = 1 / Math.sqrt(squares / x.length + eps);
  return Float64Array.from(weight, (w, i) => (x[i] as number) * scale * w);
}

/** Multiplies each pair, as a complex number, by magnitude * e^(i position frequency). */
export function rotate(
  head: ArrayLike<number>,
  position: number,
  frequencies: ArrayLike<number>,
  pairing: 'interleaved' | 'halves',
  magnitude = 1,
): Float64Array {
  const out = Float64Array.from(head);
  const half = frequencies.length;
  for (let i = 0; i < half; i++) {
    const [real, imaginary] = pairing === 'halves' ? [i, i + half] : [2 * i, 2 * i + 1];
    const angle = position * (frequencies[i] as number);
    const [c, s] = [magnitude * Math.cos(angle), magnitude * Math.sin(angle)];
    const [u, v] = [head[real] as number, head[imaginary] as number];
    out[real] = u * c - v * s;
    out[imaginary] = u * s + v * c;
  }
  return out;
}

export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

export function geluTanh(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}
