// SPDX-License-Identifier: Apache-2.0
#include "core/matrix/dequantize.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/float16.h"
#include "core/matrix/block_formats.h"
#include "pagewarp/matrix_layout.h"

namespace pw {
namespace {

/// The 32 unsigned codes of one row of a group.
void readCodes(const uint8_t* group, int codeBits, int row, uint8_t* codes) {
  const uint8_t* lane = group + 4 * row;
  if (codeBits == 8) {
    for (int i = 0; i < 8; ++i) std::memcpy(codes + 4 * i, lane + i * kVectorBytes, 4);
    return;
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) {
      const uint8_t byte = lane[i * kVectorBytes + j];
      codes[4 * i + j] = byte & 15;
      codes[16 + 4 * i + j] = byte >> 4;
    }
  if (codeBits == 5)
    for (int i = 0; i < 8; ++i)
      for (int j = 0; j < 4; ++j) {
        const int high = lane[4 * kVectorBytes + j] >> i & 1;
        codes[4 * i + j] = static_cast<uint8_t>(codes[4 * i + j] | high << 4);
      }
  if (codeBits == 6)
    for (int i = 0; i < 8; ++i)
      for (int j = 0; j < 4; ++j) {
        const int high = lane[(4 + i / 4) * kVectorBytes + j] >> (i % 4 * 2) & 3;
        codes[4 * i + j] = static_cast<uint8_t>(codes[4 * i + j] | high << 4);
      }
}

float halfAt(const uint8_t* header, int row) { return toFloat(loadHalf(header + 2 * row)); }

struct Affine {
  float scale, minimum;
};

/// Formats without a minimum add this one, which changes no value, not even a negative zero.
constexpr float kNoMinimum = -0.0f;

/// value = scale * (code - offset) + minimum for 16 columns of a row.
Affine affineOf(pw_matrix_format format, const uint8_t* block, int group, int half, int row) {
  switch (format) {
    case PW_MATRIX_W4M:
    case PW_MATRIX_W5M:
      return {halfAt(block + headerScale(group), row), halfAt(block + headerMin(group), row)};
    case PW_MATRIX_W4K:
    case PW_MATRIX_W5K:
      return {halfAt(block + kHeaderD, row) * static_cast<float>(block[headerScaleK(group) + row]),
              -(halfAt(block + kHeaderDMin, row) * static_cast<float>(block[headerMinK(group) + row]))};
    case PW_MATRIX_W6K:
      return {halfAt(block + kHeaderD, row) *
                  static_cast<float>(static_cast<int8_t>(block[headerScale6(2 * group + half) + row])),
              kNoMinimum};
    case PW_MATRIX_W4Z: {
      const float scale = halfAt(block + headerScale(group), row);
      return {scale, -(scale * static_cast<float>(block[headerZero(group) + row]))};
    }
    case PW_MATRIX_W4X:
      return {exponentScale(block[headerExponent(group) + row]), kNoMinimum};
    case PW_MATRIX_W4N:
      return {fromE4m3(block[headerScaleN(2 * group + half) + row]), kNoMinimum};
    case PW_MATRIX_W4S:
      return {halfAt(block + headerScaleS(2 * group + half), row), kNoMinimum};
    default:
      return {halfAt(block + headerScale(group), row), kNoMinimum};
  }
}

/// What each code stands for before scale and minimum.
std::array<float, 256> codeValues(const pw_matrix& m, const PackedLayout& layout, int64_t row) {
  std::array<float, 256> values;
  for (int code = 0; code < 256; ++code) values[static_cast<size_t>(code)] = static_cast<float>(code - layout.offset);
  if (m.format == PW_MATRIX_W4T)
    std::copy_n(m.levels + (m.level_tables == 1 ? 0 : row * kLevels), kLevels, values.begin());
  if (m.format == PW_MATRIX_W4X || m.format == PW_MATRIX_W4N)
    for (int code = 0; code < kLevels; ++code) {
      const float magnitude = 0.5f * static_cast<float>(kFp4Doubled[code % 8]);
      values[static_cast<size_t>(code)] = code < 8 ? magnitude : -magnitude;
    }
  return values;
}

void dequantizePacked(const pw_matrix& m, int64_t row, float* out) {
  const PackedLayout layout = packedLayout(m.format);
  const std::array<float, 256> values = codeValues(m, layout, row);
  const float factor = m.format == PW_MATRIX_W4N ? m.levels[m.level_tables == 1 ? 0 : row] : 1.0f;
  const int lane = static_cast<int>(row % kStripRows);
  for (int64_t column = 0; column < m.k; column += kGroup) {
    const uint8_t* block = static_cast<const uint8_t*>(m.data) + blockOffset(layout, m.k, row, column);
    const int group = static_cast<int>(column % layout.blockColumns()) / kGroup;
    uint8_t codes[kGroup];
    readCodes(block + groupOffset(layout, group), layout.codeBits, lane, codes);
    for (int half = 0; half < 2; ++half) {
      const Affine a = affineOf(m.format, block, group, half, lane);
      for (int i = 16 * half; i < 16 * half + 16; ++i)
        out[m.order ? m.order[column + i] : column + i] = factor * a.scale * values[codes[i]] + a.minimum;
    }
  }
}

template <class T>
void widenRow(const pw_matrix& m, int64_t row, float* out) {
  const char* from = static_cast<const char*>(m.data) + row * m.k * static_cast<int64_t>(sizeof(T));
  for (int64_t i = 0; i < m.k; ++i) {
    T value;
    std::memcpy(&value, from + i * static_cast<int64_t>(sizeof(T)), sizeof value);
    out[i] = toFloat(value);
  }
}

}  // namespace

void dequantizeRow(const pw_matrix& m, int64_t row, float* out) {
  switch (m.format) {
    case PW_MATRIX_F32:
      return widenRow<float>(m, row, out);
    case PW_MATRIX_F16:
      return widenRow<Half>(m, row, out);
    case PW_MATRIX_BF16:
      return widenRow<BFloat>(m, row, out);
    default:
      return dequantizePacked(m, row, out);
  }
}

}  // namespace pw
