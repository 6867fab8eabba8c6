// SPDX-License-Identifier: Apache-2.0
import { type FileHandle, open } from 'node:fs/promises';

/** A tensor to be written: its bytes are asked for when their turn has come. */
export interface SafetensorsEntry {
  name: string;
  dtype: string;
  shape: readonly number[];
  bytes: number;
  read(): Promise<Uint8Array>;
}

/** Writes a safetensors file, one tensor after the other. A file that could not be finished is left to the caller. */
export async function writeSafetensors(path: string, entries: readonly SafetensorsEntry[]): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  for (const { name, dtype, shape, bytes } of entries) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const text = JSON.stringify(header);
  // Data begins at a multiple of 8 bytes, which spaces fill up to.
  const encoded = Buffer.from(text + ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(encoded.length));
  const file = await open(path, 'w');
  try {
    await writeAll(file, length);
    await writeAll(file, encoded);
    for (const entry of entries) await writeAll(file, await entry.read());
  } finally {
    await file.close();
  }
}

/** Writes all of the bytes: a single write may take fewer. */
export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at)).bytesWritten;
}
