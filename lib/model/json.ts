// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { PagewarpError, unreadable } from '../errors.js';

export type Json = Record<string, unknown>;

/** The contents of a file of a model's folder. @throws PagewarpError ERR_IO, ERR_INVALID_MODEL unless it is a JSON object */
export function readJsonObject(path: string): Json {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Json;
  } catch {}
  const folder = dirname(path);
  throw new PagewarpError('ERR_INVALID_MODEL', `${folder}: ${basename(path)} is not a JSON object`, { path: folder });
}
