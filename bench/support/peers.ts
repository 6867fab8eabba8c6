// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the libraries that this one is compared with, and of the programs that run them. */
export const peers = fileURLToPath(new URL('../peers', import.meta.url));

/** Is this package installed there? If not, a line says so. */
export function hasPeer(name: string): boolean {
  if (existsSync(join(peers, 'node_modules', name))) return true;
  console.log(`${name} is not installed (npm run bench:peers:install): this library alone`);
  return false;
}
