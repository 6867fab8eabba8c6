// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/dtype.h"
#include "pagewarp/gpu/matrix_layout.h"

/// out = x . W^T (+ bias) (+ residual) over packed weights. The work is a sequence of iterations: (columns of tiles of
/// output features, token blocks within one, stages along k within one), dealt to the blocks in runs of equal length.
typedef struct pw_gpu_linear_packed_params {
  const void* weight;    ///< laid out by matrix_layout.h
  const float* levels;   ///< W4T: [level_tables, 16]
  const int32_t* order;  ///< [k] or null: the element of x that column i multiplies; needs x_aligned = 0
  const void* x;         ///< [m, k], of the kernel's activation type; kernels for f32 take any type with x_aligned = 0
  const void* bias;      ///< [n] or null
  const void* residual;  ///< [m, n] or null; may be out
  void* out;             ///< [m, n]
  int64_t x_stride, residual_stride, out_stride;       ///< elements from row to row
  int32_t x_type, bias_type, residual_type, out_type;  ///< pw_dtype
  int32_t level_tables;                                ///< 1, or one for each row of the weights
  int32_t m, n, k;
  int32_t token_blocks;
  int32_t stages;                ///< along k, per tile
  int32_t iterations;            ///< all tiles' stages
  int32_t iterations_per_block;  ///< of the grid
  float* partials;               ///< sums of tiles that several blocks share: two slots per block
  uint32_t* arrivals;            ///< zeroed, per tile: blocks that have written their partial sums
  int32_t x_aligned;             ///< rows of x are multiples of 16 bytes apart and start at one
  int32_t out_aligned;           ///< so do those of out and residual, and bias
} pw_gpu_linear_packed_params;

namespace pw::gpu {

/// Threads of a block.
constexpr int kPackedThreads = 256;
/// Stages in shared memory.
constexpr int kPackedStages = 4;

PW_HOST_DEVICE constexpr int packedElementBytes(pw_dtype activation) { return activation == PW_F32 ? 4 : 2; }

/// Strips of a tile of this many groups of eight tokens: few tokens want many blocks along k, so that narrow matrices
/// occupy the device; many tokens want many rows per activation read, and less shared memory for activations.
PW_HOST_DEVICE constexpr int packedStrips(pw_matrix_format format, pw_dtype activation, int tokenTiles) {
  return packedElementBytes(activation) * tokenTiles < (packedLayout(format).codeBits == 8 ? 8 : 16) ? 2 : 4;
}

/// Output features of a tile.
PW_HOST_DEVICE constexpr int packedRows(pw_matrix_format format, pw_dtype activation, int tokenTiles) {
  return packedStrips(format, activation, tokenTiles) * kStripRows;
}

/// Columns of a stage: the eight warps of a block take one block of the layout each.
PW_HOST_DEVICE constexpr int packedStageColumns(pw_matrix_format format, pw_dtype activation, int tokenTiles) {
  return kPackedThreads / kLanes / packedStrips(format, activation, tokenTiles) * kBlockColumns;
}

/// Words between the tables of levels of a tile's rows: odd, so that rows begin at different banks.
constexpr int kLevelStride = 17;

/// Dynamic shared memory of a kernel.
PW_HOST_DEVICE constexpr int packedSharedBytes(pw_matrix_format format, pw_dtype activation, int tokenTiles) {
  const PackedLayout layout = packedLayout(format);
  const int weights = kPackedThreads / kLanes * layout.blockBytes() +
                      packedStrips(format, activation, tokenTiles) * layout.superHeaderBytes;
  const int activations =
      8 * tokenTiles * packedStageColumns(format, activation, tokenTiles) * packedElementBytes(activation);
  const int levels = format == PW_MATRIX_W4T ? packedRows(format, activation, tokenTiles) * kLevelStride * 4 : 0;
  return kPackedStages * (weights + activations) + levels;
}

}  // namespace pw::gpu
