// SPDX-License-Identifier: Apache-2.0
#include "core/matrix/dequantize.h"

#include <algorithm>
#include <cstring>

#include "core/float16.h"
#include "core/matrix/block_formats.h"

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

void dequantizePacked(const pw_matrix& m, int64_t row, float* out) {
  const PackedRow packed(m, row);
  RowGroup group;
  for (int64_t column = 0; column < m.k; column += kGroup) {
    packed.read(column, &group);
    for (int i = 0; i < kGroup; ++i)
      out[m.order ? m.order[column + i] : column + i] = group.scale[i / 16] * group.level[i] + group.minimum[i / 16];
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

PackedRow::PackedRow(const pw_matrix& m, int64_t row) : matrix_(m), layout_(packedLayout(m.format)), row_(row) {
  const int64_t table = m.level_tables == 1 ? 0 : row;
  factor_ = m.format == PW_MATRIX_W4N ? m.levels[table] : 1.0f;
  for (int code = 0; code < 256; ++code) levels_[code] = static_cast<float>(code - layout_.offset);
  if (m.format == PW_MATRIX_W4T) std::copy_n(m.levels + table * kLevels, kLevels, levels_);
  if (m.format == PW_MATRIX_W4X || m.format == PW_MATRIX_W4N)
    for (int code = 0; code < kLevels; ++code) {
      const float magnitude = 0.5f * static_cast<float>(kFp4Doubled[code % 8]);
      levels_[code] = code < 8 ? magnitude : -magnitude;
    }
}

void PackedRow::read(int64_t column, RowGroup* to) const {
  const int lane = static_cast<int>(row_ % kStripRows);
  const uint8_t* block = static_cast<const uint8_t*>(matrix_.data) + blockOffset(layout_, matrix_.k, row_, column);
  const int group = static_cast<int>(column % layout_.blockColumns()) / kGroup;
  uint8_t codes[kGroup];
  readCodes(block + groupOffset(layout_, group), layout_.codeBits, lane, codes);
  for (int i = 0; i < kGroup; ++i) to->level[i] = levels_[codes[i]];
  for (int half = 0; half < 2; ++half) {
    const Affine affine = affineOf(matrix_.format, block, group, half, lane);
    to->scale[half] = factor_ * affine.scale;
    to->minimum[half] = affine.minimum;
  }
}

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
