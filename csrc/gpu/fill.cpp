// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "core/error.h"
#include "core/float16.h"
#include "gpu/ops.h"
#include "gpu/rows.h"

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

void fill(Context& context, const pw_tensor& to, double value) {
  const uint64_t bits = pattern(to.dtype, value);
  const bool inWords = pw_dtype_size(to.dtype) < 8 || static_cast<uint32_t>(bits) == bits >> 32;
  if (inWords && isContiguous(to)) {
    const size_t size = pw_dtype_size(to.dtype) < 8 ? static_cast<size_t>(pw_dtype_size(to.dtype)) : 4;
    return context.fill(to.data, size, static_cast<uint32_t>(bits), byteCount(to) / size);
  }
  pw_tensor from = to;  // one element, seen everywhere
  from.data = const_cast<void*>(context.upload(&bits, sizeof bits));
  for (int64_t& stride : from.strides) stride = 0;
  copy(context, from, to);
}

}  // namespace pw::gpu
