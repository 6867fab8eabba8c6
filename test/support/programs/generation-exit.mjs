// SPDX-License-Identifier: Apache-2.0
// Ends the process in the middle of a generation.
//   generation-exit.mjs <model> <chunks before the end>
const [model, chunks] = process.argv.slice(2);
const { load } = await import(process.env.PAGEWARP_TEST_LIBRARY);
const loaded = await load(model, { device: { threads: 2 } });
let seen = 0;
for await (const _ of loaded.generate('abc', { maxTokens: 100, ignoreEnd: true })) {
  if (++seen > Number(chunks)) process.exit(7);
}
