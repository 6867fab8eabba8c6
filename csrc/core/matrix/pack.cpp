// SPDX-License-Identifier: Apache-2.0
#include "core/matrix/pack.h"

#include <algorithm>
#include <cmath>
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

void storeNibbles(uint8_t* vectors, int row, const uint8_t* codes) {
  for (int i = 0; i < 4; ++i) storeWord(vectors, i, row, loadWord(codes + 4 * i));
}

/// The high bits of a group's 32 columns, bit c that of column c, as bit c / 4 of byte c % 4.
void storeHighBits(uint8_t* vectors, int row, uint32_t bits) {
  uint32_t word = 0;
  for (int c = 0; c < kGroup; ++c) word |= (bits >> c & 1) << (8 * (c % 4) + c / 4);
  storeWord(vectors, 4, row, word);
}

/// Each packs row `row` of a strip: all the blocks of one source row. `strip` starts out zeroed.

/// Blocks of 32 with an f16 scale, perhaps an f16 minimum, perhaps high bits, and nibbles: Q4_0, Q4_1, Q5_0, Q5_1,
/// LUT4.
template <pw_matrix_format kFormat, bool kMinimum>
void packNibbles(const uint8_t* source, int64_t groups, int row, uint8_t* strip) {
  constexpr PackedLayout kLayout = packedLayout(kFormat);
  for (int64_t g = 0; g < groups; ++g) {
    uint8_t* block = strip + g / 2 * kLayout.blockBytes();
    const int inBlock = static_cast<int>(g % 2);
    uint8_t* vectors = block + groupOffset(kLayout, inBlock);
    storeHalf(block + headerScale(inBlock), row, loadHalf(source));
    source += 2;
    if constexpr (kMinimum) {
      storeHalf(block + headerMin(inBlock), row, loadHalf(source));
      source += 2;
    }
    if constexpr (kLayout.codeBits == 5) {
      storeHighBits(vectors, row, loadWord(source));
      source += 4;
    }
    storeNibbles(vectors, row, source);
    source += 16;
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

void packInt4Zp(const uint8_t* source, int64_t groups, int row, uint8_t* strip) {
  constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4Z);
  for (int64_t g = 0; g < groups; ++g, source += 19) {
    uint8_t* block = strip + g / 4 * kLayout.blockBytes();
    const int inBlock = static_cast<int>(g % 4);
    storeHalf(block + headerScale(inBlock), row, loadHalf(source));
    block[headerZero(inBlock) + row] = source[2];
    storeNibbles(block + groupOffset(kLayout, inBlock), row, source + 3);
  }
}

void packMxfp4(const uint8_t* source, int64_t groups, int row, uint8_t* strip) {
  constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4X);
  for (int64_t g = 0; g < groups; ++g, source += 17) {
    uint8_t* block = strip + g / 4 * kLayout.blockBytes();
    const int inBlock = static_cast<int>(g % 4);
    block[headerExponent(inBlock) + row] = source[0];
    storeNibbles(block + groupOffset(kLayout, inBlock), row, source + 1);
  }
}

void packNvfp4(const uint8_t* source, int64_t groups, int row, uint8_t* strip) {
  constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4N);
  for (int64_t g = 0; g < groups; ++g, source += 18) {
    uint8_t* block = strip + g / 2 * kLayout.blockBytes();
    const int inBlock = static_cast<int>(g % 2);
    for (int half = 0; half < 2; ++half) block[headerScaleN(2 * inBlock + half) + row] = source[half];
    storeNibbles(block + groupOffset(kLayout, inBlock), row, source + 2);
  }
}

void packInt4G16(const uint8_t* source, int64_t groups, int row, uint8_t* strip) {
  constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4S);
  for (int64_t g = 0; g < groups; ++g, source += 20) {
    uint8_t* block = strip + g / 2 * kLayout.blockBytes();
    const int inBlock = static_cast<int>(g % 2);
    for (int half = 0; half < 2; ++half)
      storeHalf(block + headerScaleS(2 * inBlock + half), row, loadHalf(source + 2 * half));
    storeNibbles(block + groupOffset(kLayout, inBlock), row, source + 4);
  }
}

