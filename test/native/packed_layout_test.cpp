// SPDX-License-Identifier: Apache-2.0
/// CUDA's packed layout and the cutting of its linear layers, on the host alone.
#include <algorithm>
#include <random>
#include <vector>

#include "check.h"
#include "pagewarp/gpu/linear_packed.h"
#include "pagewarp/gpu/pack.h"
#include "plan/packed_linear.h"

using namespace pw;
using namespace pw::gpu;

namespace {

constexpr pw_matrix_format kFormats[] = {PW_MATRIX_W4,  PW_MATRIX_W4M, PW_MATRIX_W4Z, PW_MATRIX_W4X,
                                         PW_MATRIX_W4T, PW_MATRIX_W4N, PW_MATRIX_W4K, PW_MATRIX_W5K,
                                         PW_MATRIX_W5M, PW_MATRIX_W6K, PW_MATRIX_W8,  PW_MATRIX_W4S};
constexpr uint32_t kTypes[] = {kGgmlQ4_0,    kGgmlQ4_1,   kGgmlQ4_K,   kGgmlQ5_0,    kGgmlQ5_K,
                               kGgmlQ6_K,    kGgmlQ8_0,   kGgmlIQ4_NL, kGgmlMXFP4,   kBlockLut4,
                               kBlockInt4Zp, kBlockNvfp4, kGgmlQ5_1,   kBlockInt4G16};

}  // namespace

TEST(every_code_has_bits_of_its_own_and_none_are_left) {
  for (const pw_matrix_format format : kFormats) {
    const PackedLayout layout = packedLayout(format);
    std::vector<int> owners(static_cast<size_t>(layout.codeBytes()) * 8);
    for (int row = 0; row < kStripRows; ++row)
      for (int column = 0; column < kBlockColumns; ++column) {
        const CodePosition at = codePosition(layout, row, column);
        for (int i = 0; i < at.count; ++i)
          for (int bit = 0; bit < at.parts[i].width; ++bit)
            ++owners[static_cast<size_t>(at.parts[i].word * 32 + at.parts[i].shift + bit)];
      }
    CHECK(std::all_of(owners.begin(), owners.end(), [](int count) { return count == 1; }));
  }
}

TEST(blocks_lie_one_after_the_other) {
  for (const pw_matrix_format format : kFormats) {
    const PackedLayout layout = packedLayout(format);
    const int64_t k = 768;
    int64_t end = 0;
    for (int64_t strip = 0; strip < 3; ++strip)
      for (int64_t block = 0; block < blockCount(k); ++block) {
        if (block % 8 == 0) {
          CHECK(superHeaderOffset(layout, k, strip, block) == end);
          end += layout.superHeaderBytes;
        }
        CHECK(blockOffset(layout, k, strip, block) == end);
        end += layout.blockBytes();
      }
    CHECK(end == packedBytes(format, 3 * kStripRows, k) && end == packedBytes(format, 2 * kStripRows + 1, k));
  }
}

TEST(packing_puts_codes_where_the_layout_says) {
  std::mt19937 random(1);
  for (const uint32_t type : kTypes) {
    pw_matrix_format format = PW_MATRIX_F32;
    CHECK(packedFormat(type, &format));
    const PackedLayout layout = packedLayout(format);
    const SourceBlock sizes = sourceBlock(type);
    constexpr int kRows = 37, kColumns = 512;
    const int64_t rowBytes = kColumns / sizes.columns * sizes.bytes;
    std::vector<uint8_t> source(static_cast<size_t>(kRows * rowBytes));
    for (uint8_t& byte : source) byte = static_cast<uint8_t>(random());
    const StripSource strip{source.data(), rowBytes, kRows};
    for (int64_t block = 0; block < kColumns / kBlockColumns; ++block) {
      std::vector<uint32_t> words(static_cast<size_t>(layout.codeBytes()) / 4, 0xdeadbeefu);
      auto* codes = reinterpret_cast<uint8_t*>(words.data());
      for (int lane = 0; lane < kLanes; ++lane) packCodes(type, strip, block, lane, codes);
      bool agree = true;
      for (int row = 0; row < kStripRows; ++row)
        for (int column = 0; column < kBlockColumns; ++column) {
          const uint32_t four =
              row < kRows ? sourceCodes(type, strip.row(row), block, column / 16, column % 16 / 4) : 0;
          agree = agree && codeAt(words.data(), codePosition(layout, row, column)) == (four >> (column % 4 * 8) & 0xff);
        }
      CHECK(agree);
    }
  }
}

