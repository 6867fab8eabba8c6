// SPDX-License-Identifier: Apache-2.0
/** Costs 2 s. */
import { expect, it } from 'vitest';
import { linear, matrixFormats, PackedMatrix, rmsNorm, supports, Tensor } from '../../lib/index.js';
import { quantisedNormTests } from '../bodies/norm-quantised.js';
import { randomBlocks, tablesOf } from '../oracle/ggml-blocks.js';
import { everyCpu } from '../support/devices.js';
import { cpuJudges } from '../support/judges.js';
import { poisonedRows } from '../support/quantised-rows.js';
import { randomNumbers } from '../support/random.js';

quantisedNormTests(cpuJudges);
const devices = everyCpu();

it('all packed formats take rounded rows, for any number of them', async () => {
  const formats = matrixFormats.filter((format) => supports('cpu', 'linearInt8', { format }));
  expect(formats.length).toBeGreaterThan(10);
  for (const { name, device } of devices) {
    const stream = device.defaultStream;
    const [k, n] = [256, 40];
    using weight = Tensor.full(device, [k], 'f32', 0.5);
    for (const [i, format] of formats.entries()) {
      using data = Tensor.from(device, randomBlocks(format, n, k, i), undefined, 'u8');
      using layer = PackedMatrix.fromBlocks(stream, [{ data, format, columns: k, ...tablesOf(format) }]);
      for (const rows of [1, 7, 35]) {
        using x = Tensor.from(device, randomNumbers(rows * k, { seed: i }), [rows, k], 'f32');
        using rounded = rmsNorm(stream, { x, weight, eps: 1e-6, out: poisonedRows(device, [rows, k]) });
        using normed = rmsNorm(stream, { x, weight, eps: 1e-6 });
        using fused = linear(stream, { x: rounded, weight: layer });
        using plain = linear(stream, { x: normed, weight: layer });
        expect(await fused.readNumbers(), `${name} ${format} ${rows}`).toEqual(await plain.readNumbers());
      }
    }
  }
});
