// SPDX-License-Identifier: Apache-2.0
/// @file Shape of a tile, its shared memory, and the way of weights and activations into it.
#pragma once
#include "common/async_copy.cuh"
#include "common/dtype.cuh"
#include "pagewarp/gpu/linear_packed.h"
#include "pagewarp/gpu/matrix_layout.h"

namespace pw::gpu {

/// How a block of eight warps multiplies: kStrips strips of 64 rows by kDepth blocks of 32 columns per stage, by 8
/// kTokenTiles tokens. A warp takes a block of the layout, or two of different strips, for all tokens; or, when its
/// sums for all of them would not fit into registers, half of the row tiles of all blocks of a strip. So each weight is
/// made an operand once.
/// @tparam kFormat_ pw_matrix_format
/// @tparam kActivation_ pw_dtype of x
template <int kFormat_, int kActivation_, int kTokens_, int kStrips_>
struct Tile {
  static constexpr int kFormat = kFormat_, kActivation = kActivation_, kTokens = kTokens_, kTokenTiles = kTokens / 8;
  static constexpr PackedLayout kLayout = packedLayout(static_cast<pw_matrix_format>(kFormat));
  static constexpr int kThreads = kPackedThreads, kWarps = kPackedWarps, kStages = kPackedStages;
  static constexpr PackedTile kShape{kTokens, kStrips_};
  static constexpr int kStrips = kShape.strips, kDepth = kShape.depth(), kRows = kShape.rows();
  static constexpr int kBlocks = kStrips * kDepth;
  static constexpr int kRowParts = kTokenTiles <= 4 ? 1 : 2, kWarpTiles = 4 / kRowParts;
  /// Strips that a warp has sums of, and those that all warps have at a time.
  static constexpr int kWarpStrips = kStrips < kWarps ? 1 : kStrips / kWarps, kRoundStrips = kStrips / kWarpStrips;
  static_assert(kRowParts == 1 ? kBlocks == kWarpStrips * kWarps : kStrips * kRowParts == kWarps,
                "all warps have as much to do");
  /// Warps that have sums of the same rows, along k.
  static constexpr int kSharing = kRowParts == 1 ? kDepth : 1;
  static constexpr int kStageColumns = kShape.stageColumns();

  /// Integer activations are multiplied as they are; f32 ones as the exact sum of three bf16.
  static constexpr bool kIntegers = kActivation == PW_I8;
  static constexpr int kOperand = kActivation == PW_F16 ? PW_F16 : PW_BF16;
  static constexpr int kTerms = kActivation == PW_F32 ? 3 : 1;
  /// Removing bias and offset from bf16 codes costs more than from f16; where a tile has few tokens, sums of
  /// activations do it at the price of two more products per eight.
  static constexpr bool kBiased = kActivation == PW_BF16 && kTokenTiles <= 4 && kLayout.codeBits != 8;

  static constexpr int kElementBytes = packedElementBytes(static_cast<pw_dtype>(kActivation));
  static constexpr int kRowChunks = kStageColumns * kElementBytes / 16;  // of 16 bytes, per token
  static constexpr int kChunkColumns = 16 / kElementBytes;

  // A stage in shared memory: blocks, a super header per strip, activations.
  static constexpr int kActivationOffset = kBlocks * kLayout.blockBytes() + kStrips * kLayout.superHeaderBytes;
  static constexpr int kSumOffset =
      kActivationOffset + kTokens * kRowChunks * 16;  // [depth][token], of int8 activations
  static constexpr int kStageBytes =
      kActivationOffset + packedActivationBytes(static_cast<pw_dtype>(kActivation), kShape);
  static constexpr bool kLevels = kFormat == PW_MATRIX_W4T;  // tables of levels follow the stages
  static_assert(kStages * kStageBytes + (kLevels ? kRows * kLevelStride * 4 : 0) ==
                    packedSharedBytes(static_cast<pw_matrix_format>(kFormat), static_cast<pw_dtype>(kActivation),
                                      kShape),
                "the launcher asks for as much");
  static_assert(kStages * kStageBytes <= 99 << 10, "sm_86 and its successors give a block no more");

  /// At the end of a tile a stage's memory serves for the warps' sums of four tokens.
  static constexpr int kSumStride = kStripRows + 4;  // floats per token
  static_assert(kWarps * 4 * kSumStride * 4 <= kStageBytes, "the sums fit");

