// SPDX-License-Identifier: Apache-2.0
// What this process can compute on, and what opening a GPU says, as one line of JSON.
const { Device } = await import(process.env.PAGEWARP_TEST_LIBRARY);

const gpus = Device.list().filter(({ kind }) => kind === 'cuda');
let error = null;
try {
  Device.cuda(0).dispose();
} catch ({ code, message }) {
  error = { code, message };
}
console.log(JSON.stringify({ gpus, error }));
