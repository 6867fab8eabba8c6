// SPDX-License-Identifier: Apache-2.0
#include "core/matrix/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/matrix/block_formats.h"
#include "pagewarp/matrix_layout.h"

namespace pw {
namespace {

void storeHalf(float value, uint8_t* out) {
  Half half;
  fromFloat(value, &half);
  std::memcpy(out, &half, sizeof half);
}

float reciprocal(float scale) { return scale != 0.0f ? 1.0f / scale : 0.0f; }

uint8_t nearestCode(float x, int largest) {
  return static_cast<uint8_t>(std::clamp(static_cast<int>(x + 0.5f), 0, largest));
}

void storeNibbles(const uint8_t* codes, uint8_t* out) {
  for (int i = 0; i < 16; ++i) out[i] = static_cast<uint8_t>(codes[i] | codes[16 + i] << 4);
}

void quantizeQ4_0(const float* x, uint8_t* out) {
  float extreme = 0;
  for (int i = 0; i < kGroup; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  const float scale = extreme / -8.0f, inverse = reciprocal(scale);
  uint8_t codes[kGroup];
  for (int i = 0; i < kGroup; ++i) codes[i] = nearestCode(x[i] * inverse + 8.0f, 15);
  storeHalf(scale, out);
  storeNibbles(codes, out + 2);
}

void quantizeQ4_1(const float* x, uint8_t* out) {
  const float low = *std::min_element(x, x + kGroup), high = *std::max_element(x, x + kGroup);
  const float scale = (high - low) / 15.0f, inverse = reciprocal(scale);
  uint8_t codes[kGroup];
  for (int i = 0; i < kGroup; ++i) codes[i] = nearestCode((x[i] - low) * inverse, 15);
  storeHalf(scale, out);
  storeHalf(low, out + 2);
  storeNibbles(codes, out + 4);
}

void quantizeQ8_0(const float* x, uint8_t* out) {
  float largest = 0;
  for (int i = 0; i < kGroup; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float scale = largest / 127.0f, inverse = reciprocal(scale);
  storeHalf(scale, out);
  for (int i = 0; i < kGroup; ++i) out[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::lround(x[i] * inverse)));
}

template <class T>
void convert(const float* x, int64_t k, uint8_t* out) {
  for (int64_t i = 0; i < k; ++i) {
    T value;
    fromFloat(x[i], &value);
    std::memcpy(out + i * static_cast<int64_t>(sizeof value), &value, sizeof value);
  }
}

void quantizeGroups(void (*group)(const float*, uint8_t*), int64_t bytes, const float* x, int64_t k, uint8_t* out) {
  for (int64_t i = 0; i < k; i += kGroup, out += bytes) group(x + i, out);
}

}  // namespace

bool canQuantize(uint32_t ggmlId) {
  return ggmlId == kGgmlF32 || ggmlId == kGgmlF16 || ggmlId == kGgmlBF16 || ggmlId == kGgmlQ4_0 ||
         ggmlId == kGgmlQ4_1 || ggmlId == kGgmlQ8_0;
}

void quantizeRow(uint32_t ggmlId, const float* x, int64_t k, uint8_t* out) {
  switch (ggmlId) {
    case kGgmlF32:
      return convert<float>(x, k, out);
    case kGgmlF16:
      return convert<Half>(x, k, out);
    case kGgmlBF16:
      return convert<BFloat>(x, k, out);
    case kGgmlQ4_0:
      return quantizeGroups(quantizeQ4_0, 18, x, k, out);
    case kGgmlQ4_1:
      return quantizeGroups(quantizeQ4_1, 20, x, k, out);
    default:
      return quantizeGroups(quantizeQ8_0, 34, x, k, out);
  }
}

}  // namespace pw