  __device__ static constexpr int blockOffset(int strip, int depth) {
    return (depth * kStrips + strip) * kLayout.blockBytes();
  }
  __device__ static constexpr int superHeaderOffset(int strip) {
    return kBlocks * kLayout.blockBytes() + strip * kLayout.superHeaderBytes;
  }

  /// Byte offset of a 16-byte chunk of a token's activations. The exclusive or spreads the tokens that a warp reads at
  /// once over all banks: four of them, 32 bytes each, or for f32 two, 64 bytes each.
  __device__ static int chunkOffset(int token, int chunk) {
    static_assert(kTokenBytes >= 64, "two tokens at most begin at the same bank");
    const int swizzled = kActivation == PW_F32 ? chunk ^ (token % 2 * 4)
                         : kTokenBytes >= 128  ? chunk ^ (token % 4 * 2)
                                               : chunk ^ (token % 4 / 2 * 2);
    return kActivationOffset + token * kTokenBytes + swizzled * 16;
  }
  static constexpr int kTokenBytes = kRowChunks * 16;

  /// Byte offset of the lane's activations of a slice (or, of int8 ones, of a block); those of the next token tile are
  /// 8 kTokenBytes further on, since the exclusive or repeats sooner than that.
  __device__ static int operandOffset(int lane, int depth, int slice) {
    const int laneBytes = kIntegers ? 8 : 4 * kElementBytes;
    const int byte = (depth * kBlockColumns + slice * kSliceColumns) * kElementBytes + lane % 4 * laneBytes;
    return chunkOffset(lane / 4, byte / 16) + byte % 16;
  }
};

/// Sums of a lane for a strip: [row tile of the warp's][token tile][row g: tokens 2t, 2t + 1; row g + 8: tokens 2t, 2t
/// + 1].
template <class T>
using Sums = float[T::kWarpTiles][T::kTokenTiles][4];

/// Where the work stands: tiles in the order (column, token block), stages along k within a tile.
struct Cursor {
  int column, tokenBlock, stage;

  __device__ Cursor(const pw_gpu_linear_packed_params& p, int iteration) {
    const int tile = iteration / p.stages;
    stage = iteration - tile * p.stages;
    column = tile / p.token_blocks;
    tokenBlock = tile - column * p.token_blocks;
  }
  __device__ void advance(const pw_gpu_linear_packed_params& p) {
    if (++stage < p.stages) return;
    stage = 0;
    if (++tokenBlock < p.token_blocks) return;
    tokenBlock = 0;
    ++column;
  }
};

/// The strips of a matrix in the order in which tiles take them. A gated layer's go by turns, one of the gate and one
/// of the other half: a tile has both factors of its results.
class Strips {
 public:
  __device__ explicit Strips(const pw_gpu_linear_packed_params& p)
      : count_(static_cast<int>(stripCount(p.n))), half_(p.gated ? count_ / 2 : 0) {}
  __device__ int count() const { return count_; }
  /// Where the matrix has strip number `i` of that order.
  __device__ int operator[](int i) const { return half_ == 0 ? i : i / 2 + i % 2 * half_; }

 private:
  int count_, half_;
};

/// Copies stages into shared memory: one group of asynchronous copies each.
template <class T>
class Loader {
 public:
  __device__ Loader(const pw_gpu_linear_packed_params& p, const Strips& strips, uint8_t* shared)
      : p_(p),
        strips_(strips),
        shared_(shared),
        blocks_(static_cast<int>(blockCount(p.k))),
        policy_(p.token_blocks == 1 ? evictFirst() : evictNormal()) {}

  __device__ void load(int slot, const Cursor& at) const {
    uint8_t* stage = shared_ + slot * T::kStageBytes;
    loadWeights(stage, at);
    loadActivations(stage, at);
    if constexpr (T::kIntegers) loadSums(stage, at);
  }

 private:
  /// Blocks that the warp itself multiplies, where it multiplies whole ones: a lane then reads codes that it has
  /// copied.
  __device__ void loadWeights(uint8_t* stage, const Cursor& at) const {
    const int warp = static_cast<int>(threadIdx.x) / kLanes;
#pragma unroll
    for (int i = 0; i < T::kBlocks / T::kWarps; ++i) {
      const int local = warp + i * T::kWarps, strip = local % T::kStrips, depth = local / T::kStrips;
      const int number = at.column * T::kStrips + strip, block = at.stage * T::kDepth + depth;
      if (number < strips_.count() && block < blocks_) loadBlock(stage, strips_[number], block, strip, depth);
    }
  }

