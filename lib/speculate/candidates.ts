// SPDX-License-Identifier: Apache-2.0
import { drawCandidates } from '../ops/candidates.js';
import type { Stream } from '../tensor/stream.js';
import type { Tensor } from '../tensor/tensor.js';
import type { DraftTarget } from './drafter.js';

/** The most probable tokens after each row, -1 where there are no more, and the logarithms of their chances: [rows, count] each. */
export interface Candidates {
  ids: Int32Array;
  logprobs: Float32Array;
}

/** Enqueues what finds them, with the chances that the target draws with; greedy ones say nothing of how sure a row is. */
export async function readCandidates(
  stream: Stream,
  logits: Tensor<'f32'>,
  count: number,
  { temperature, topK, topP, minP }: DraftTarget['sampling'],
): Promise<Candidates> {
  const filters = temperature > 0 ? { temperature, topK, topP, minP } : {};
  const drawn = drawCandidates(stream, { logits, count, kind: 'top', ...filters });
  const reads = Promise.all([drawn.ids.read(stream), drawn.logprobs.read(stream)]);
  drawn.ids.dispose();
  drawn.logprobs.dispose();
  const [ids, logprobs] = await reads;
  return { ids, logprobs };
}
