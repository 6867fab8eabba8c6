// SPDX-License-Identifier: Apache-2.0
/// @file Shape of a tile, its shared memory, and the way of weights and activations into it.
#pragma once
#include "common/async_copy.cuh"
#include "common/dtype.cuh"
#include "pagewarp/gpu/linear_packed.h"
#include "pagewarp/gpu/matrix_layout.h"

namespace pw::gpu {

/// How a block of eight warps multiplies: kStrips strips of 64 rows by kDepth blocks of 32 columns per stage, by 8
/// kTokenTiles tokens. A warp takes one block of the layout for all tokens; or, when its sums for all of them would not
/// fit into registers, half of the tokens for all blocks of a strip.
/// @tparam kFormat_ pw_matrix_format
/// @tparam kActivation_ pw_dtype of x
template <int kFormat_, int kActivation_, int kTokenTiles_>
struct Tile {
  static constexpr int kFormat = kFormat_, kActivation = kActivation_, kTokenTiles = kTokenTiles_;
  static constexpr PackedLayout kLayout = packedLayout(static_cast<pw_matrix_format>(kFormat));
  static constexpr int kThreads = kPackedThreads, kWarps = kThreads / kLanes, kStages = kPackedStages;
  static constexpr int kStrips =
      packedStrips(static_cast<pw_matrix_format>(kFormat), static_cast<pw_dtype>(kActivation), kTokenTiles);
  static constexpr int kDepth = kWarps / kStrips;
  static constexpr int kTokenGroups = kTokenTiles <= 4 ? 1 : 2;
  static constexpr int kWarpTokenTiles = kTokenTiles / kTokenGroups, kWarpDepth = kTokenGroups == 1 ? 1 : kDepth;
  static_assert(kTokenGroups == 1 || kTokenGroups == kDepth, "as many warps per strip as there are shares of its work");
  static constexpr int kRows = kStrips * kStripRows, kTokens = kTokenTiles * 8;
  static constexpr int kStageColumns = kDepth * kBlockColumns;

  /// f32 activations are multiplied as the exact sum of three bf16.
  static constexpr int kOperand = kActivation == PW_F16 ? PW_F16 : PW_BF16;
  static constexpr int kTerms = kActivation == PW_F32 ? 3 : 1;
  /// Removing bias and offset from bf16 codes costs more than from f16; where a tile has few tokens, sums of
  /// activations do it at the price of two more products per eight.
  static constexpr bool kBiased = kActivation == PW_BF16 && kTokenTiles <= 2 && kLayout.codeBits != 8;

  static constexpr int kElementBytes = packedElementBytes(static_cast<pw_dtype>(kActivation));
  static constexpr int kRowChunks = kStageColumns * kElementBytes / 16;  // of 16 bytes, per token
  static constexpr int kChunkColumns = 16 / kElementBytes;

  // A stage in shared memory: a block per warp, a super header per strip, activations.
  static constexpr int kActivationOffset = kWarps * kLayout.blockBytes() + kStrips * kLayout.superHeaderBytes;
  static constexpr int kStageBytes = kActivationOffset + kTokens * kRowChunks * 16;
  static constexpr bool kLevels = kFormat == PW_MATRIX_W4T;  // tables of levels follow the stages
  static_assert(kStages * kStageBytes + (kLevels ? kRows * kLevelStride * 4 : 0) ==
                    packedSharedBytes(static_cast<pw_matrix_format>(kFormat), static_cast<pw_dtype>(kActivation),
                                      kTokenTiles),
                "the launcher asks for as much");
  static_assert(kStages * kStageBytes <= 99 << 10, "sm_86 and its successors give a block no more");

  /// At the end of a tile a stage's memory serves for the warps' sums of four tokens.
  static constexpr int kSumStride = kStripRows + 4;  // floats per token
  static_assert(kWarps * 4 * kSumStride * 4 <= kStageBytes, "the sums fit");

  __device__ static constexpr int blockOffset(int strip, int depth) {
    return (depth * kStrips + strip) * kLayout.blockBytes();
  }
  __device__ static constexpr int superHeaderOffset(int strip) {
    return kWarps * kLayout.blockBytes() + strip * kLayout.superHeaderBytes;
  }

  /// Byte offset of a 16-byte chunk of a token's activations. The exclusive or spreads the tokens that a warp reads at
  /// once over all banks: four of them, 32 bytes each, or for f32 two, 64 bytes each.
  __device__ static int chunkOffset(int token, int chunk) {
    const int swizzled = kActivation == PW_F32 ? chunk ^ (token % 2 * 4) : chunk ^ (token % 4 * 2);
    return kActivationOffset + (token * kRowChunks + swizzled) * 16;
  }
};

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

/// Copies stages into shared memory: one group of asynchronous copies each.
template <class T>
class Loader {
 public:
  __device__ Loader(const pw_gpu_linear_packed_params& p, uint8_t* shared)
      : p_(p),
        shared_(shared),
        strips_(static_cast<int>(stripCount(p.n))),
        blocks_(static_cast<int>(blockCount(p.k))),
        policy_(p.token_blocks == 1 ? evictFirst() : evictNormal()) {}

  __device__ void load(int slot, const Cursor& at) const {
    uint8_t* stage = shared_ + slot * T::kStageBytes;
    loadWeights(stage, at);
    loadActivations(stage, at);
  }

 private:
  /// A block per warp, where a warp multiplies one its own: then what a lane reads of the codes is what it has copied.
  __device__ void loadWeights(uint8_t* stage, const Cursor& at) const {
    const int warp = static_cast<int>(threadIdx.x) / kLanes, lane = static_cast<int>(threadIdx.x) % kLanes;
    const int strip = at.column * T::kStrips + warp % T::kStrips, depth = warp / T::kStrips;
    const int block = at.stage * T::kDepth + depth;
    if (strip >= strips_ || block >= blocks_) return;
    constexpr PackedLayout kLayout = T::kLayout;
    constexpr int kHeaderVectors = kLayout.headerBytes / kVectorBytes,
                  kVectors = kLayout.codeBytes() / (kLanes * kVectorBytes);
    const auto* weight = static_cast<const uint8_t*>(p_.weight);
    const uint8_t* from = weight + blockOffset(kLayout, p_.k, strip, block) + lane * kVectorBytes;
    uint8_t* to = stage + T::blockOffset(warp % T::kStrips, depth) + lane * kVectorBytes;
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
        copyAsync16Hinted(stage + T::superHeaderOffset(warp % T::kStrips) + lane * kVectorBytes,
                          weight + superHeaderOffset(kLayout, p_.k, strip, block) + lane * kVectorBytes, policy_);
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
      const char* from = floatAt(p_.x, p_.x_type, wanted ? (firstToken + token) * p_.x_stride : 0);
      uint8_t* to = stage + T::chunkOffset(token, chunk);
      if (p_.x_aligned)
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
  uint8_t* shared_;
  int strips_, blocks_;
  uint64_t policy_;
};

}  // namespace pw::gpu
