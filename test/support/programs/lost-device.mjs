// SPDX-License-Identifier: Apache-2.0
// What a process meets whose GPU is lost under it, as one line of JSON: run with GPUSIM_TIMEOUT, which ends every launch.
const { Device, Tensor, load, rmsNorm } = await import(process.env.PAGEWARP_TEST_LIBRARY);

const errors = [];
const attempt = async (work) => {
  try {
    await work();
    errors.push(null);
  } catch ({ code, message }) {
    errors.push({ code, message });
  }
};
const normOn = async (device) => {
  const stream = device.stream();
  const x = Tensor.from(device, new Float32Array(2 ** 19), [256, 2048], 'f32');
  const weight = Tensor.from(device, new Float32Array(2048), [2048], 'f32');
  const out = rmsNorm(stream, { x, weight, eps: 1e-5 });
  try {
    await out.read(stream);
  } finally {
    for (const used of [x, weight, out, stream]) used.dispose();
  }
};

const device = Device.cuda();
await attempt(() => normOn(device)); // loses it
await attempt(() => normOn(device)); // whoever comes after is told the same
await attempt(async () => void (await load(process.argv[2], { device })).dispose());
await attempt(() => normOn(Device.cpu())); // others are not concerned
device.dispose();
await attempt(() => Device.cuda().dispose()); // works only if nothing of the old one is left
console.log(JSON.stringify(errors));
