// SPDX-License-Identifier: Apache-2.0
#include "cpu/attention/attention.h"

#include <limits>
#include <string>

#include "cpu/rows.h"

namespace pw::cpu {
namespace {

/// Empty if `plan` can run with these tensors, else what does not fit.
std::string misfit(const pw_attention_args& a) {
  const pw_attention_plan& p = a.plan;
  const auto differs = [](const char* what, int64_t planned, int64_t given) {
    return std::string("the plan was made for ") + what + " " + std::to_string(planned) + ", but got " +
           std::to_string(given);
  };
  if (p.rows > a.q.shape[0]) return differs("rows", p.rows, a.q.shape[0]);
  if (p.heads != a.q.shape[1]) return differs("heads", p.heads, a.q.shape[1]);
  if (p.headDim != a.q.shape[2]) return differs("headDim", p.headDim, a.q.shape[2]);
  if (p.pagesInPool > a.cache.k.shape[0]) return differs("pages", p.pagesInPool, a.cache.k.shape[0]);
  if (p.pageSize != a.cache.k.shape[1]) return differs("pageSize", p.pageSize, a.cache.k.shape[1]);
  if (p.kvHeads != a.cache.k.shape[2]) return differs("kvHeads", p.kvHeads, a.cache.k.shape[2]);
  return {};
}

void clearRows(const pw_attention_args& a, int64_t begin) {
  for (int64_t row = begin; row < a.q.shape[0]; ++row)
    for (int64_t head = 0; head < a.q.shape[1]; ++head) {
      void* out = rowPointer(a.out, row * a.q.shape[1] + head);
      for (int64_t d = 0; d < a.q.shape[2]; ++d) writeElement(out, a.out.dtype, d, 0.0);
      if (a.lse.data)
        static_cast<float*>(a.lse.data)[row * a.lse.strides[0] + head * a.lse.strides[1]] =
            -std::numeric_limits<float>::infinity();
    }
}

void dispatch(const pw_attention_args& args, Context& context) { PW_CPU_DISPATCH(attention, args, context) }

}  // namespace

void attention(const pw_attention_args& args, Context& context) {
  const std::string problem = misfit(args);
  if (!problem.empty()) return context.fail(PW_STALE_PLAN, problem);
  pw_attention_args a = args;
  const int64_t needed = pw_attention_workspace_bytes(a.plan.partialRows, a.plan.heads, a.plan.headDim);
  if (!a.workspace.data) {
    a.workspace.data = context.shared(static_cast<size_t>(needed));
  } else if (const int64_t given = rowCount(a.workspace) * rowLength(a.workspace) * pw_dtype_size(a.workspace.dtype);
             given < needed) {
    return context.fail(PW_STALE_PLAN, "the plan needs " + std::to_string(needed) +
                                           " bytes of workspace, but the given one has " + std::to_string(given));
  }
  dispatch(a, context);
  clearRows(a, a.plan.rows);
}

void mergeStates(const pw_merge_states_args& args, Context& context) { PW_CPU_DISPATCH(mergeStates, args, context) }

}  // namespace pw::cpu
