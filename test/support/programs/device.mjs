// SPDX-License-Identifier: Apache-2.0
// The device that a test program is to use: a CPU, or with PAGEWARP_TEST_DEVICE=cuda a GPU.
const { Device } = await import(process.env.PAGEWARP_TEST_LIBRARY);

export const onGpu = process.env.PAGEWARP_TEST_DEVICE === 'cuda';

export function openDevice(threads) {
  return onGpu ? Device.cuda() : Device.cpu({ threads });
}
