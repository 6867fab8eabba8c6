// SPDX-License-Identifier: Apache-2.0
#include "plan/attention_fit.h"

namespace pw {
namespace {

std::string differs(const char* what, int64_t planned, int64_t given) {
  return std::string("the plan was made for ") + what + " " + std::to_string(planned) + ", but got " +
         std::to_string(given);
}

int64_t byteCount(const pw_tensor& t) {
  int64_t count = pw_dtype_size(t.dtype);
  for (int32_t d = 0; d < t.rank; ++d) count *= t.shape[d];
  return count;
}

}  // namespace

std::string planMisfit(const pw_attention_args& a) {
  const pw_attention_plan& p = a.plan;
  if (p.rows > a.q.shape[0]) return differs("rows", p.rows, a.q.shape[0]);
  if (p.heads != a.q.shape[1]) return differs("heads", p.heads, a.q.shape[1]);
  if (p.headDim != a.q.shape[2]) return differs("headDim", p.headDim, a.q.shape[2]);
  if (p.pagesInPool > a.cache.k.shape[0]) return differs("pages", p.pagesInPool, a.cache.k.shape[0]);
  if (p.pageSize != a.cache.k.shape[1]) return differs("pageSize", p.pageSize, a.cache.k.shape[1]);
  if (p.kvHeads != a.cache.k.shape[2]) return differs("kvHeads", p.kvHeads, a.cache.k.shape[2]);
  const int64_t needed = pw_attention_workspace_bytes(p.partialRows, p.heads, p.headDim);
  if (a.workspace.data && byteCount(a.workspace) < needed)
    return "the plan needs " + std::to_string(needed) + " bytes of workspace, but the given one has " +
           std::to_string(byteCount(a.workspace));
  return {};
}

}  // namespace pw
