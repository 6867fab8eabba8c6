// SPDX-License-Identifier: Apache-2.0
/** The kernels that bench/cuda measures: inputs, what they must move and compute, and their results. */
import { gpuFormats } from '../../test/support/linear.js';
import { attentionCase, mergeCase, prefixCase } from './attention.js';
import { appendCase, boundsCase, copyPagesCase, gatherCase, moveSlotsCase, ropeAppendCase } from './cache.js';
import type { KernelCase } from './kernel.js';
import { embeddingCase, gatedCase, linearCase, normCase, ropeCase, transposeCase } from './layers.js';
import { argmaxCase, candidatesCase, sampleCase, verifyCase } from './tokens.js';

/** Shapes that a simulator can run in a second, for their counters. */
function smallCases(): KernelCase[] {
  return [
    attentionCase('decode', { batch: 2, queries: 1, kv: 512 }),
    attentionCase('decode', { batch: 1, queries: 1, kv: 128 }, 'bf16'),
    ...(['i8', 'fp8e4m3', 'i4'] as const).map((cache) =>
      attentionCase('decode', { batch: 1, queries: 1, kv: 128 }, cache),
    ),
    attentionCase('draft trees', { batch: 1, queries: 8, kv: 256 }),
    attentionCase('prefill', { batch: 1, queries: 64, kv: 64 }),
    prefixCase(4, 128, 16),
    mergeCase(3, 2),
    ...[1, 16].map((m) => linearCase(m, 512, 1024, 'f16')),
    ...[1, 16].map((m) => linearCase(m, 256, 1024, 'q4_0')),
    linearCase(4, 128, 256, 'q4_0', { precision: 'int8' }),
    linearCase(4, 128, 256, 'q4_0', { gate: 'silu' }),
    normCase(4, 4096),
    normCase(4, 1024, true),
    ropeCase(8),
    gatedCase(4, 1024),
    embeddingCase(4, 1024, 'f16'),
    embeddingCase(4, 256, 'q4_0'),
    transposeCase(4, 'f32'),
    appendCase(16),
    ropeAppendCase(8, 'i8'),
    gatherCase(16),
    boundsCase(2),
    copyPagesCase(2),
    moveSlotsCase(16),
    sampleCase(1, 32_000),
    argmaxCase(1, 32_000),
    verifyCase(1, 3, 32_000),
    candidatesCase(1, 4, 8_000),
  ];
}

function realCases(): KernelCase[] {
  const decode = { batch: 16, queries: 1, kv: 8192 };
  return [
    ...[1, 16, 64].flatMap((batch) => [2048, 8192].map((kv) => attentionCase('decode', { ...decode, batch, kv }))),
    ...(['bf16', 'i8', 'fp8e4m3', 'i4'] as const).map((cache) => attentionCase('decode', decode, cache)),
    ...[8, 16].map((queries) => attentionCase('draft trees', { batch: 16, queries, kv: 2048 })),
    ...[2048, 8192].map((n) => attentionCase('prefill', { batch: 1, queries: n, kv: n })),
    prefixCase(32, 8192, 256),
    mergeCase(8, 64),
    ...(['f16', 'q4_0'] as const).flatMap((format) =>
      [1, 4, 16, 64, 256, 4096].map((m) => linearCase(m, 4096, 4096, format)),
    ),
    ...[1, 256].map((m) => linearCase(m, 4096, 4096, 'bf16')),
    ...gpuFormats
      .filter((format) => format !== 'q4_0')
      .flatMap((format) => [1, 16, 256].map((m) => linearCase(m, 4096, 4096, format))),
    ...[1, 16, 256, 4096].map((m) => linearCase(m, 4096, 4096, 'q4_0', { precision: 'int8' })),
    ...[1, 256].map((m) => linearCase(m, 8192, 4096, 'q4_0', { gate: 'silu' })),
    ...[16, 4096].flatMap((rows) => [
      normCase(rows, 4096),
      normCase(rows, 4096, true),
      ropeCase(rows),
      gatedCase(rows, 14_336),
      embeddingCase(rows, 4096, 'f16'),
      embeddingCase(rows, 4096, 'q4_0'),
      transposeCase(rows, 'f16'),
      transposeCase(rows, 'f32'),
      appendCase(rows),
      ropeAppendCase(rows, 'f16'),
      ropeAppendCase(rows, 'i8'),
      gatherCase(rows),
    ]),
    boundsCase(2048),
    ...[8, 1024].map(copyPagesCase),
    ...[64, 16_384].map(moveSlotsCase),
    ...[1, 64].flatMap((rows) => [
      sampleCase(rows, 128_256),
      argmaxCase(rows, 128_256),
      candidatesCase(rows, 8, 128_256),
    ]),
    ...[1, 16].map((requests) => verifyCase(requests, 7, 128_256)),
  ];
}

/** @param isSimulated shapes that a simulator can run in a second, for their counters */
export function kernelCases(isSimulated: boolean): KernelCase[] {
  return isSimulated ? smallCases() : realCases();
}
