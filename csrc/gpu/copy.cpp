// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/gpu/copy.h"

#include <algorithm>
#include <vector>

#include "gpu/ops.h"
#include "gpu/rows.h"

namespace pw::gpu {
namespace {

struct Dimension {
  int64_t count, from, to;  ///< strides in bytes
};

/// The dimensions that matter, outermost first, merged where both tensors allow it; at least one.
std::vector<Dimension> dimensionsOf(const pw_tensor& from, const pw_tensor& to) {
  const int64_t fromSize = pw_dtype_size(from.dtype), toSize = pw_dtype_size(to.dtype);
  std::vector<Dimension> dimensions;
  for (int d = 0; d < to.rank; ++d) {
    const Dimension next{to.shape[d], from.strides[d] * fromSize, to.strides[d] * toSize};
    if (next.count == 1) continue;
    const bool merges = !dimensions.empty() && dimensions.back().from == next.from * next.count &&
                        dimensions.back().to == next.to * next.count;
    if (merges)
      dimensions.back() = {dimensions.back().count * next.count, next.from, next.to};
    else
      dimensions.push_back(next);
  }
  if (dimensions.empty()) dimensions.push_back({1, fromSize, toSize});
  return dimensions;
}

/// Whether `group` elements, neighbours in both tensors, always begin at multiples of the group's bytes.
bool formGroups(const std::vector<Dimension>& dimensions, const pw_tensor& from, const pw_tensor& to, int64_t group) {
  const int64_t fromSize = pw_dtype_size(from.dtype), toSize = pw_dtype_size(to.dtype);
  const Dimension& inner = dimensions.back();
  if (inner.from != fromSize || inner.to != toSize || inner.count % group != 0) return false;
  const auto multiple = [&](auto value, int64_t size) { return static_cast<int64_t>(value) % (group * size) == 0; };
  if (!multiple(reinterpret_cast<uintptr_t>(from.data), fromSize) ||
      !multiple(reinterpret_cast<uintptr_t>(to.data), toSize))
    return false;
  return std::all_of(dimensions.begin(), dimensions.end() - 1,
                     [&](const Dimension& d) { return multiple(d.from, fromSize) && multiple(d.to, toSize); });
}

void groupInner(std::vector<Dimension>& dimensions, int64_t group) {
  Dimension& inner = dimensions.back();
  inner = {inner.count / group, inner.from * group, inner.to * group};
}

bool isFloat(pw_dtype dtype) { return dtype == PW_F32 || dtype == PW_F16 || dtype == PW_BF16; }

/// Launches over `dimensions`, in parts whose units can be counted in 31 bits.
void launchCopy(Context& context, const char* entry, pw_gpu_copy_params p, const std::vector<Dimension>& dimensions) {
  constexpr int64_t kMost = int64_t{1} << 31, kThreads = 256;
  int64_t inner = 1;  // units of one step of the outermost dimension
  for (size_t d = 1; d < dimensions.size(); ++d) inner *= dimensions[d].count;
  if (inner > kMost) {  // the outermost dimension is taken step by step
    for (int64_t i = 0; i < dimensions[0].count; ++i) {
      pw_gpu_copy_params part = p;
      part.from = static_cast<const char*>(p.from) + i * dimensions[0].from;
      part.to = static_cast<char*>(p.to) + i * dimensions[0].to;
      launchCopy(context, entry, part, {dimensions.begin() + 1, dimensions.end()});
    }
    return;
  }
  p.rank = static_cast<int32_t>(dimensions.size());
  for (size_t d = 0; d < dimensions.size(); ++d) {
    p.shape[d] = static_cast<uint32_t>(dimensions[d].count);
    p.fromStrides[d] = dimensions[d].from;
    p.toStrides[d] = dimensions[d].to;
  }
  const int64_t steps = inner == 0 ? 0 : kMost / inner;
  for (int64_t begin = 0; steps > 0 && begin < dimensions[0].count; begin += steps) {
    pw_gpu_copy_params part = p;
    part.from = static_cast<const char*>(p.from) + begin * dimensions[0].from;
    part.to = static_cast<char*>(p.to) + begin * dimensions[0].to;
    part.shape[0] = static_cast<uint32_t>(std::min(steps, dimensions[0].count - begin));
    part.count = static_cast<uint32_t>(part.shape[0] * inner);
    context.launch(context.kernel("copy/copy", entry), {static_cast<unsigned>(divideUp(part.count, kThreads))},
                   {static_cast<unsigned>(kThreads)}, 0, part);
  }
}

}  // namespace

void copy(Context& context, const pw_tensor& from, const pw_tensor& to) {
  std::vector<Dimension> dimensions = dimensionsOf(from, to);
  const int64_t size = pw_dtype_size(to.dtype);
  pw_gpu_copy_params p{};
  p.from = from.data;
  p.to = to.data;
  if (from.dtype != to.dtype) {
    p.fromType = from.dtype;
    p.toType = to.dtype;
    p.unit = isFloat(from.dtype) && isFloat(to.dtype) && formGroups(dimensions, from, to, 4) ? 4 : 1;
    groupInner(dimensions, p.unit);
    return launchCopy(context, "pw_copy_convert", p, dimensions);
  }
  if (dimensions.size() == 1 && dimensions[0].from == size && dimensions[0].to == size)
    return context.copy(to.data, from.data, static_cast<size_t>(dimensions[0].count * size));
  int64_t group = 16 / size;
  while (group > 1 && !formGroups(dimensions, from, to, group)) group /= 2;
  groupInner(dimensions, group);
  p.unit = static_cast<int32_t>(group * size);
  launchCopy(context, "pw_copy", p, dimensions);
}

}  // namespace pw::gpu
