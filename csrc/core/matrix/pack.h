// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/thread_pool.h"
#include "pagewarp/matrix.h"

namespace pw {

/// Makes rows of blocks of what is stored otherwise. Called from several threads.
class RowReader {
 public:
  virtual ~RowReader() = default;
  virtual void read(int64_t row, uint8_t* blocks) const = 0;
};

/// Consecutive rows of blocks: contiguous in memory, or, where there is a reader, made by it.
struct RowSource {
  const uint8_t* data;
  int64_t rows;
  std::shared_ptr<const RowReader> reader = nullptr;
  bool onDevice = false;  ///< memory of the device that packs, not of the host
};

struct PackOptions {
  /// Bytes of the sources that have been packed and will not be read again, e.g. to drop a mapped file's pages.
  std::function<void(const uint8_t* begin, int64_t bytes)> consumed;
  /// Called on the packing thread after each range of rows.
  std::function<void(int64_t rowsDone, int64_t rows)> progress;
};

/// The arguments of a pack command. Whoever enqueues it keeps the sources and the matrix alive.
struct PackMatrix {
  uint32_t type;
  std::vector<RowSource> sources;
  pw_matrix out;
  PackOptions options;
  std::vector<float> levels;   ///< W4T: one table of 16 for the matrix, or one for each of its rows; W4N: factors
  std::vector<int32_t> order;  ///< act-order; empty where out.order is null
};

/// Concatenates the sources by rows and lays them out as `out` wants: out.format must be matrixFormat(type), out.n
/// the sum of rows, and out.data have room for matrixBytes(), out.levels for levelBytes(). Works through the rows in
/// ranges of some megabytes, spread over the pool; source pages behind the range can be dropped, so that source and
/// result are never both resident.
void packMatrix(const PackMatrix& args, ThreadPool& pool);

/// Bytes of one source row of k columns in this block type (of GGUF or ours).
int64_t sourceRowBytes(uint32_t type, int64_t k);

}  // namespace pw
