// SPDX-License-Identifier: Apache-2.0
#include "cpu/sample/row.inl"
#include "cpu/sample/sample.h"

namespace pw::cpu::PW_ISA {
namespace {

/// The n most probable tokens with their log-probabilities; ids -1 where the row has fewer finite logits.
void writeTop(const pw_sample_args& a, int64_t r, const float* row, int64_t size, double logSumExp, Candidate* buffer) {
  const int64_t wanted = a.top_ids.shape[1];
  const int64_t found = selectTop(row, size, wanted < size ? wanted : size, buffer);
  sortCandidates(buffer, found);
  auto* ids = static_cast<int32_t*>(rowPointer(a.top_ids, r));
  auto* logprobs = static_cast<float*>(rowPointer(a.top_logprobs, r));
  for (int64_t i = 0; i < wanted; ++i) {
    ids[i] = i < found ? buffer[i].token : -1;
    logprobs[i] = i < found ? static_cast<float>(buffer[i].logit - logSumExp) : bitsFloat(0xff800000u);
  }
}

/// What an invalid row leaves behind.
void writeNothing(const pw_sample_args& a, int64_t r) {
  const float nan = bitsFloat(0x7fc00000u);
  writeInteger(a.ids, r, -1);
  if (a.logprobs.data) writeElement(a.logprobs.data, PW_F32, r * a.logprobs.strides[0], nan);
  if (!a.top_ids.data) return;
  for (int64_t i = 0; i < a.top_ids.shape[1]; ++i) {
    static_cast<int32_t*>(rowPointer(a.top_ids, r))[i] = -1;
    static_cast<float*>(rowPointer(a.top_logprobs, r))[i] = nan;
  }
}

void sampleRow(const pw_sample_args& a, int64_t r, char* memory, Context& context) {
  const int64_t size = rowLength(a.logits);
  const Request request = loadRequest(a.sampling, r, size);
  const RowMemory rowMemory = carveRow(memory, size);
  const Workspace workspace = carveWorkspace(memory, size);
  const bool wantsLogprobs = a.logprobs.data || a.top_ids.data;
  double denominator = 0;
  TargetDistribution d;
  const RowError error = distributionOfRow(
      a.logits, r, request, nullptr, 0, rowMemory, workspace,
      [&](const float* row, RowRange range) {
        if (wantsLogprobs) denominator = logSumExp(row, size, range);
        if (a.top_ids.data) writeTop(a, r, row, size, denominator, workspace.candidates);
      },
      &d);
  if (error != RowError::kNone) {
    writeNothing(a, r);
    return failRow(error, context, "sample", r, size);
  }
  const int64_t token = draw(d, uniform(request, PW_DRAW_SAMPLE, request.offset));
  writeInteger(a.ids, r, token);
  if (a.logprobs.data)
    writeElement(a.logprobs.data, PW_F32, r * a.logprobs.strides[0],
                 readElement(rowPointer(a.logits, r), a.logits.dtype, token) - denominator);
}

}  // namespace

void sample(const pw_sample_args& a, Context& context) {
  const int64_t size = rowLength(a.logits);
  const auto bytes = static_cast<size_t>(rowMemoryBytes(size) + workspaceBytes(size));
  context.pool().forRange(a.logits.shape[0], 1 + 4096 / size, [&](int64_t begin, int64_t end, int worker) {
    auto* memory = static_cast<char*>(context.scratch(worker, bytes));
    for (int64_t r = begin; r < end; ++r) sampleRow(a, r, memory, context);
  });
}

void argmax(const pw_argmax_args& a, Context& context) {
  const int64_t size = rowLength(a.logits);
  context.pool().forRange(a.logits.shape[0], 1 + 16384 / size, [&](int64_t begin, int64_t end, int worker) {
    auto* memory = static_cast<float*>(context.scratch(worker, static_cast<size_t>(size) * sizeof(float)));
    for (int64_t r = begin; r < end; ++r) {
      const float* row = rowAsFloat(a.logits, r, false, memory);
      const RowRange range = scanRow(row, size);
      writeInteger(a.ids, r, range.valid ? firstIndexOf(row, size, range.max) : -1);
      if (!range.valid) failInvalidLogits(context, "argmax", r);
    }
  });
}

}  // namespace pw::cpu::PW_ISA
