// SPDX-License-Identifier: Apache-2.0
#include "core/matrix/checkpoint.h"

#include <cstring>

#include "core/float16.h"
#include "core/matrix/block_formats.h"
#include "pagewarp/matrix_layout.h"

namespace pw {
namespace {

constexpr int kPerWord = 8;
constexpr int kAwqNibble[kPerWord] = {0, 4, 1, 5, 2, 6, 3, 7};

int nibble(const uint8_t* words, int64_t word, int64_t index) {
  return static_cast<int>(loadWord(words + 4 * word) >> (4 * index) & 15);
}

int64_t groupCount(const Int4Parts& p) { return p.k / p.groupSize; }

int codeAt(const Int4Parts& p, int64_t row, int64_t column) {
  switch (p.packing) {
    case Int4Packing::kGptq:
      return nibble(p.codes, column / kPerWord * p.n + row, column % kPerWord);
    case Int4Packing::kAwq:
      return nibble(p.codes, column * (p.n / kPerWord) + row / kPerWord, kAwqNibble[row % kPerWord]);
    default:
      return nibble(p.codes, row * (p.k / kPerWord) + column / kPerWord, column % kPerWord);
  }
}

int zeroAt(const Int4Parts& p, int64_t row, int64_t group) {
  if (!p.zeros) return 8;
  switch (p.packing) {
    case Int4Packing::kGptq:
      return p.zeroShift + nibble(p.zeros, group * (p.n / kPerWord) + row / kPerWord, row % kPerWord);
    case Int4Packing::kAwq:
      return p.zeroShift + nibble(p.zeros, group * (p.n / kPerWord) + row / kPerWord, kAwqNibble[row % kPerWord]);
    default:
      return p.zeroShift + nibble(p.zeros, row / kPerWord * groupCount(p) + group, row % kPerWord);
  }
}

template <class T>
float scaleOf(const uint8_t* scales, int64_t index) {
  T value;
  std::memcpy(&value, scales + index * static_cast<int64_t>(sizeof value), sizeof value);
  return toFloat(value);
}

float scaleAt(const Int4Parts& p, int64_t row, int64_t group) {
  const int64_t index = p.packing == Int4Packing::kCompressed ? row * groupCount(p) + group : group * p.n + row;
  switch (p.scaleType) {
    case ScaleType::kF16:
      return scaleOf<Half>(p.scales, index);
    case ScaleType::kBF16:
      return scaleOf<BFloat>(p.scales, index);
    default:
      return scaleOf<float>(p.scales, index);
  }
}

}  // namespace

Int4Sizes int4Sizes(const Int4Parts& p) {
  const bool rows = p.packing == Int4Packing::kCompressed;
  const int64_t zeroRows = rows ? (p.n + kPerWord - 1) / kPerWord : p.n / kPerWord;
  return {p.n * p.k / 2, p.n * groupCount(p) * (p.scaleType == ScaleType::kF32 ? 4 : 2),
          p.zeros ? 4 * zeroRows * groupCount(p) : 0};
}

bool allZerosAreEight(const Int4Parts& p) {
  for (int64_t row = 0; row < p.n; ++row)
    for (int64_t group = 0; group < groupCount(p); ++group)
      if (zeroAt(p, row, group) != 8) return false;
  return true;
}

void Int4Rows::read(int64_t row, uint8_t* blocks) const {
  for (int64_t first = 0; first < parts_.k; first += kGroup) {
    const int64_t step = type_ == kBlockInt4G16 ? kGroup / 2 : kGroup;
    for (int64_t i = first; i < first + kGroup; i += step) {
      Half scale;
      fromFloat(scaleAt(parts_, row, i / parts_.groupSize), &scale);
      std::memcpy(blocks, &scale, sizeof scale);
      blocks += sizeof scale;
    }
    if (type_ == kBlockInt4Zp) *blocks++ = static_cast<uint8_t>(zeroAt(parts_, row, first / parts_.groupSize));
    const auto code = [&](int64_t i) {
      return codeAt(parts_, row, parts_.order.empty() ? i : parts_.order[static_cast<size_t>(i)]);
    };
    for (int64_t i = first; i < first + kGroup / 2; ++i)
      *blocks++ = static_cast<uint8_t>(code(i) | code(i + kGroup / 2) << 4);
  }
}

}  // namespace pw