/// Q4_K and Q5_K.
template <pw_matrix_format kFormat>
void packDeep(const uint8_t* source, int64_t groups, int row, uint8_t* strip) {
  constexpr PackedLayout kLayout = packedLayout(kFormat);
  constexpr bool kHighBits = kLayout.codeBits == 5;
  constexpr int kCodes = kHighBits ? 48 : 16;
  for (int64_t b = 0; b < groups / 8; ++b, source += kCodes + 128, strip += kLayout.blockBytes()) {
    storeHalf(strip + kHeaderD, row, loadHalf(source));
    storeHalf(strip + kHeaderDMin, row, loadHalf(source + 2));
    for (int g = 0; g < 8; ++g) {
      unpackScaleMin(source + 4, g, strip + headerScaleK(g) + row, strip + headerMinK(g) + row);
      const uint8_t* codes = source + kCodes + g / 2 * 32;
      uint8_t* vectors = strip + groupOffset(kLayout, g);
      for (int i = 0; i < 4; ++i) {
        const uint32_t first = loadWord(codes + 4 * i), second = loadWord(codes + 16 + 4 * i);
        storeWord(vectors, i, row,
                  g % 2 == 0 ? (first & kLowNibbles) | (second & kLowNibbles) << 4
                             : (first & kHighNibbles) >> 4 | (second & kHighNibbles));
      }
      if constexpr (kHighBits) {
        uint32_t bits = 0;
        for (int c = 0; c < kGroup; ++c) bits |= static_cast<uint32_t>(source[16 + c] >> g & 1) << c;
        storeHighBits(vectors, row, bits);
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

/// The blocks of the row with this number over all sources: where they are, or made in `scratch`.
const uint8_t* sourceRow(const std::vector<RowSource>& sources, int64_t row, int64_t rowBytes, uint8_t* scratch) {
  for (const RowSource& source : sources) {
    if (row < source.rows) {
      if (!source.reader) return source.data + row * rowBytes;
      source.reader->read(row, scratch);
      return scratch;
    }
    row -= source.rows;
  }
  return nullptr;
}

void packRow(uint32_t type, const uint8_t* from, int64_t groups, int row, uint8_t* strip) {
  switch (type) {
    case kGgmlQ4_0:
      return packNibbles<PW_MATRIX_W4, false>(from, groups, row, strip);
    case kGgmlQ4_1:
      return packNibbles<PW_MATRIX_W4M, true>(from, groups, row, strip);
    case kGgmlQ5_0:
      return packNibbles<PW_MATRIX_W5, false>(from, groups, row, strip);
    case kGgmlQ5_1:
      return packNibbles<PW_MATRIX_W5M, true>(from, groups, row, strip);
    case kGgmlIQ4_NL:
    case kBlockLut4:
      return packNibbles<PW_MATRIX_W4T, false>(from, groups, row, strip);
    case kGgmlMXFP4:
      return packMxfp4(from, groups, row, strip);
    case kBlockInt4Zp:
      return packInt4Zp(from, groups, row, strip);
    case kBlockNvfp4:
      return packNvfp4(from, groups, row, strip);
    case kBlockInt4G16:
      return packInt4G16(from, groups, row, strip);
    case kGgmlQ8_0:
      return packQ8_0(from, groups, row, strip);
    case kGgmlQ4_K:
      return packDeep<PW_MATRIX_W4K>(from, groups, row, strip);
    case kGgmlQ5_K:
      return packDeep<PW_MATRIX_W5K>(from, groups, row, strip);
    default:
      return packQ6_K(from, groups, row, strip);
  }
}

void packStrip(uint32_t type, const std::vector<RowSource>& sources, const pw_matrix& out, int64_t strip) {
  const int64_t bytes = stripBytes(packedLayout(out.format), out.k), rowBytes = sourceRowBytes(type, out.k);
  uint8_t* to = static_cast<uint8_t*>(const_cast<void*>(out.data)) + strip * bytes;
  std::memset(to, 0, static_cast<size_t>(bytes));
  std::vector<uint8_t> scratch(static_cast<size_t>(rowBytes));
  const int64_t groups = out.k / kGroup;
  for (int r = 0; r < kStripRows && strip * kStripRows + r < out.n; ++r) {
    const uint8_t* from = sourceRow(sources, strip * kStripRows + r, rowBytes, scratch.data());
    packRow(type, from, groups, r, to);
  }
}

void copyRows(uint32_t type, const std::vector<RowSource>& sources, const pw_matrix& out, int64_t begin, int64_t end) {
  const int64_t rowBytes = sourceRowBytes(type, out.k);
  uint8_t* to = static_cast<uint8_t*>(const_cast<void*>(out.data));
  for (int64_t r = begin; r < end; ++r)
    std::memcpy(to + r * rowBytes, sourceRow(sources, r, rowBytes, nullptr), static_cast<size_t>(rowBytes));
}

/// Tells `consumed` about the source bytes of rows [begin, end).
void reportConsumed(const std::vector<RowSource>& sources, int64_t begin, int64_t end, int64_t rowBytes,
                    const PackOptions& options) {
  if (!options.consumed) return;
  int64_t first = 0;
  for (const RowSource& source : sources) {
    const int64_t from = std::max(begin, first) - first, to = std::min(end, first + source.rows) - first;
    if (!source.reader && from < to) options.consumed(source.data + from * rowBytes, (to - from) * rowBytes);
    first += source.rows;
  }
}

/// The largest unit of which the 16 levels are multiples from -127 to 127: 1 where they are integers of that range,
/// else the one that takes the largest magnitude to 127.
float levelUnit(const float* levels) {
  float largest = 0;
  bool integers = true;
  for (int i = 0; i < kLevels; ++i) {
    largest = std::max(largest, std::fabs(levels[i]));
    integers = integers && levels[i] == std::rint(levels[i]);
  }
  return largest < 0x1p-100f || (integers && largest <= 127.0f) ? 1.0f : largest / 127.0f;
}

/// Tables and factors of rows past n become zeros.
void packLevels(const std::vector<float>& levels, const pw_matrix& out) {
  auto* to = const_cast<float*>(out.levels);
  std::fill_n(to, tableLength(out.format) * out.level_tables, 0.0f);
  std::copy(levels.begin(), levels.end(), to);
  if (out.format != PW_MATRIX_W4T) return;
  auto* units = const_cast<float*>(levelUnits(out));
  auto* codes = const_cast<uint8_t*>(levelCodes(out));
  for (int64_t t = 0; t < out.level_tables; ++t, to += kLevels, codes += kLevels) {
    units[t] = levelUnit(to);
    for (int i = 0; i < kLevels; ++i)
      codes[i] = static_cast<uint8_t>(kLevelCodeOffset + static_cast<int>(std::rint(to[i] / units[t])));
  }
}

}  // namespace

int64_t sourceRowBytes(uint32_t type, int64_t k) {
  if (type == kBlockInt4Zp) return k / kGroup * 19;
  if (type == kBlockInt4G16) return k / kGroup * 20;
  if (type == kBlockLut4 || type == kBlockNvfp4) return k / kGroup * 18;
  const GgmlType* ggml = ggmlType(type);
  return k / ggml->blockElements * ggml->blockBytes;
}

void packMatrix(const PackMatrix& args, ThreadPool& pool) {
  const uint32_t type = args.type;
  const std::vector<RowSource>& sources = args.sources;
  const pw_matrix& out = args.out;
  const PackOptions& options = args.options;
  if (out.levels) packLevels(args.levels, out);
  if (out.order) std::copy(args.order.begin(), args.order.end(), const_cast<int32_t*>(out.order));
  const int64_t rowBytes = sourceRowBytes(type, out.k);
  constexpr int64_t kRangeBytes = 8 << 20;
  // Whole strips, so that each is packed by one thread at once.
  const int64_t range = (kRangeBytes / rowBytes / kStripRows + 1) * kStripRows;
  for (int64_t begin = 0; begin < out.n; begin += range) {
    const int64_t end = std::min(begin + range, out.n);
    pool.run(stripCount(end - begin), [&](int64_t task, int) {
      const int64_t strip = begin / kStripRows + task;
      if (isPacked(out.format))
        packStrip(type, sources, out, strip);
      else
        copyRows(type, sources, out, strip * kStripRows, std::min((strip + 1) * kStripRows, end));
    });
    reportConsumed(sources, begin, end, rowBytes, options);
    if (options.progress) options.progress(end, out.n);
  }
}

}  // namespace pw
