// SPDX-License-Identifier: Apache-2.0
#include "core/quantizer/quantizer.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "core/float16.h"
#include "core/matrix/block_formats.h"
#include "core/matrix/pack.h"
#include "core/quantizer/gptq.h"
#include "core/quantizer/grid.h"

namespace pw {
namespace {

uint32_t blockType(pw_grid grid) {
  switch (grid) {
    case PW_GRID_Q8_0:
      return kGgmlQ8_0;
    case PW_GRID_Q4_0:
      return kGgmlQ4_0;
    case PW_GRID_Q4_1:
      return kGgmlQ4_1;
    default:
      return kBlockLut4;
  }
}

uint8_t* writeHalf(float value, uint8_t* out) {
  Half half;
  fromFloat(value, &half);
  std::memcpy(out, &half, sizeof half);
  return out + sizeof half;
}

/// One block: scale, perhaps minimum, codes.
uint8_t* writeBlock(pw_grid kind, const GroupGrid& grid, const int* codes, uint8_t* out) {
  out = writeHalf(grid.scale, out);
  if (kind == PW_GRID_Q4_1) out = writeHalf(grid.minimum, out);
  if (kind == PW_GRID_Q8_0) {
    for (int i = 0; i < kQuantizerGroup; ++i) *out++ = static_cast<uint8_t>(codes[i] - grid.offset);
    return out;
  }
  for (int i = 0; i < kQuantizerGroup / 2; ++i)
    *out++ = static_cast<uint8_t>(codes[i] | codes[i + kQuantizerGroup / 2] << 4);
  return out;
}

/// Rows of one matrix. `row` is the row as it is left to do: with compensation it changes as columns are rounded.
class RowQuantizer {
 public:
  RowQuantizer(const pw_quantizer_args& args, const std::vector<float>& importance, const CompensationFactors* factors)
      : args_(args), importance_(importance), factors_(factors), k_(args.weight.shape[1]) {}

  void run(int64_t r, std::vector<float>& row) const {
    const float* weights = static_cast<const float*>(args_.weight.data) + r * k_;
    std::copy_n(weights, k_, row.begin());
    const float* levels = levelsOf(r, weights);
    uint8_t* out = static_cast<uint8_t*>(args_.blocks.data) + r * gridRowBytes(args_.grid, k_);
    double error = 0, norm = 0;
    for (int64_t g = 0; g < k_; g += kQuantizerGroup) {
      const GroupGrid grid = searchGrid(args_.grid, row.data() + g, importance_.data() + g, levels);
      int codes[kQuantizerGroup];
      for (int64_t c = g; c < g + kQuantizerGroup; ++c) {
        codes[c - g] = grid.nearest(row[static_cast<size_t>(c)]);
        const float value = grid.value(codes[c - g]);
        const auto weight = static_cast<double>(importance_[static_cast<size_t>(c)]);
        const double lost = static_cast<double>(weights[c]) - static_cast<double>(value);
        error += weight * lost * lost;
        norm += weight * static_cast<double>(weights[c]) * static_cast<double>(weights[c]);
        if (factors_) compensate(c, row[static_cast<size_t>(c)] - value, row);
      }
      out = writeBlock(args_.grid, grid, codes, out);
    }
    auto* errors = static_cast<float*>(args_.error.data) + 2 * r;
    errors[0] = static_cast<float>(error);
    errors[1] = static_cast<float>(norm);
  }

 private:
  const float* levelsOf(int64_t r, const float* weights) const {
    if (args_.grid == PW_GRID_NF4) return kNf4Levels;
    if (args_.grid != PW_GRID_ANY4) return nullptr;
    float* levels = static_cast<float*>(args_.levels.data) + kQuantizerLevels * r;
    learnLevels(weights, importance_.data(), k_, levels);
    return levels;
  }

  void compensate(int64_t column, float lost, std::vector<float>& row) const {
    const float* u = factors_->row(column);
    const float error = lost / u[0];
    float* rest = row.data() + column;
    for (int64_t i = 1; i < k_ - column; ++i) rest[i] -= error * u[i];
  }

  const pw_quantizer_args& args_;
  const std::vector<float>& importance_;
  const CompensationFactors* factors_;
  const int64_t k_;
};

/// The diagonal of the Hessian, kept above a small share of its mean: inputs that calibration did not see still count.
std::vector<float> importanceOf(const pw_quantizer_args& a, int64_t k) {
  std::vector<float> importance(static_cast<size_t>(k), 1.0f);
  if (!a.gram.data) return importance;
  const auto* gram = static_cast<const float*>(a.gram.data);
  double mean = 0;
  for (int64_t i = 0; i < k; ++i) mean += static_cast<double>(gram[i * k + i]) / static_cast<double>(k);
  if (!(mean > 0)) return importance;
  for (int64_t i = 0; i < k; ++i)
    importance[static_cast<size_t>(i)] =
        static_cast<float>(std::max(static_cast<double>(gram[i * k + i]) / mean, 1e-4));
  return importance;
}

}  // namespace

int64_t gridRowBytes(pw_grid grid, int64_t k) { return sourceRowBytes(blockType(grid), k); }

void quantizeWeights(const pw_quantizer_args& a, ThreadPool& pool) {
  const int64_t n = a.weight.shape[0], k = a.weight.shape[1];
  const std::vector<float> importance = importanceOf(a, k);
  std::optional<CompensationFactors> factors;
  if (a.compensate && a.gram.data) factors.emplace(static_cast<const float*>(a.gram.data), k, a.damping);
  if (a.grid == PW_GRID_NF4) std::copy_n(kNf4Levels, kQuantizerLevels, static_cast<float*>(a.levels.data));
  const RowQuantizer quantizer(a, importance, factors ? &*factors : nullptr);
  pool.forRange(n, 1, [&](int64_t begin, int64_t end, int) {
    std::vector<float> row(static_cast<size_t>(k));
    for (int64_t r = begin; r < end; ++r) quantizer.run(r, row);
  });
}

}  // namespace pw
