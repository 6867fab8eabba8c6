// SPDX-License-Identifier: Apache-2.0
/// @file Sums of outer products, in tiles of 4 x 32 elements that stay in registers while the rows go by. Each element
/// is summed over the rows in ascending order, whatever the threads are.
#include "cpu/quantizer/gram.h"
#include "cpu/simd/unroll.h"
#include "cpu/simd/vec.h"

namespace pw::cpu::PW_ISA {
namespace {

constexpr int kTileRows = 4, kTileColumns = 32, kTileVecs = kTileColumns / Vec::kLanes;

void addTile(const float* left, const float* right, int64_t rows, int64_t stride, float* sums, int64_t k) {
  Vec sum[kTileRows][kTileVecs];
  PW_UNROLL for (int i = 0; i < kTileRows; ++i) {
    PW_UNROLL for (int j = 0; j < kTileVecs; ++j) sum[i][j] = loadF32(sums + i * k + j * Vec::kLanes);
  }
  for (int64_t r = 0; r < rows; ++r, left += stride, right += stride) {
    Vec v[kTileVecs];
    PW_UNROLL for (int j = 0; j < kTileVecs; ++j) v[j] = loadF32(right + j * Vec::kLanes);
    PW_UNROLL for (int i = 0; i < kTileRows; ++i) {
      const Vec factor(left[i]);
      PW_UNROLL for (int j = 0; j < kTileVecs; ++j) sum[i][j] = fma(factor, v[j], sum[i][j]);
    }
  }
  PW_UNROLL for (int i = 0; i < kTileRows; ++i) {
    PW_UNROLL for (int j = 0; j < kTileVecs; ++j) storeF32(sums + i * k + j * Vec::kLanes, sum[i][j]);
  }
}

}  // namespace

/// k is a multiple of 32, so that tiles are whole; those that cross the diagonal write some elements above it.
void gram(const pw_gram_args& a, Context& context) {
  const int64_t rows = a.x.shape[0], k = a.x.shape[1], stride = a.x.strides[0];
  const auto* x = static_cast<const float*>(a.x.data);
  auto* sums = static_cast<float*>(a.gram.data);
  context.pool().run(k / kTileRows, [&](int64_t task, int) {
    const int64_t i = task * kTileRows;
    for (int64_t j = 0; j < i + kTileRows; j += kTileColumns) addTile(x + i, x + j, rows, stride, sums + i * k + j, k);
  });
}

}  // namespace pw::cpu::PW_ISA
