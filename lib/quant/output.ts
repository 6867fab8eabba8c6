// SPDX-License-Identifier: Apache-2.0
import { rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { invalidArgument, PagewarpError } from '../errors.js';

/** What is at a path. @throws PagewarpError ERR_IO when it cannot be asked, as under a file */
async function kindAt(path: string): Promise<'nothing' | 'file' | 'folder' | 'device'> {
  try {
    const found = await stat(path);
    return found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'device';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'nothing';
    throw unwritable(path, error);
  }
}

/**
 * That a result can take this path, before hours have gone into it. A device would be replaced by a file of its name.
 * @throws PagewarpError ERR_INVALID_ARGUMENT, ERR_IO
 */
export async function checkOutput(path: string, isFolder: boolean): Promise<void> {
  const kind = await kindAt(path);
  const fits = kind === 'nothing' || (kind === 'file' && !isFolder);
  if (!fits) {
    const allowed = isFolder ? 'the path of a new folder' : 'the path of a file, which may exist';
    throw invalidArgument('output', `${path} (a ${kind} that exists)`, allowed);
  }
  const parent = dirname(path);
  if ((await kindAt(parent)) !== 'folder') throw unwritable(path, new Error(`there is no folder ${parent}`));
}

/**
 * Lets `write` make a file or a folder beside `path`, which takes that path when it is complete.
 * @throws PagewarpError ERR_IO for what the system refuses; what `write` throws otherwise
 */
export async function writeComplete(path: string, write: (partial: string) => Promise<void>): Promise<void> {
  const partial = `${path}.partial`;
  try {
    await write(partial);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw (error as NodeJS.ErrnoException | undefined)?.syscall === undefined ? error : unwritable(path, error);
  }
}

function unwritable(path: string, cause: unknown): PagewarpError {
  return new PagewarpError('ERR_IO', `${path} cannot be written: ${(cause as Error).message}`, { path }, { cause });
}
