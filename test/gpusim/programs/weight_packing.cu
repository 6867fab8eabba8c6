// SPDX-License-Identifier: Apache-2.0
// The packing kernel of linear layers' weights writes, byte for byte, what the same functions write on the host: every
// block format, strips that begin anywhere in the matrix, rows that end within a strip, columns that end within a
// stage.
#ifdef __CUDACC__
#include "matrix/pack.cu"
#else
#include "harness.h"
#include "pagewarp/gpu/matrix.h"
#include "pagewarp/gpu/pack.h"

using namespace pw::gpu;

namespace {

constexpr uint32_t kTypes[] = {pw::kGgmlQ4_0,  pw::kGgmlQ4_1,    pw::kGgmlQ4_K,   pw::kGgmlQ5_0,    pw::kGgmlQ5_1,
                               pw::kGgmlQ5_K,  pw::kGgmlQ6_K,    pw::kGgmlQ8_0,   pw::kGgmlIQ4_NL,  pw::kGgmlMXFP4,
                               pw::kBlockLut4, pw::kBlockInt4Zp, pw::kBlockNvfp4, pw::kBlockInt4G16};
constexpr uint8_t kPoison = 0xcd;

/// The matrix whose strips from number `firstStrip` on are packed from `source`, on the host; `out` has them all.
void packOnHost(const pw_gpu_pack_params& p, const std::vector<uint8_t>& source, std::vector<uint8_t>& out) {
  const PackedLayout layout = packedLayout(static_cast<pw_matrix_format>(p.format));
  for (int64_t strip = 0; strip < stripCount(p.rows); ++strip) {
    const StripSource rows{source.data() + strip * kStripRows * p.row_bytes, p.row_bytes,
                           static_cast<int>(std::min<int64_t>(kStripRows, p.rows - strip * kStripRows))};
    for (int64_t block = 0; block < blockCount(p.k); ++block) {
      uint8_t* header = out.data() + blockOffset(layout, p.k, p.first_strip + strip, block);
      uint8_t* superHeader = out.data() + superHeaderOffset(layout, p.k, p.first_strip + strip, block);
      for (int row = 0; row < kStripRows; ++row) packHeader(p.type, rows, block, row, header, superHeader);
      for (int lane = 0; lane < kLanes; ++lane) packCodes(p.type, rows, block, lane, header + layout.headerBytes);
    }
  }
}

void compare(const harness::Program& program, uint32_t type, int rows, int columns, int firstStrip,
             harness::Report& report) {
  pw_matrix_format format = PW_MATRIX_F32;
  report.is(packedFormat(type, &format), "there is a packed format");
  const SourceBlock block = sourceBlock(type);
  pw_gpu_pack_params p{};
  p.row_bytes = columns / block.columns * block.bytes;
  p.type = type;
  p.format = format;
  p.rows = rows;
  p.k = columns;
  p.first_strip = firstStrip;
  const auto source = harness::randomIntegers<uint8_t>(static_cast<size_t>(rows * p.row_bytes), 0, 255, type + rows);
  const int64_t strips = firstStrip + stripCount(rows);
  std::vector<uint8_t> expected(static_cast<size_t>(packedBytes(format, strips * kStripRows, columns)), kPoison);
  harness::Buffer<uint8_t> from(source), to(expected);
  packOnHost(p, source, expected);
  p.source = reinterpret_cast<const uint8_t*>(from.pointer());
  p.out = reinterpret_cast<uint8_t*>(to.pointer());
  const auto grid = static_cast<unsigned>((blockCount(columns) + 3) / 4);
  harness::Launch{program.kernel("pw_pack"), {grid, static_cast<unsigned>(stripCount(rows))}, {4 * kLanes}}(p);
  report.equal(to.download(), expected, ("bytes of type " + std::to_string(type)).c_str());
}

}  // namespace

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  for (const uint32_t type : kTypes) {
    const int columns = sourceBlock(type).columns;
    compare(program, type, 1, columns, 0, report);
    compare(program, type, 64, 256, 1, report);
    compare(program, type, 131, 3 * columns, 2, report);
  }
  return report.finish();
}
#endif
