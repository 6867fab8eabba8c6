// SPDX-License-Identifier: Apache-2.0
#include "gpu/sample.h"

#include <algorithm>

#include "gpu/ops.h"
#include "gpu/rows.h"

namespace pw::gpu {
namespace {

int64_t roundUp(int64_t value, int64_t multiple) { return divideUp(value, multiple) * multiple; }

}  // namespace

pw_gpu_vector vectorOf(const pw_tensor& t) { return {t.data, t.strides[0], t.dtype == PW_I64}; }

pw_gpu_logits logitsOf(const pw_tensor& t) {
  return {t.data, t.strides[0], t.dtype, static_cast<int32_t>(rowLength(t)),
          rowsAligned(t, 4 * pw_dtype_size(t.dtype))};
}

pw_gpu_sampling samplingOf(const pw_sampling& s) {
  pw_gpu_sampling p{};
  p.parameters = static_cast<const float*>(s.parameters.data);
  p.parameterStride = s.parameters.strides[0];
  p.seeds = vectorOf(s.seeds);
  p.offsets = vectorOf(s.offsets);
  if (!s.history.data) return p;
  p.history = static_cast<const int32_t*>(s.history.data);
  p.historySize = s.history.shape[0];
  p.historyBegin = vectorOf(s.history_indptr);
  p.promptLengths = vectorOf(s.prompt_lengths);
  return p;
}

unsigned samplingThreads(int64_t size) {
  return static_cast<unsigned>(std::min<int64_t>(divideUp(size, PW_GPU_SAMPLE_BLOCK), 16) * 32);
}

pw_gpu_sample_workspace sampleWorkspace(Context& context, int64_t size, bool penalizes, int64_t blocks) {
  pw_gpu_sample_workspace w{};
  w.bytes = roundUp(2 * divideUp(size, PW_GPU_SAMPLE_BLOCK) * 4, 256);
  if (penalizes) {
    w.logitsAt = w.bytes;
    w.countsAt = w.logitsAt + roundUp(size * 4, 256);
    w.changedAt = w.countsAt + roundUp(size * 4, 256);
    w.bytes = w.changedAt + roundUp(divideUp(size, PW_GPU_SAMPLE_BLOCK) * (PW_GPU_SAMPLE_BLOCK / 8), 256);
  }
  w.data = static_cast<char*>(context.scratch(static_cast<size_t>(w.bytes * blocks)));
  return w;
}

void sample(Context& context, const pw_sample_args& a) {
  const int64_t rows = a.logits.shape[0], size = rowLength(a.logits);
  if (rows == 0) return;
  const Kernel& kernel = context.kernel("sample/sample", "pw_sample");
  const unsigned threads = samplingThreads(size);
  const int64_t resident =
      static_cast<int64_t>(context.residentBlocks(kernel, threads, 0)) * context.properties().multiprocessors;
  const int64_t blocks = std::min(rows, std::max<int64_t>(resident, 1));
  pw_gpu_sample_params p{};
  p.logits = logitsOf(a.logits);
  p.sampling = samplingOf(a.sampling);
  p.workspace = sampleWorkspace(context, size, a.sampling.history.data != nullptr, blocks);
  p.ids = vectorOf(a.ids);
  p.logprobs = static_cast<float*>(a.logprobs.data);
  p.logprobStride = a.logprobs.strides[0];
  if (a.top_ids.data) {
    p.topIds = static_cast<int32_t*>(a.top_ids.data);
    p.topLogprobs = static_cast<float*>(a.top_logprobs.data);
    p.topIdStride = a.top_ids.strides[0];
    p.topLogprobStride = a.top_logprobs.strides[0];
    p.topCount = static_cast<int32_t>(rowLength(a.top_ids));
  }
  p.rows = static_cast<int32_t>(rows);
  p.error = context.errorWord();
  context.launch(kernel, {static_cast<unsigned>(blocks)}, {threads}, 0, p);
}

void argmax(Context& context, const pw_argmax_args& a) {
  // Parts that keep a block busy for a few loads, and a large vocabulary's row several multiprocessors.
  constexpr int64_t kPart = 32 * PW_GPU_SAMPLE_BLOCK, kMostRows = 65535;
  const int64_t rows = a.logits.shape[0], size = rowLength(a.logits), parts = divideUp(size, kPart);
  auto* found = static_cast<pw_gpu_argmax_part*>(
      context.scratch(static_cast<size_t>(std::min(rows, kMostRows) * parts) * sizeof(pw_gpu_argmax_part)));
  for (int64_t begin = 0; begin < rows; begin += kMostRows) {
    const auto count = static_cast<unsigned>(std::min(rows - begin, kMostRows));
    pw_tensor logits = a.logits, ids = a.ids;
    logits.data = static_cast<char*>(logits.data) + begin * logits.strides[0] * pw_dtype_size(logits.dtype);
    ids.data = static_cast<char*>(ids.data) + begin * ids.strides[0] * pw_dtype_size(ids.dtype);
    pw_gpu_argmax_params p{};
    p.logits = logitsOf(logits);
    p.ids = vectorOf(ids);
    p.found = found;
    p.parts = static_cast<int32_t>(parts);
    p.partSize = static_cast<int32_t>(kPart);
    p.error = context.errorWord();
    context.launch(context.kernel("sample/argmax", "pw_argmax_parts"), {static_cast<unsigned>(parts), count},
                   {std::min(samplingThreads(size), 256u)}, 0, p);
    context.launch(context.kernel("sample/argmax", "pw_argmax_rows"), {count}, {32}, 0, p);
  }
}

}  // namespace pw::gpu
