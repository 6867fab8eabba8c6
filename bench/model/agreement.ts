// SPDX-License-Identifier: Apache-2.0
/**
 * Do this library and node-llama-cpp continue a text with the same greedy tokens?
 *
 *     npm run bench:peers:install && npm run bench:agreement -- model-F32.gguf model-F16.gguf
 *
 * Exit code 1 when any file's tokens differ. Quantised files may well differ: the libraries round activations differently.
 */
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GgufFile } from '../../lib/index.js';
import { peers } from '../support/peers.js';
import { Runner } from './protocol.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const count = 100;
const files = process.argv.slice(2);
if (files.length === 0) throw new Error('usage: agreement.ts MODEL.gguf ...');

for (const path of files.map((file) => resolve(file))) {
  using file = await GgufFile.open(path);
  const begin = Number(new Map(file.metadata()).get('tokenizer.ggml.bos_token_id') ?? 1);
  const argv = [path, '1', '256'];
  const ours = new Runner([process.execPath, join(here, 'pagewarp.mjs'), ...argv], root);
  const theirs = new Runner([process.execPath, 'node-llama-cpp.mjs', ...argv], peers);
  const [a, b] = await Promise.all([ours.greedy([begin], count), theirs.greedy([begin], count)]);
  const first = a.tokens.findIndex((token, i) => token !== b.tokens[i]);
  console.log(`${path}: ${first < 0 ? `${count} tokens agree` : `tokens differ from token ${first} on`}`);
  if (first >= 0) process.exitCode = 1;
  ours.close();
  theirs.close();
}
