// SPDX-License-Identifier: Apache-2.0
// Tensors that nobody disposes are freed by the garbage collector, which feels their weight.
import { Device, Tensor } from '../../../lib/index.ts';

const device = Device.cpu({ threads: 1 });
let most = 0;
for (let i = 0; i < 400; i++) {
  Tensor.empty(device, [1 << 22], 'f32');
  most = Math.max(most, device.bytesInUse);
  if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
}
if (most > 200 * (1 << 24)) throw new Error(`${most / (1 << 24)} tensors of 16 MiB alive at once`);
globalThis.gc?.();
await new Promise((resolve) => setTimeout(resolve, 20));
if (device.bytesInUse > 20 * (1 << 24)) throw new Error(`${device.bytesInUse} bytes left after collection`);
console.log('done');
