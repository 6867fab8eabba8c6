// SPDX-License-Identifier: Apache-2.0
#include "cpu/attention/attention.h"

#include <limits>
#include <string>

#include "cpu/rows.h"
#include "plan/attention_fit.h"

namespace pw::cpu {
namespace {

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
  const std::string problem = planMisfit(args);
  if (!problem.empty()) return context.fail(PW_STALE_PLAN, problem);
  pw_attention_args a = args;
  if (!a.workspace.data)
    a.workspace.data = context.shared(
        static_cast<size_t>(pw_attention_workspace_bytes(a.plan.partialRows, a.plan.heads, a.plan.headDim)));
  dispatch(a, context);
  clearRows(a, a.plan.rows);
}

void mergeStates(const pw_merge_states_args& args, Context& context) { PW_CPU_DISPATCH(mergeStates, args, context) }

}  // namespace pw::cpu
