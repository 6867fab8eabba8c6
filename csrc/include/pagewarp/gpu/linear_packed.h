// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/dtype.h"
#include "pagewarp/gpu/matrix_layout.h"

/// out = x . W^T (+ bias) (+ residual) over packed weights, or silu(gate) * up (+ residual) of it. The work is a
/// sequence of iterations: (columns of tiles of output features, token blocks within one, stages along k within one),
/// dealt to the blocks in runs of equal length.
typedef struct pw_gpu_linear_packed_params {
  const void* weight;     ///< laid out by matrix_layout.h
  const float* levels;    ///< W4T: [level_tables, 16]
  const float* factors;   ///< W4N: [level_tables]; else null
  const int32_t* order;   ///< [k] or null: the element of x that column i multiplies; needs x_aligned = 0
  const void* x;          ///< [m, k], of the kernel's activation type
  const float* x_scales;  ///< int8 activations: [m]
  const int32_t* x_sums;  ///< int8 activations: [m, k / 32], sums of the codes
  const void* bias;       ///< [n] or null
  const void* residual;   ///< like out, or null; may be out
  void* out;              ///< [m, n], or [m, n / 2] where gated
  int64_t x_stride, residual_stride, out_stride;  ///< elements from row to row
  int32_t bias_type, residual_type, out_type;     ///< pw_dtype
  int32_t level_tables;                           ///< of levels or factors: 1, or one for each row of the weights
  int32_t m, n, k;
  int32_t gated;  ///< out = silu(first half of the features) * second half: out is [m, n / 2], n a multiple of 128
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
constexpr int kPackedWarps = kPackedThreads / kLanes;
/// Stages in shared memory, where as many fit.
constexpr int kPackedStages = 4;
/// Shared memory of a block: sm_86 and its successors give no more.
constexpr int kMostPackedSharedBytes = 99 << 10;

/// A kernel's tile: tokens by strips of 64 output features.
struct PackedTile {
  int tokens, strips;
  PW_HOST_DEVICE constexpr int rows() const { return strips * kStripRows; }
  /// Blocks of the layout that a stage has along k: each of the eight warps takes at least one.
  PW_HOST_DEVICE constexpr int depth() const { return strips < kPackedWarps ? kPackedWarps / strips : 1; }
  PW_HOST_DEVICE constexpr int stageColumns() const { return depth() * kBlockColumns; }
};

/// The tiles that there are kernels for, by rising number of tokens.
struct PackedTiles {
  PackedTile tiles[6];
  int count;
  constexpr const PackedTile* begin() const { return tiles; }
  constexpr const PackedTile* end() const { return tiles + count; }
};

/// Few tokens want tiles of few strips, so that narrow matrices occupy the device; where a matrix is wide enough for
/// it, tiles of many strips read the activations less often: of sixteen where codes have four bits; of eight where they
/// have more, whose stages of sixteen have no room for four. Many tokens want many strips, as far as the sums fit into
/// registers and the activations into shared memory.
/// @param rowTables each row has a table of levels of its own: of eight strips they have no room beside the stages with
///   a copy for each of the lanes that read at the same time
constexpr PackedTiles packedTiles(pw_matrix_format format, pw_dtype activation, bool rowTables = false) {
  const int bits = packedLayout(format).codeBits;
  if (activation == PW_I8) return {{{16, 2}, {64, 4}}, 2};
  if (activation == PW_F32) {
    if (rowTables) return {{{8, 2}, {32, 2}}, 2};
    if (format == PW_MATRIX_W4) return {{{8, 2}, {8, 8}, {32, 4}}, 3};
    // Stages of one block along k take fewer registers, which two scales of e4m3 per block and row need.
    return {{{8, 2}, {32, bits == 8 || format == PW_MATRIX_W4N ? 8 : 4}}, 2};
  }
  if (rowTables) return {{{8, 2}, {32, 2}, {64, 4}}, 3};
  return {{{8, 2}, {8, 8}, {16, 2}, {16, bits == 4 ? 16 : 8}, {32, bits == 8 ? 4 : 2}, {64, 4}}, 6};
}

PW_HOST_DEVICE constexpr int packedElementBytes(pw_dtype activation) {
  return activation == PW_F32 ? 4 : activation == PW_I8 ? 1 : 2;
}

/// Bytes of a stage's activations, and of the sums of int8 ones.
PW_HOST_DEVICE constexpr int packedActivationBytes(pw_dtype activation, PackedTile tile) {
  return tile.tokens * (tile.stageColumns() * packedElementBytes(activation) +
                        (activation == PW_I8 ? tile.depth() * static_cast<int>(sizeof(int32_t)) : 0));
}

/// Tables of levels in shared memory, of which each of the lanes that read at the same time has a copy in banks of its
/// own, as far as memory allows. One table of the whole matrix becomes a table of all 256 pairs of levels, so that a
/// look serves two weights. Tables of rows lie [strip][row of the lane's eight][level][eight groups of lanes][copy].
constexpr int kPairTableBytes = 256 * 8;
PW_HOST_DEVICE constexpr int pairTableCopies(PackedTile tile) { return tile.tokens <= 8 ? 16 : 8; }
PW_HOST_DEVICE constexpr int rowTableCopies(PackedTile tile) {
  return tile.tokens <= 8 ? 4 : tile.tokens <= 32 ? 2 : 1;
}
/// Bytes of a level of the tables of rows, for all lanes, and of all 16.
PW_HOST_DEVICE constexpr int rowLevelBytes(PackedTile tile) {
  return kStripRows / kLaneRows * rowTableCopies(tile) * 4;
}
PW_HOST_DEVICE constexpr int rowTableBytes(PackedTile tile) { return 16 * rowLevelBytes(tile); }

/// Bytes of a kernel's tables of levels.
/// @param rowTables each row has its own
PW_HOST_DEVICE constexpr int sharedLevelBytes(pw_matrix_format format, PackedTile tile, bool rowTables) {
  if (format != PW_MATRIX_W4T) return 0;
  return rowTables ? tile.strips * kLaneRows * rowTableBytes(tile) : pairTableCopies(tile) * kPairTableBytes;
}

PW_HOST_DEVICE constexpr int packedStageBytes(pw_matrix_format format, pw_dtype activation, PackedTile tile) {
  const PackedLayout layout = packedLayout(format);
  return tile.strips * (tile.depth() * layout.blockBytes() + layout.superHeaderBytes) +
         packedActivationBytes(activation, tile);
}

/// Stages of 64 tokens by codes of eight bits are so large that three have more in flight than four of other codes, and
/// so are those of 32 tokens of f32 by tables of rows.
PW_HOST_DEVICE constexpr int packedStages(pw_matrix_format format, pw_dtype activation, PackedTile tile) {
  const bool fit = kPackedStages * packedStageBytes(format, activation, tile) <= kMostPackedSharedBytes;
  return fit ? kPackedStages : kPackedStages - 1;
}

/// Dynamic shared memory of a kernel.
PW_HOST_DEVICE constexpr int packedSharedBytes(pw_matrix_format format, pw_dtype activation, PackedTile tile,
                                               bool rowTables) {
  return packedStages(format, activation, tile) * packedStageBytes(format, activation, tile) +
         sharedLevelBytes(format, tile, rowTables);
}

/// Where a lane's int8 activations lie: eight of a row, for both slices of a block. A byte of four 4-bit codes comes
/// from every second nibble of a word, so columns 1 and 2 of four are exchanged.
PW_HOST_DEVICE constexpr int int8Position(int column) {
  const int inBlock = column % kBlockColumns, inSlice = inBlock % kSliceColumns, e = inSlice % 4;
  return column - inBlock + inSlice / 4 * 8 + inBlock / kSliceColumns * 4 + (e % 2 * 2 + e / 2);
}

}  // namespace pw::gpu

/// Rounds rows to the form of int8_rows.h. A block per row.
typedef struct pw_gpu_round_rows_params {
  const void* x;         ///< [m, k]
  const int32_t* order;  ///< [k] or null
  int8_t* codes;         ///< [m, k], in the order of int8Position
  float* scales;         ///< [m]
  int32_t* sums;         ///< [m, k / 32]
  int64_t x_stride;      ///< elements from row to row
  int32_t x_type;        ///< pw_dtype
  int32_t m, k;
} pw_gpu_round_rows_params;
