// SPDX-License-Identifier: Apache-2.0
#include "core/matrix/pack.h"

#include <algorithm>
#include <cstring>

#include "core/ggml_type.h"
#include "core/matrix/block_formats.h"
#include "pagewarp/matrix_layout.h"

namespace pw {
namespace {

constexpr uint32_t kLowNibbles = 0x0f0f0f0fu, kHighNibbles = 0xf0f0f0f0u, kLowPairs = 0x03030303u;

void storeWord(uint8_t* vectors, int vector, int row, uint32_t word) {
  std::memcpy(vectors + vector * kVectorBytes + 4 * row, &word, sizeof word);
}

void storeHalf(uint8_t* header, int row, Half value) { std::memcpy(header + 2 * row, &value, sizeof value); }

/// Each packs row `row` of a strip: all the blocks of one source row. `strip` starts out zeroed.
void packQ4_0(const uint8_t* source, int64_t groups, int row, uint8_t* strip) {
  constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4);
  for (int64_t g = 0; g < groups; ++g, source += 18) {
    uint8_t* block = strip + g / 2 * kLayout.blockBytes();
    const int inBlock = static_cast<int>(g % 2);
    storeHalf(block + headerScale(inBlock), row, loadHalf(source));
    uint8_t* vectors = block + groupOffset(kLayout, inBlock);
    for (int i = 0; i < 4; ++i) storeWord(vectors, i, row, loadWord(source + 2 + 4 * i));
  }
}

void packQ4_1(const uint8_t* source, int64_t groups, int row, uint8_t* strip) {
  constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4M);
  for (int64_t g = 0; g < groups; ++g, source += 20) {
    uint8_t* block = strip + g / 2 * kLayout.blockBytes();
    const int inBlock = static_cast<int>(g % 2);
    storeHalf(block + headerScale(inBlock), row, loadHalf(source));
    storeHalf(block + headerMin(inBlock), row, loadHalf(source + 2));
    uint8_t* vectors = block + groupOffset(kLayout, inBlock);
    for (int i = 0; i < 4; ++i) storeWord(vectors, i, row, loadWord(source + 4 + 4 * i));
  }
}

void packQ8_0(const uint8_t* source, int64_t groups, int row, uint8_t* strip) {
  constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W8);
  for (int64_t g = 0; g < groups; ++g, source += 34) {
    uint8_t* block = strip + g / 2 * kLayout.blockBytes();
    const int inBlock = static_cast<int>(g % 2);
    storeHalf(block + headerScale(inBlock), row, loadHalf(source));
    uint8_t* vectors = block + groupOffset(kLayout, inBlock);
    for (int i = 0; i < 8; ++i) storeWord(vectors, i, row, loadWord(source + 2 + 4 * i) ^ 0x80808080u);
  }
}

void packQ4_K(const uint8_t* source, int64_t groups, int row, uint8_t* strip) {
  constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4K);
  for (int64_t b = 0; b < groups / 8; ++b, source += 144, strip += kLayout.blockBytes()) {
    storeHalf(strip + kHeaderD, row, loadHalf(source));
    storeHalf(strip + kHeaderDMin, row, loadHalf(source + 2));
    for (int g = 0; g < 8; ++g) {
      unpackScaleMin(source + 4, g, strip + headerScaleK(g) + row, strip + headerMinK(g) + row);
      const uint8_t* codes = source + 16 + g / 2 * 32;
      uint8_t* vectors = strip + groupOffset(kLayout, g);
      for (int i = 0; i < 4; ++i) {
        const uint32_t first = loadWord(codes + 4 * i), second = loadWord(codes + 16 + 4 * i);
        storeWord(vectors, i, row,
                  g % 2 == 0 ? (first & kLowNibbles) | (second & kLowNibbles) << 4
                             : (first & kHighNibbles) >> 4 | (second & kHighNibbles));
      }
    }
  }
}

