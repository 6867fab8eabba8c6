// SPDX-License-Identifier: Apache-2.0
/// @file Copies between strided tensors, with and without conversion. Dense copies never get here.
#include "common/dtype.cuh"
#include "common/unit.cuh"
#include "pagewarp/gpu/copy.h"

namespace pw {
namespace {

struct Place {
  const char* from;
  char* to;
};

/// Where unit `index`, counted in row-major order, lies.
__device__ Place placeOf(const pw_gpu_copy_params& p, uint32_t index) {
  int64_t from = 0, to = 0;
  for (int d = p.rank - 1; d > 0; --d) {
    const uint32_t outer = index / p.shape[d], i = index - outer * p.shape[d];
    from += i * p.fromStrides[d];
    to += i * p.toStrides[d];
    index = outer;
  }
  return {static_cast<const char*>(p.from) + from + index * p.fromStrides[0],
          static_cast<char*>(p.to) + to + index * p.toStrides[0]};
}

__device__ bool isFloat(int dtype) { return dtype == PW_F32 || dtype == PW_F16 || dtype == PW_BF16; }

__device__ double readAny(const void* p, int dtype) {
  switch (dtype) {
    case PW_I8:
      return *static_cast<const int8_t*>(p);
    case PW_U8:
      return *static_cast<const uint8_t*>(p);
    case PW_I32:
      return *static_cast<const int32_t*>(p);
    case PW_I64:
      return static_cast<double>(*static_cast<const int64_t*>(p));
    default:
      return loadFloat(p, dtype, 0);
  }
}

__device__ void writeAny(void* p, int dtype, double value) {
  switch (dtype) {
    case PW_I8:
      *static_cast<int8_t*>(p) = static_cast<int8_t>(static_cast<int32_t>(value));
      return;
    case PW_U8:
      *static_cast<uint8_t*>(p) = static_cast<uint8_t>(static_cast<int32_t>(value));
      return;
    case PW_I32:
      *static_cast<int32_t*>(p) = static_cast<int32_t>(value);
      return;
    case PW_I64:
      *static_cast<int64_t*>(p) = static_cast<int64_t>(value);
      return;
    default:
      storeFloat(p, dtype, 0, static_cast<float>(value));
  }
}

}  // namespace
}  // namespace pw

extern "C" __global__ void __launch_bounds__(256) pw_copy(const __grid_constant__ pw_gpu_copy_params p) {
  const uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
  if (index >= p.count) return;
  const pw::Place place = pw::placeOf(p, index);
  pw::copyUnit(place.to, place.from, p.unit);
}

extern "C" __global__ void __launch_bounds__(256) pw_copy_convert(const __grid_constant__ pw_gpu_copy_params p) {
  const uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
  if (index >= p.count) return;
  const pw::Place place = pw::placeOf(p, index);
  if (p.unit == 4) {
    float x[4];
    pw::loadChunk(place.from, p.fromType, 0, x);
    pw::storeChunk(place.to, p.toType, 0, x);
  } else if (pw::isFloat(p.fromType) && pw::isFloat(p.toType)) {
    pw::storeFloat(place.to, p.toType, 0, pw::loadFloat(place.from, p.fromType, 0));
  } else {
    pw::writeAny(place.to, p.toType, pw::readAny(place.from, p.fromType));
  }
}