  __device__ void loadBlock(uint8_t* stage, int64_t fromStrip, int fromBlock, int strip, int depth) const {
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    constexpr PackedLayout kLayout = T::kLayout;
    constexpr int kHeaderVectors = kLayout.headerBytes / kVectorBytes,
                  kVectors = kLayout.codeBytes() / (kLanes * kVectorBytes);
    const auto* weight = static_cast<const uint8_t*>(p_.weight);
    const uint8_t* from = weight + blockOffset(kLayout, p_.k, fromStrip, fromBlock) + lane * kVectorBytes;
    uint8_t* to = stage + T::blockOffset(strip, depth) + lane * kVectorBytes;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      constexpr int kStep = kLanes * kVectorBytes;
      copyAsync16Hinted(to + kLayout.headerBytes + v * kStep, from + kLayout.headerBytes + v * kStep, policy_);
    }
    // What is left of 5-bit codes.
    constexpr int kDone = kLayout.headerBytes + kVectors * kLanes * kVectorBytes;
    if (lane < (kLayout.blockBytes() - kDone) / kVectorBytes) copyAsync16Hinted(to + kDone, from + kDone, policy_);
    if (lane < kHeaderVectors) copyAsync16Hinted(to, from, policy_);
    if constexpr (kLayout.superHeaderBytes > 0) {
      if (depth == 0 && lane < kLayout.superHeaderBytes / kVectorBytes)
        copyAsync16Hinted(stage + T::superHeaderOffset(strip) + lane * kVectorBytes,
                          weight + superHeaderOffset(kLayout, p_.k, fromStrip, fromBlock) + lane * kVectorBytes,
                          policy_);
    }
  }

  /// Sums of int8 activations, zeros likewise.
  __device__ void loadSums(uint8_t* stage, const Cursor& at) const {
    for (int i = static_cast<int>(threadIdx.x); i < T::kTokens * T::kDepth; i += T::kThreads) {
      const int token = at.tokenBlock * T::kTokens + i % T::kTokens, block = at.stage * T::kDepth + i / T::kTokens;
      const bool wanted = token < p_.m && block < blocks_;
      copyAsync4(stage + T::kSumOffset + 4 * i,
                 p_.x_sums + (wanted ? static_cast<int64_t>(token) * blocks_ + block : 0), wanted);
    }
  }

  /// Zeros past k and past the last token.
  __device__ void loadActivations(uint8_t* stage, const Cursor& at) const {
    const int firstColumn = at.stage * T::kStageColumns, firstToken = at.tokenBlock * T::kTokens;
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < T::kTokens * T::kRowChunks; i += T::kThreads) {
      const int token = i / T::kRowChunks, chunk = i % T::kRowChunks;
      const int column = firstColumn + chunk * T::kChunkColumns;
      const bool wanted = firstToken + token < p_.m && column < p_.k;
      const int64_t row = wanted ? (firstToken + token) * p_.x_stride : 0;
      const char* from = T::kIntegers ? static_cast<const char*>(p_.x) + row : floatAt(p_.x, p_.x_type, row);
      uint8_t* to = stage + T::chunkOffset(token, chunk);
      if (T::kIntegers || p_.x_aligned)
        copyAsync16(to, from + (wanted ? column : 0) * T::kElementBytes, wanted);
      else
        copyElements(to, from, column, wanted ? p_.k - column : 0);
    }
  }

  /// A chunk whose address is a multiple of the element only, whose elements are not neighbours, or not of the type
  /// that is multiplied.
  __device__ void copyElements(uint8_t* to, const char* row, int column, int count) const {
#pragma unroll
    for (int j = 0; j < T::kChunkColumns; ++j) {
      const int i = j < count && p_.order ? p_.order[column + j] : column + j;
      if constexpr (T::kActivation == PW_F32)
        reinterpret_cast<float*>(to)[j] = j < count ? loadFloat(row, p_.x_type, i) : 0.0f;
      else
        reinterpret_cast<uint16_t*>(to)[j] = j < count ? reinterpret_cast<const uint16_t*>(row)[i] : uint16_t{0};
    }
  }

  const pw_gpu_linear_packed_params& p_;
  const Strips& strips_;
  uint8_t* shared_;
  int blocks_;
  uint64_t policy_;
};

}  // namespace pw::gpu
