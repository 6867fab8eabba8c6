// SPDX-License-Identifier: Apache-2.0
/** Goodness of fit, for tests of sampling. */

/**
 * Pearson's test that `counts` were drawn from `probabilities`: the chance of a statistic at least as large. The rarest cells
 * are pooled until they expect five draws together; a draw in a cell of probability 0 gives 0.
 */
export function chiSquaredPValue(counts: ArrayLike<number>, probabilities: ArrayLike<number>): number {
  if (counts.length !== probabilities.length) throw new RangeError('counts and probabilities differ in length');
  const draws = Array.from(counts).reduce((sum, count) => sum + count, 0);
  const cells = Array.from(counts, (count, i) => ({ count, expected: draws * (probabilities[i] as number) }));
  if (cells.some(({ count, expected }) => expected === 0 && count > 0)) return 0;
  const frequent = cells.filter(({ expected }) => expected > 0).sort((x, y) => y.expected - x.expected);
  while (frequent.length > 1 && (frequent.at(-1) as { expected: number }).expected < 5) {
    const rare = frequent.pop() as { count: number; expected: number };
    const last = frequent.at(-1) as { count: number; expected: number };
    last.count += rare.count;
    last.expected += rare.expected;
  }
  if (frequent.length < 2) return 1;
  const statistic = frequent.reduce((sum, { count, expected }) => sum + (count - expected) ** 2 / expected, 0);
  return upperGamma((frequent.length - 1) / 2, statistic / 2);
}

/** Regularised upper incomplete gamma function Q(a, x), a > 0, x >= 0 (series below a + 1, continued fraction above). */
export function upperGamma(a: number, x: number): number {
  if (x <= 0) return 1;
  const scale = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = 1; term > sum * 1e-16; n++) {
      term *= x / (a + n);
      sum += term;
    }
    return 1 - scale * sum;
  }
  // Lentz's method.
  let b = x + 1 - a;
  let c = 1e300;
  let d = 1 / b;
  let fraction = d;
  for (let n = 1; n < 10000; n++) {
    const an = -n * (n - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return scale * fraction;
}

/** ln Γ(a) for a > 0, by Stirling's series after shifting the argument up. */
export function logGamma(a: number): number {
  let shift = 0;
  let z = a;
  while (z < 20) shift += Math.log(z++);
  const inverse = 1 / z;
  const square = inverse * inverse;
  const series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)));
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
