// SPDX-License-Identifier: Apache-2.0
// Inputs that both sides of a comparison make for themselves, so that nothing large has to travel between processes.

/** A number of [0, 2^32) for each index: the finaliser of MurmurHash3. */
function hash(index) {
  let h = index | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The 4-bit code of a weight, 8 standing for zero, by its row-major index. */
export function linearCode(layer, index) {
  return hash(index + 7919 * layer) >>> 28;
}

/** The one scale of a layer of k inputs: keeps values of a chain near one. A power of two, exact in every type. */
export function linearScale(k) {
  return 2 ** Math.round(Math.log2(k ** -0.5 / 4.6));
}

const numbers = (seed, count, scale) => {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = scale * (hash(i + 0x9e3779b1 * seed) / 2 ** 31 - 1);
  return values;
};

/** Activations of a chain. */
export function linearNumbers(count) {
  return numbers(1, count, 1);
}

/** @param {'q' | 'k' | 'v' | 'pastK' | 'pastV'} name */
export function attentionNumbers(name, count) {
  return numbers(2 + ['q', 'k', 'v', 'pastK', 'pastV'].indexOf(name), count, name === 'q' ? 4 : 1);
}
