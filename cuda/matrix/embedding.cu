// SPDX-License-Identifier: Apache-2.0
#include "matrix/value.cuh"
#include "pagewarp/gpu/matrix.h"
#include "pagewarp/status.h"

/// A block per row.
extern "C" __global__ void __launch_bounds__(256)
    pw_embedding_packed(const __grid_constant__ pw_gpu_embedding_packed_params p) {
  const int64_t row = blockIdx.x;
  const int id = p.ids[row * p.id_stride];
  const bool valid = id >= 0 && id < p.n;
  if (!valid && threadIdx.x == 0) pw_gpu_report(p.error, PW_INVALID_TOKEN, static_cast<int32_t>(row), id);
  const auto format = static_cast<pw_matrix_format>(p.format);
  const auto* weight = static_cast<const uint8_t*>(p.weight);
  const int64_t table = p.level_tables == 1 || !valid ? 0 : id;
  const float* levels = p.levels + table * (format == PW_MATRIX_W4T ? 16 : 1);
  for (int i = static_cast<int>(threadIdx.x); i < p.k; i += static_cast<int>(blockDim.x))
    pw::storeFloat(p.out, p.out_type, row * p.out_stride + (p.order ? p.order[i] : i),
                   valid ? pw::gpu::packedValue(format, weight, levels, p.k, id, i) : 0.0f);
}
