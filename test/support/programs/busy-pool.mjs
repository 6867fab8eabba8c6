// SPDX-License-Identifier: Apache-2.0
// Every thread of Node's own pool is blocked; generations need none of them.
//   busy-pool.mjs <model> <path for a FIFO>
import { execFileSync } from 'node:child_process';
import { open, openSync, stat } from 'node:fs';

const [model, fifo] = process.argv.slice(2);
const threads = 4; // libuv's default
const { load } = await import(process.env.PAGEWARP_TEST_LIBRARY);
const loaded = await load(model, { device: { threads: 2 } });
execFileSync('mkfifo', [fifo]);
let opened = 0;
let free = false;
for (let i = 0; i < threads; i++) open(fifo, 'r', () => opened++); // waits for a writer, in a thread of the pool
stat(model, () => {
  free = true;
});
const { tokens } = await loaded.generate('abc', { maxTokens: 20, ignoreEnd: true }).complete();
console.log(opened || free ? 'the pool was not blocked' : `${tokens.length} tokens`);
openSync(fifo, 'r+');
await loaded[Symbol.asyncDispose]();