void packQ6_K(const uint8_t* source, int64_t groups, int row, uint8_t* strip) {
  constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W6K);
  for (int64_t b = 0; b < groups / 8; ++b, source += 210, strip += kLayout.blockBytes()) {
    storeHalf(strip + kHeaderD, row, loadHalf(source + 208));
    for (int half = 0; half < 16; ++half) strip[headerScale6(half) + row] = source[192 + half];
    for (int g = 0; g < 8; ++g) {
      const uint8_t* low = source + g / 4 * 64 + g % 2 * 32;
      const uint8_t* high = source + 128 + g / 4 * 32;
      const int lowShift = g % 4 / 2 * 4, highShift = g % 4 * 2;
      uint8_t* vectors = strip + groupOffset(kLayout, g);
      for (int i = 0; i < 4; ++i)
        storeWord(vectors, i, row,
                  (loadWord(low + 4 * i) >> lowShift & kLowNibbles) |
                      (loadWord(low + 16 + 4 * i) >> lowShift & kLowNibbles) << 4);
      for (int plane = 0; plane < 2; ++plane) {
        uint32_t word = 0;
        for (int i = 0; i < 4; ++i) word |= (loadWord(high + 16 * plane + 4 * i) >> highShift & kLowPairs) << (2 * i);
        storeWord(vectors, 4 + plane, row, word);
      }
    }
  }
}

/// The row with this number over all sources.
const uint8_t* sourceRow(const std::vector<RowSource>& sources, int64_t row, int64_t rowBytes) {
  for (const RowSource& source : sources) {
    if (row < source.rows) return source.data + row * rowBytes;
    row -= source.rows;
  }
  return nullptr;
}

void packStrip(uint32_t ggmlId, const std::vector<RowSource>& sources, const pw_matrix& out, int64_t strip) {
  const int64_t bytes = stripBytes(packedLayout(out.format), out.k), rowBytes = sourceRowBytes(ggmlId, out.k);
  uint8_t* to = static_cast<uint8_t*>(const_cast<void*>(out.data)) + strip * bytes;
  std::memset(to, 0, static_cast<size_t>(bytes));
  const int64_t groups = out.k / kGroup;
  for (int r = 0; r < kStripRows && strip * kStripRows + r < out.n; ++r) {
    const uint8_t* from = sourceRow(sources, strip * kStripRows + r, rowBytes);
    switch (ggmlId) {
      case kGgmlQ4_0:
        packQ4_0(from, groups, r, to);
        break;
      case kGgmlQ4_1:
        packQ4_1(from, groups, r, to);
        break;
      case kGgmlQ8_0:
        packQ8_0(from, groups, r, to);
        break;
      case kGgmlQ4_K:
        packQ4_K(from, groups, r, to);
        break;
      default:
        packQ6_K(from, groups, r, to);
    }
  }
}

void copyRows(uint32_t ggmlId, const std::vector<RowSource>& sources, const pw_matrix& out, int64_t begin,
              int64_t end) {
  const int64_t rowBytes = sourceRowBytes(ggmlId, out.k);
  uint8_t* to = static_cast<uint8_t*>(const_cast<void*>(out.data));
  for (int64_t r = begin; r < end; ++r)
    std::memcpy(to + r * rowBytes, sourceRow(sources, r, rowBytes), static_cast<size_t>(rowBytes));
}

/// Tells `consumed` about the source bytes of rows [begin, end).
void reportConsumed(const std::vector<RowSource>& sources, int64_t begin, int64_t end, int64_t rowBytes,
                    const PackOptions& options) {
  if (!options.consumed) return;
  int64_t first = 0;
  for (const RowSource& source : sources) {
    const int64_t from = std::max(begin, first) - first, to = std::min(end, first + source.rows) - first;
    if (from < to) options.consumed(source.data + from * rowBytes, (to - from) * rowBytes);
    first += source.rows;
  }
}

}  // namespace

int64_t sourceRowBytes(uint32_t ggmlId, int64_t k) {
  const GgmlType* type = ggmlType(ggmlId);
  return k / type->blockElements * type->blockBytes;
}

void packMatrix(uint32_t ggmlId, const std::vector<RowSource>& sources, const pw_matrix& out, ThreadPool& pool,
                const PackOptions& options) {
  const int64_t rowBytes = sourceRowBytes(ggmlId, out.k);
  constexpr int64_t kRangeBytes = 8 << 20;
  // Whole strips, so that each is packed by one thread at once.
  const int64_t range = (kRangeBytes / rowBytes / kStripRows + 1) * kStripRows;
  for (int64_t begin = 0; begin < out.n; begin += range) {
    const int64_t end = std::min(begin + range, out.n);
    pool.run(stripCount(end - begin), [&](int64_t task, int) {
      const int64_t strip = begin / kStripRows + task;
      if (isPacked(out.format))
        packStrip(ggmlId, sources, out, strip);
      else
        copyRows(ggmlId, sources, out, strip * kStripRows, std::min((strip + 1) * kStripRows, end));
    });
    reportConsumed(sources, begin, end, rowBytes, options);
    if (options.progress) options.progress(end, out.n);
  }
}

}  // namespace pw
