// SPDX-License-Identifier: Apache-2.0
/// @file Gathers: rows of a dense matrix by token id, converted, and rows of a tensor as they are.
#include "common/dtype.cuh"
#include "common/unit.cuh"
#include "pagewarp/gpu/embedding.h"
#include "pagewarp/status.h"

namespace pw {
namespace {

/// Whether the index of this block's row is in [0, limit); reports it when it is not.
__device__ bool checkIndex(int index, int limit, pw_status status, pw_gpu_error* error) {
  if (index >= 0 && index < limit) return true;
  if (threadIdx.x == 0) pw_gpu_report(error, status, static_cast<int32_t>(blockIdx.x), index);
  return false;
}

template <int N>
__device__ void embedding(const pw_gpu_embedding_params& p) {
  const int64_t row = blockIdx.x;
  const int id = p.ids[row * p.idStride];
  const bool valid = checkIndex(id, p.n, PW_INVALID_TOKEN, p.error);
  const void* from = floatAt(p.weight, p.weightType, valid ? static_cast<int64_t>(id) * p.k : 0);
  void* to = floatAt(p.out, p.outType, row * p.outStride);
  for (int i = static_cast<int>(threadIdx.x) * N; i < p.k; i += static_cast<int>(blockDim.x) * N) {
    float x[N] = {};
    if (valid) loadChunk(from, p.weightType, i, x);
    storeChunk(to, p.outType, i, x);
  }
}

}  // namespace
}  // namespace pw

/// Rows of any types, length and alignment.
extern "C" __global__ void __launch_bounds__(256) pw_embedding_1(const __grid_constant__ pw_gpu_embedding_params p) {
  pw::embedding<1>(p);
}

/// Rows of any types that are made of aligned chunks of 4.
extern "C" __global__ void __launch_bounds__(256) pw_embedding_4(const __grid_constant__ pw_gpu_embedding_params p) {
  pw::embedding<4>(p);
}

/// Rows of 16-bit types that are made of aligned chunks of 8.
extern "C" __global__ void __launch_bounds__(256) pw_embedding_8(const __grid_constant__ pw_gpu_embedding_params p) {
  pw::embedding<8>(p);
}

extern "C" __global__ void __launch_bounds__(256) pw_gather_rows(const __grid_constant__ pw_gpu_gather_rows_params p) {
  const int64_t row = blockIdx.x;
  const int index = p.indices[row * p.indexStride];
  const bool valid = pw::checkIndex(index, p.n, PW_INVALID_ARGUMENT, p.error);
  const char* from = static_cast<const char*>(p.x) + (valid ? index * p.xStride : 0);
  char* to = static_cast<char*>(p.out) + row * p.outStride;
  for (int64_t i = threadIdx.x; i < p.units; i += blockDim.x)
    pw::copyUnit(to + i * p.unit, valid ? from + i * p.unit : nullptr, p.unit);
}
