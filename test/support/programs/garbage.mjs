// SPDX-License-Identifier: Apache-2.0
// Tensors that nobody disposes are freed by the garbage collector, which feels their weight.
import { onGpu, openDevice } from './device.mjs';

const { Tensor } = await import(process.env.PAGEWARP_TEST_LIBRARY);
const device = openDevice(1);
// The simulated GPU has little memory.
const elements = 1 << (onGpu ? 19 : 22);
const bytes = 4 * elements;
let most = 0;
for (let i = 0; i < 400; i++) {
  Tensor.empty(device, [elements], 'f32');
  most = Math.max(most, device.bytesInUse);
  if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
}
if (most > (onGpu ? 390 : 200) * bytes) throw new Error(`${most / bytes} tensors of ${bytes} bytes alive at once`);
globalThis.gc?.();
await new Promise((resolve) => setTimeout(resolve, 20));
if (device.bytesInUse > 20 * bytes) throw new Error(`${device.bytesInUse} bytes left after collection`);
console.log('done');
