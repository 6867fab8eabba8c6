// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/gpu/matrix.h"

#include <algorithm>
#include <vector>

#include "core/matrix/pack.h"
#include "gpu/ops.h"
#include "pagewarp/embedding.h"
#include "pagewarp/gpu/matrix_layout.h"
#include "pagewarp/matrix_layout.h"
#include "pagewarp/quantize.h"

namespace pw::gpu {
namespace {

/// Source rows are brought to the device in ranges of about this size, and packed there.
constexpr int64_t kRangeBytes = 4 << 20;

/// Brings rows [begin, end) of all sources to `to`, one after the other.
void gatherRows(Context& context, const PackMatrix& a, int64_t rowBytes, int64_t begin, int64_t end, uint8_t* to,
                const CopyIn& copyIn) {
  int64_t first = 0;
  for (const RowSource& source : a.sources) {
    const int64_t from = std::max(begin, first) - first, rows = std::min(end, first + source.rows) - first - from;
    first += source.rows;
    if (rows <= 0) continue;
    const auto bytes = static_cast<size_t>(rows * rowBytes);
    if (source.reader) {
      std::vector<uint8_t> made(bytes);
      for (int64_t row = 0; row < rows; ++row) source.reader->read(from + row, made.data() + row * rowBytes);
      copyIn(to, made.data(), bytes);
      to += bytes;
      continue;
    }
    const uint8_t* data = source.data + from * rowBytes;
    if (source.onDevice)
      context.copy(to, data, bytes);
    else
      copyIn(to, data, bytes);
    to += bytes;
    if (a.options.consumed && !source.onDevice) a.options.consumed(data, static_cast<int64_t>(bytes));
  }
}

/// Rows of blocks that lie on the device, into the strips from `firstRow` on.
void packRows(Context& context, const uint8_t* source, uint32_t type, const pw_matrix& out, int64_t firstRow,
              int64_t rows) {
  pw_gpu_pack_params p{};
  p.source = source;
  p.out = static_cast<uint8_t*>(const_cast<void*>(out.data));
  p.row_bytes = sourceRowBytes(type, out.k);
  p.type = type;
  p.format = out.format;
  p.rows = static_cast<int32_t>(rows);
  p.k = static_cast<int32_t>(out.k);
  p.first_strip = static_cast<int32_t>(firstRow / kStripRows);
  constexpr unsigned kWarps = 4;
  const auto blocks = static_cast<unsigned>((blockCount(out.k) + kWarps - 1) / kWarps);
  context.launch(context.kernel("matrix/pack", "pw_pack"), {blocks, static_cast<unsigned>(stripCount(rows))},
                 {kWarps * kLanes}, 0, p);
}

/// Rows of a range: whole strips.
int64_t rangeRows(int64_t rowBytes) { return (kRangeBytes / rowBytes / kStripRows + 1) * kStripRows; }

}  // namespace

void packMatrix(Context& context, const PackMatrix& a, const CopyIn& copyIn) {
  const int64_t rowBytes = sourceRowBytes(a.type, a.out.k), range = rangeRows(rowBytes);
  auto* out = static_cast<uint8_t*>(const_cast<void*>(a.out.data));
  const bool packed = isPacked(a.out.format);
  auto* staged = packed
                     ? static_cast<uint8_t*>(context.scratch(static_cast<size_t>(std::min(range, a.out.n) * rowBytes)))
                     : nullptr;
  for (int64_t begin = 0; begin < a.out.n; begin += range) {
    const int64_t end = std::min(begin + range, a.out.n);
    gatherRows(context, a, rowBytes, begin, end, packed ? staged : out + begin * rowBytes, copyIn);
    if (packed) packRows(context, staged, a.type, a.out, begin, end - begin);
    if (a.options.progress) a.options.progress(end, a.out.n);
  }
  if (a.out.levels) copyIn(const_cast<float*>(a.out.levels), a.levels.data(), a.levels.size() * sizeof(float));
  if (a.out.order) copyIn(const_cast<int32_t*>(a.out.order), a.order.data(), a.order.size() * sizeof(int32_t));
}

void quantizePacked(Context& context, const pw_quantize_args& a) {
  const int64_t n = a.weight.n, k = a.weight.k, rowBytes = sourceRowBytes(a.ggml_type, k), range = rangeRows(rowBytes);
  auto* staged = static_cast<uint8_t*>(context.scratch(static_cast<size_t>(std::min(range, n) * rowBytes)));
  for (int64_t begin = 0; begin < n; begin += range) {
    pw_gpu_quantize_params p{};
    p.x = static_cast<const char*>(a.x.data);
    p.x_stride = a.x.strides[0];
    p.x_type = a.x.dtype;
    p.out = staged;
    p.row_bytes = rowBytes;
    p.format = a.weight.format;
    p.first_row = static_cast<int32_t>(begin);
    p.rows = static_cast<int32_t>(std::min(range, n - begin));
    p.k = static_cast<int32_t>(k);
    constexpr int64_t kThreads = 128;
    const int64_t groups = p.rows * (k / kBlockColumns);
    context.launch(context.kernel("matrix/quantize", "pw_quantize"),
                   {static_cast<unsigned>((groups + kThreads - 1) / kThreads)}, {kThreads}, 0, p);
    packRows(context, staged, a.ggml_type, a.weight, begin, p.rows);
  }
}

void embeddingPacked(Context& context, const pw_embedding_args& a) {
  pw_gpu_embedding_packed_params p{};
  p.ids = static_cast<const int32_t*>(a.ids.data);
  p.weight = a.weight.data;
  p.out = a.out.data;
  p.error = context.errorWord();
  p.id_stride = a.ids.strides[0];
  p.out_stride = a.out.strides[0];
  p.levels = a.weight.levels;
  p.level_tables = static_cast<int32_t>(a.weight.level_tables);
  p.order = a.weight.order;
  p.format = a.weight.format;
  p.out_type = a.out.dtype;
  p.n = static_cast<int32_t>(a.weight.n);
  p.k = static_cast<int32_t>(a.weight.k);
  context.launch(context.kernel("matrix/embedding", "pw_embedding_packed"), {static_cast<unsigned>(a.ids.shape[0])},
                 {256}, 0, p);
}

}  // namespace pw::gpu
