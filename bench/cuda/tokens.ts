// SPDX-License-Identifier: Apache-2.0
/** From logits to tokens. */
import { argmax, drawCandidates, sample, Tensor, verify } from '../../lib/index.js';
import { type KernelCase, keep, numbers, prepared, running } from './kernel.js';

const sampling = { temperature: 0.8, topK: 50, topP: 0.95, seed: 11 };

export function sampleCase(rows: number, vocabulary: number): KernelCase {
  return {
    name: `sample, ${rows} rows of ${vocabulary} logits`,
    bytes: 4 * rows * vocabulary,
    operations: 0,
    tolerance: 0,
    prepare: (device) =>
      prepared((owned) => {
        const logits = keep(owned, numbers(device, [rows, vocabulary], 'f32', 10));
        const out = keep(owned, Tensor.empty(device, [rows], 'i32'));
        const enqueue = (): void => void sample(device.defaultStream, { logits, out, ...sampling });
        return running(enqueue, out);
      }),
  };
}

export function verifyCase(requests: number, drafted: number, vocabulary: number): KernelCase {
  const total = requests * drafted;
  return {
    name: `verify, ${requests} chains of ${drafted}, ${vocabulary} logits`,
    bytes: 4 * (total + requests) * vocabulary,
    operations: 0,
    tolerance: 0,
    prepare: (device) =>
      prepared((owned) => {
        const targetLogits = keep(owned, numbers(device, [total + requests, vocabulary], 'f32', 12));
        // Tokens that are all but certain, so that every row is read.
        using column = targetLogits.slice(1, 5, 6);
        column.fill(40);
        const draftTokens = keep(owned, Tensor.full(device, [total], 'i32', 5));
        const draftLengths = new Array<number>(requests).fill(drafted);
        const run = (): Tensor<'i32'> => {
          const options = { targetLogits, draftTokens, draftLengths, temperature: 0.8, seed: 11 };
          const { tokens, acceptedLengths, lastTokens } = verify(device.defaultStream, options);
          acceptedLengths.dispose();
          lastTokens.dispose();
          return tokens;
        };
        return {
          enqueue: () => run().dispose(),
          result: async () => {
            using tokens = run();
            return await tokens.readNumbers();
          },
        };
      }),
  };
}

export function argmaxCase(rows: number, vocabulary: number): KernelCase {
  return {
    name: `argmax, ${rows} rows of ${vocabulary} logits`,
    bytes: 4 * rows * vocabulary,
    operations: 0,
    tolerance: 0,
    prepare: (device) =>
      prepared((owned) => {
        const logits = keep(owned, numbers(device, [rows, vocabulary], 'f32', 20));
        const out = keep(owned, Tensor.empty(device, [rows], 'i32'));
        return running(() => void argmax(device.defaultStream, { logits, out }), out);
      }),
  };
}

export function candidatesCase(rows: number, count: number, vocabulary: number): KernelCase {
  return {
    name: `drawCandidates, ${count} distinct ones of ${rows} rows of ${vocabulary} logits`,
    bytes: 4 * rows * vocabulary,
    operations: 0,
    tolerance: 0,
    prepare: (device) =>
      prepared((owned) => {
        const logits = keep(owned, numbers(device, [rows, vocabulary], 'f32', 21));
        const draw = (): Tensor<'i32'> => {
          const options = { logits, count, kind: 'distinct', temperature: 0.8, seed: 11 } as const;
          const { ids, logprobs } = drawCandidates(device.defaultStream, options);
          logprobs.dispose();
          return ids;
        };
        return {
          enqueue: () => draw().dispose(),
          result: async () => {
            using ids = draw();
            return await ids.readNumbers();
          },
        };
      }),
  };
}
