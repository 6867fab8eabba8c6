// SPDX-License-Identifier: Apache-2.0
/** What tests do with rows that have been rounded to 8 bits. */
import { type Device, linear, PackedMatrix, QuantizedRows, Tensor } from '../../lib/index.js';

/** Memory that nothing has been written to: every number in it would spoil a result. */
export function poisonedRows(device: Device, shape: readonly number[]): QuantizedRows {
  const rows = QuantizedRows.empty(device, shape);
  rows.codes.fill(77);
  rows.scales.fill(Number.NaN);
  rows.sums.fill(1 << 20);
  return rows;
}

/** The identity of `size` columns as q4_0: what a linear layer by it gives are the rows themselves, exactly. */
export function identityMatrix(device: Device, size: number): PackedMatrix {
  const rowBytes = (size / 32) * 18;
  const blocks = new Uint8Array(size * rowBytes).fill(0x88); // codes of 0
  for (let row = 0; row < size; row++) {
    for (let block = 0; block < size / 32; block++) blocks.set([0x00, 0x3c], row * rowBytes + block * 18); // a scale of 1
    const [inBlock, block] = [row % 32, Math.floor(row / 32)];
    blocks[row * rowBytes + block * 18 + 2 + (inBlock % 16)] = inBlock < 16 ? 0x89 : 0x98;
  }
  using data = Tensor.from(device, blocks, undefined, 'u8');
  return PackedMatrix.fromBlocks(device.defaultStream, [{ data, format: 'q4_0', columns: size }]);
}

/** The numbers that finite rows stand for: code times scale. */
export async function numbersOf(rows: QuantizedRows): Promise<Float32Array> {
  const { device } = rows;
  using weight = identityMatrix(device, rows.shape.at(-1) as number);
  using out = linear(device.defaultStream, { x: rows, weight }) as Tensor<'f32'>;
  return await out.read();
}
