// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "core/error.h"
#include "core/float16.h"
#include "gpu/ops.h"

namespace pw::gpu {
namespace {

template <class T>
uint64_t bitsOf(T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <class T>
T as(double value) {
  T result;
  fromFloat(static_cast<float>(value), &result);
  return result;
}

uint64_t pattern(pw_dtype dtype, double value) {
  switch (dtype) {
    case PW_F32:
      return bitsOf(as<float>(value));
    case PW_F16:
      return bitsOf(as<Half>(value));
    case PW_BF16:
      return bitsOf(as<BFloat>(value));
    case PW_I8:
      return bitsOf(static_cast<int8_t>(value));
    case PW_U8:
      return bitsOf(static_cast<uint8_t>(value));
    case PW_I32:
      return bitsOf(static_cast<int32_t>(value));
    case PW_I64:
      return bitsOf(static_cast<int64_t>(value));
  }
  return 0;
}

}  // namespace

void fillContiguous(Context& context, const pw_tensor& to, double value) {
  size_t count = 1;
  for (int d = 0; d < to.rank; ++d) count *= static_cast<size_t>(to.shape[d]);
  const uint64_t bits = pattern(to.dtype, value);
  if (pw_dtype_size(to.dtype) < 8) {
    context.fill(to.data, static_cast<size_t>(pw_dtype_size(to.dtype)), static_cast<uint32_t>(bits), count);
  } else if (static_cast<uint32_t>(bits) == bits >> 32) {
    context.fill(to.data, 4, static_cast<uint32_t>(bits), 2 * count);
  } else {
    throw Error(PW_UNSUPPORTED, "filling i64 with a number other than 0 and -1 is not available on CUDA yet");
  }
}

}  // namespace pw::gpu
