// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/gpu/linear_packed.h"

#include <string>

#include "gpu/ops.h"
#include "plan/packed_linear.h"

namespace pw::gpu {
namespace {

/// Has each row a table of levels of its own?
bool hasRowTables(const pw_matrix& weight) { return weight.format == PW_MATRIX_W4T && weight.level_tables != 1; }

/// Kernels of a format are in a module of their own: "w4" in linear/packed_w4, with entries
/// pw_linear_w4_<type of x>_<tokens>x<strips>.
const char* familyOf(const pw_matrix& weight) {
  switch (weight.format) {
    case PW_MATRIX_W4:
      return "w4";
    case PW_MATRIX_W4M:
      return "w4m";
    case PW_MATRIX_W4Z:
      return "w4z";
    case PW_MATRIX_W4K:
      return "w4k";
    case PW_MATRIX_W4S:
      return "w4s";
    case PW_MATRIX_W4T:
      return hasRowTables(weight) ? "w4r" : "w4t";
    case PW_MATRIX_W4X:
      return "w4x";
    case PW_MATRIX_W5K:
      return "w5k";
    case PW_MATRIX_W5M:
      return "w5m";
    case PW_MATRIX_W8:
      return "w8";
    case PW_MATRIX_W6K:
      return "w6k";
    case PW_MATRIX_W4N:
      return "w4n";
    default:
      throw Error(PW_UNSUPPORTED, "a linear layer over this weight format on CUDA");
  }
}

bool isAligned(const void* p, int64_t strideBytes) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0 && strideBytes % 16 == 0;
}

/// Rows that are equally far apart.
struct Rows {
  const void* data;
  pw_dtype dtype;
  int64_t stride;
  bool aligned() const { return !data || isAligned(data, stride * pw_dtype_size(dtype)); }
};

const char* nameOf(pw_dtype activation) {
  switch (activation) {
    case PW_F32:
      return "f32";
    case PW_F16:
      return "f16";
    case PW_BF16:
      return "bf16";
    default:
      return "i8";
  }
}

/// Replaces the activations by int8 ones in scratch memory, with a scale per row.
void roundRows(Context& context, pw_dtype type, pw_gpu_linear_packed_params& to) {
  const auto m = static_cast<size_t>(to.m), k = static_cast<size_t>(to.k);
  pw_gpu_round_rows_params p{};
  p.x = to.x;
  p.order = to.order;
  p.codes = static_cast<int8_t*>(context.scratch(m * k));
  p.scales = static_cast<float*>(context.scratch(m * sizeof(float)));
  p.sums = static_cast<int32_t*>(context.scratch(m * (k / kBlockColumns) * sizeof(int32_t)));
  p.x_stride = to.x_stride;
  p.x_type = type;
  p.m = to.m;
  p.k = to.k;
  context.launch(context.kernel("linear/round_rows", "pw_round_rows"), {static_cast<unsigned>(m)}, {256}, 0, p);
  to.x = p.codes;
  to.x_scales = p.scales;
  to.x_sums = p.sums;
  to.x_stride = to.k;
}

/// The scales and sums of rows that have been rounded before.
void takeRows(const pw_linear_args& a, pw_gpu_linear_packed_params& to) {
  const int64_t row = (static_cast<const int8_t*>(to.x) - static_cast<const int8_t*>(a.x.data)) / to.k;
  to.x_scales = static_cast<const float*>(a.x_scales.data) + row;
  to.x_sums = static_cast<const int32_t*>(a.x_sums.data) + row * (to.k / kBlockColumns);
  to.x_stride = to.k;
}

void launchRows(Context& context, const pw_linear_args& a, const Rows& x, const Rows& residual, const Rows& out,
                int64_t m) {
  const pw_dtype activation = a.int8 ? PW_I8 : x.dtype;
  const plan::PackedLinearPlan plan = plan::planPackedLinear(
      m, a.weight.n, a.weight.k, packedTiles(a.weight.format, activation, hasRowTables(a.weight)),
      packedElementBytes(activation), context.properties().multiprocessors);
  pw_gpu_linear_packed_params p{};
  p.weight = a.weight.data;
  (a.weight.format == PW_MATRIX_W4N ? p.factors : p.levels) = a.weight.levels;
  p.level_tables = static_cast<int32_t>(a.weight.level_tables);
  p.order = a.weight.order;
  p.x = x.data;
  p.bias = a.bias.data;
  p.residual = residual.data;
  p.out = const_cast<void*>(out.data);
  p.x_stride = x.stride;
  p.residual_stride = residual.stride;
  p.out_stride = out.stride;
  p.bias_type = a.bias.dtype;
  p.residual_type = residual.dtype;
  p.out_type = out.dtype;
  p.m = static_cast<int32_t>(m);
  p.n = static_cast<int32_t>(a.weight.n);
  p.k = static_cast<int32_t>(a.weight.k);
  p.token_blocks = plan.tokenBlocks;
  p.stages = plan.stages;
  p.iterations = plan.iterations;
  p.iterations_per_block = plan.iterationsPerBlock;
  p.gated = a.gated;
  p.x_aligned = x.aligned() && !a.weight.order;
  p.out_aligned = out.aligned() && residual.aligned() && (!a.bias.data || isAligned(a.bias.data, 0));
  if (x.dtype == PW_I8)
    takeRows(a, p);
  else if (a.int8)
    roundRows(context, x.dtype, p);
  if (plan.shares > 0) {
    const size_t tile = static_cast<size_t>(plan.tile.rows() * plan.tile.tokens);
    const size_t arrivals = static_cast<size_t>(plan.tiles) * sizeof(uint32_t);
    p.partials = static_cast<float*>(context.scratch(2 * tile * static_cast<size_t>(plan.blocks) * sizeof(float)));
    p.arrivals = static_cast<uint32_t*>(context.scratch(arrivals));
    context.zero(p.arrivals, arrivals);
  }
  const std::string family = familyOf(a.weight), type = nameOf(activation), module = "linear/packed_" + family,
                    entry = "pw_linear_" + family + "_" + type + "_" + std::to_string(plan.tile.tokens) + "x" +
                            std::to_string(plan.tile.strips);
  context.launch(context.kernel(module.c_str(), entry.c_str()), {static_cast<unsigned>(plan.blocks)}, {kPackedThreads},
                 packedSharedBytes(a.weight.format, activation, plan.tile, hasRowTables(a.weight)), p);
}

/// The tensors' common leading dimensions, those of length 1 left out.
struct Leading {
  int dims[PW_MAX_RANK];
  int count = 0;
  explicit Leading(const pw_tensor& t) {
    for (int d = 0; d + 1 < t.rank; ++d)
      if (t.shape[d] != 1) dims[count++] = d;
  }
};

/// Are the rows over the dimensions from number `from` on equally far apart?
bool hasEqualSteps(const pw_tensor& t, const Leading& leading, int from) {
  for (int i = from; i + 1 < leading.count; ++i) {
    const int d = leading.dims[i], next = leading.dims[i + 1];
    if (t.data && t.strides[d] != t.strides[next] * t.shape[next]) return false;
  }
  return true;
}

/// Launches over the dimensions from number `from` on, one by one until the rest are rows with equal steps.
void launchFrom(Context& context, const pw_linear_args& a, const Leading& leading, int from, const char* x,
                const char* residual, const char* out) {
  if (hasEqualSteps(a.x, leading, from) && hasEqualSteps(a.out, leading, from) &&
      hasEqualSteps(a.residual, leading, from)) {
    int64_t m = 1;
    for (int i = from; i < leading.count; ++i) m *= a.x.shape[leading.dims[i]];
    const auto rows = [&](const pw_tensor& t, const char* data) {
      return Rows{data, t.dtype, from < leading.count ? t.strides[leading.dims[leading.count - 1]] : 0};
    };
    if (m > 0) launchRows(context, a, rows(a.x, x), rows(a.residual, residual), rows(a.out, out), m);
    return;
  }
  const int d = leading.dims[from];
  const auto step = [d](const pw_tensor& t, const char* p, int64_t i) {
    return p ? p + i * t.strides[d] * pw_dtype_size(t.dtype) : nullptr;
  };
  for (int64_t i = 0; i < a.x.shape[d]; ++i)
    launchFrom(context, a, leading, from + 1, step(a.x, x, i), step(a.residual, residual, i), step(a.out, out, i));
}

}  // namespace

void linearPacked(Context& context, const pw_linear_args& a) {
  launchFrom(context, a, Leading(a.x), 0, static_cast<const char*>(a.x.data), static_cast<const char*>(a.residual.data),
             static_cast<const char*>(a.out.data));
}

}  // namespace pw::gpu
