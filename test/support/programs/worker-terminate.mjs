// SPDX-License-Identifier: Apache-2.0
// Terminates workers whose engines are busy, at many different moments. The workers use the addon itself, which is what
// must survive; loading the library a hundred times would only take long.
import { createRequire } from 'node:module';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  // Workers on the simulated GPU compute much more slowly.
  const rounds = process.env.PAGEWARP_TEST_DEVICE === 'cuda' ? 15 : 100;
  for (let i = 0; i < rounds; i++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: process.env.PAGEWARP_ADDON_PATH });
    await new Promise((resolve) => worker.once('message', resolve));
    await new Promise((resolve) => setTimeout(resolve, i % 7));
    await worker.terminate();
  }
  console.log('done');
} else {
  const addon = createRequire(import.meta.url)(workerData);
  const onGpu = process.env.PAGEWARP_TEST_DEVICE === 'cuda';
  const device = onGpu ? addon.createCudaDevice(0, 0) : addon.createCpuDevice(2, '');
  const stream = addon.createStream(device);
  const tensor = addon.createTensor(device, 0, [1 << 18]);
  parentPort?.postMessage('started');
  for (;;) {
    for (let i = 0; i < 20; i++) addon.fillTensor(stream, tensor, i);
    await addon.readTensor(stream, tensor);
  }
}
