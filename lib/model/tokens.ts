// SPDX-License-Identifier: Apache-2.0
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';

/** Tokens that the host knows, or only the device. */
export type TokenPart = Int32Array | Tensor<'i32'>;

/** A list of tokens; `owned` is to be disposed when commands that read it have been enqueued. */
export interface JoinedTokens {
  tokens: TokenPart;
  owned?: Tensor;
}

/** Puts lists of tokens, one dimension each, one after the other: on the device if one of them is there. */
export function joinTokens(stream: Stream, parts: readonly TokenPart[]): JoinedTokens {
  const [first] = parts;
  if (first && parts.length === 1) return { tokens: first };
  const merged = mergeKnown(parts);
  const [only] = merged;
  if (only instanceof Int32Array && merged.length === 1) return { tokens: only };
  const total = merged.reduce((sum, part) => sum + lengthOf(part), 0);
  const tokens = Tensor.empty(stream.device, [total], 'i32');
  let at = 0;
  for (const part of merged) {
    const end = at + lengthOf(part);
    using place = tokens.slice(0, at, end);
    if (part instanceof Int32Array) place.write(part, stream);
    else place.copyFrom(part, stream);
    at = end;
  }
  return { tokens, owned: tokens };
}

/** Neighbours that the host knows become one. */
function mergeKnown(parts: readonly TokenPart[]): TokenPart[] {
  const merged: TokenPart[] = [];
  let known: Int32Array[] = [];
  const flush = (): void => {
    if (known.length > 0) merged.push(concatenated(known));
    known = [];
  };
  for (const part of parts) {
    if (part instanceof Int32Array) {
      known.push(part);
    } else {
      flush();
      merged.push(part);
    }
  }
  flush();
  return merged;
}

function concatenated(lists: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(lists.reduce((sum, list) => sum + list.length, 0));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  return all;
}

function lengthOf(part: TokenPart): number {
  return part instanceof Int32Array ? part.length : (part.shape[0] as number);
}
