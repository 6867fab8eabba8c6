// SPDX-License-Identifier: Apache-2.0
#include "cpu/attention/few_rows.inl"
#include "cpu/attention/many_rows.inl"
#include "cpu/attention/merge.inl"

namespace pw::cpu::PW_ISA {
namespace {

/// Where elements are cheap to read they are read where they are used; others become f32 once.
template <class Cache>
constexpr bool kReadInPlace = Vec::kWidens;
template <>
constexpr bool kReadInPlace<CacheOf<float>> = true;
template <>
constexpr bool kReadInPlace<CacheOf<E4M3>> = false;
template <>
constexpr bool kReadInPlace<Int4Cache> = false;

void runItem(const pw_attention_args& a, int64_t item, int32_t kvHead, Context& context, int worker) {
  const Task t(a, a.plan.items[item], kvHead);
  dispatchCache(a.cache.type, [&](auto cache) {
    using Cache = decltype(cache);
    if (t.packed > kFewRows)
      manyRows(t, widenRow<Cache>, context, worker);
    else if constexpr (kReadInPlace<Cache>)
      fewRows<Cache>(t, nullptr, context, worker);
    else
      fewRows<CacheOf<float>>(t, widenRow<Cache>, context, worker);
  });
}

/// Below this many multiply-adds, waking a thread costs more than it saves.
constexpr int64_t kWorthSharing = 1 << 16;

}  // namespace

void attention(const pw_attention_args& a, Context& context) {
  // Head after head: the items of one follow each other, longest first, and share its keys in the cache.
  const int64_t items = a.plan.itemCount, tasks = items * a.plan.kvHeads;
  const auto run = [&](int64_t task, int worker) {
    runItem(a, task % items, static_cast<int32_t>(task / items), context, worker);
  };
  if (a.plan.multiplyAdds < kWorthSharing) {
    for (int64_t task = 0; task < tasks; ++task) run(task, 0);
  } else {
    context.pool().run(tasks, run);
  }
  if (a.plan.mergeCount > 0) mergePartials(a, context);
}

}  // namespace pw::cpu::PW_ISA
