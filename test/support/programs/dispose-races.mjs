// SPDX-License-Identifier: Apache-2.0
// Disposes tensors, streams, lists and devices while their commands are queued or running.
import { openDevice } from './device.mjs';

const { Tensor } = await import(process.env.PAGEWARP_TEST_LIBRARY);

for (let round = 0; round < 100; round++) {
  const device = openDevice(1 + (round % 3));
  const stream = device.stream();
  const source = Tensor.zeros(device, [1 << 14], 'f32');
  const target = Tensor.empty(device, [1 << 14], 'f32');
  const list = stream.capture(() => target.copyFrom(source, stream));
  for (let i = 0; i < 10; i++) {
    source.fill(i, stream);
    stream.replay(list);
  }
  const reading = target.select(0, 3).read(stream);
  list.dispose();
  source.dispose();
  target.dispose();
  if (round % 2) stream.dispose();
  device.dispose();
  device.dispose();
  const [value] = await reading;
  if (value !== 9) throw new Error(`round ${round}: read ${value}`);
}
console.log('done');
