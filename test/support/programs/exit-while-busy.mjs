// SPDX-License-Identifier: Apache-2.0
// process.exit() with commands queued and promises open.
import { spawnSync } from 'node:child_process';
import { onGpu, openDevice } from './device.mjs';

const { Tensor } = await import(process.env.PAGEWARP_TEST_LIBRARY);

if (process.argv[2] === 'child') {
  const device = openDevice(2);
  const tensor = Tensor.zeros(device, [1 << 20], 'f32');
  for (let i = 0; i < 200; i++) tensor.fill(i);
  void tensor.read();
  setTimeout(() => process.exit(0), Number(process.argv[3]));
} else {
  for (let i = 0; i < (onGpu ? 3 : 6); i++) {
    const child = spawnSync(process.execPath, [...process.execArgv, process.argv[1], 'child', String(i)]);
    if (child.status !== 0) throw new Error(`exit ${child.status} signal ${child.signal}: ${child.stderr}`);
  }
  console.log('done');
}