TEST(plans_of_packed_linear_layers_cover_all_work_once) {
  for (const int64_t m : {1, 8, 9, 16, 33, 64, 65, 152, 1024})
    for (const int64_t n : {1, 64, 105, 4096, 11008})
      for (const int64_t k : {32, 96, 4096, 11008})
        for (const int multiprocessors : {1, 4, 108}) {
          const plan::PackedLinearPlan p =
              plan::planPackedLinear(m, n, k, packedTiles(PW_MATRIX_W4, PW_F16), 2, multiprocessors);
          const int64_t rows = p.tile.rows(), columns = p.tile.stageColumns(), tokens = p.tile.tokens;
          CHECK(m > 64 ? tokens == 64 : tokens >= m && (tokens == 8 || tokens < 2 * m));
          CHECK(p.tokenBlocks * tokens >= m && (p.tokenBlocks - 1) * tokens < m);
          CHECK(p.tiles / p.tokenBlocks * rows >= n && (p.tiles / p.tokenBlocks - 1) * rows < n);
          CHECK(p.stages * columns >= k && (p.stages - 1) * columns < k);
          CHECK(p.iterations == p.tiles * p.stages);
          CHECK(int64_t{p.blocks} * p.iterationsPerBlock >= p.iterations);
          CHECK(int64_t{p.blocks - 1} * p.iterationsPerBlock < p.iterations && p.blocks <= multiprocessors);
          int shares = 0;
          for (int tile = 0; tile < p.tiles; ++tile) {
            const int first = tile * p.stages / p.iterationsPerBlock,
                      last = ((tile + 1) * p.stages - 1) / p.iterationsPerBlock;
            if (last > first) shares += last - first + 1;
          }
          CHECK(p.shares == shares);
        }
}

TEST(tiles_are_wide_where_a_device_has_few_blocks_and_narrow_where_it_has_many) {
  const auto strips = [](int64_t m, int64_t n, int multiprocessors) {
    return plan::planPackedLinear(m, n, 4096, packedTiles(PW_MATRIX_W4, PW_F16), 2, multiprocessors).tile.strips;
  };
  CHECK(strips(1, 4096, 4) == 8 && strips(8, 4096, 4) == 8 && strips(16, 4096, 4) == 16);
  CHECK(strips(1, 4096, 108) == 2 && strips(16, 4096, 108) == 2);
  CHECK(strips(8, 128256, 108) == 8 && strips(16, 128256, 108) == 16);
}

TEST(kernels_of_packed_linear_layers_fit_every_supported_device) {
  for (const pw_matrix_format format : kFormats)
    for (const pw_dtype activation : {PW_F32, PW_F16, PW_BF16, PW_I8})
      for (const bool rowTables : {false, format == PW_MATRIX_W4T}) {
        const PackedTiles tiles = packedTiles(format, activation, rowTables);
        for (const PackedTile& tile : tiles) CHECK(packedSharedBytes(format, activation, tile, rowTables) <= 99 << 10);
      }
}

TEST(weights_of_every_format_are_read_once_for_up_to_64_tokens_of_two_bytes_and_32_of_f32) {
  for (const pw_matrix_format format : kFormats)
    for (const bool rowTables : {false, format == PW_MATRIX_W4T})
      for (const pw_dtype activation : {PW_F16, PW_BF16, PW_F32})
        for (const int64_t m : {1, 8, 9, 16, 17, 32, 33, 64}) {
          const PackedTiles tiles = packedTiles(format, activation, rowTables);
          const plan::PackedLinearPlan p =
              plan::planPackedLinear(m, 4096, 4096, tiles, packedElementBytes(activation), 108);
          CHECK(p.tokenBlocks == (activation == PW_F32 && m > 32 ? 2 : 1));
        }
}

TEST(activations_of_every_format_are_read_by_few_columns_of_tiles_where_a_matrix_is_wide) {
  for (const pw_matrix_format format : kFormats)
    for (const pw_dtype activation : {PW_F16, PW_BF16}) {
      const PackedTiles tiles = packedTiles(format, activation);
      const auto strips = [&](int64_t m) { return plan::planPackedLinear(m, 128256, 4096, tiles, 2, 108).tile.strips; };
      CHECK(strips(8) == 8 && strips(16) == (packedLayout(format).codeBits == 4 ? 16 : 8));
    }
}

TEST(int8_activations_take_every_place_of_a_block_once) {
  std::vector<int> owners(96);
  for (int column = 0; column < 96; ++column) ++owners[static_cast<size_t>(int8Position(column))];
  CHECK(std::all_of(owners.begin(), owners.end(), [](int count) { return count == 1; }));
  // A lane's bytes of both slices lie together: lane t of four, columns 4 t of each.
  CHECK(int8Position(4) == 8 && int8Position(16) == 4 && int8Position(1) == 2 && int8Position(32 + 2) == 32 + 1);
}
