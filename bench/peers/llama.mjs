// SPDX-License-Identifier: Apache-2.0
// llama.cpp on the CPU, as every runner of it uses it.
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';

export function openLlama(threads) {
  return getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    logLevel: LlamaLogLevel.error,
    maxThreads: threads,
  });
}
