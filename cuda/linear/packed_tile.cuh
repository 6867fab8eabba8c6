// SPDX-License-Identifier: Apache-2.0
/// @file Shape of a tile, its shared memory, and the way of weights and activations into it.
#pragma once
#include <type_traits>

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
/// @tparam kRowTables_ each row has a table of levels of its own (W4T)
template <int kFormat_, int kActivation_, int kTokens_, int kStrips_, bool kRowTables_ = false>
struct Tile {
  static constexpr bool kRowTables = kRowTables_;
  static constexpr int kFormat = kFormat_, kActivation = kActivation_, kTokens = kTokens_, kTokenTiles = kTokens / 8;
  static constexpr PackedLayout kLayout = packedLayout(static_cast<pw_matrix_format>(kFormat));
  static constexpr int kThreads = kPackedThreads, kWarps = kPackedWarps;
  static constexpr PackedTile kShape{kTokens, kStrips_};
  static constexpr int kStages =
      packedStages(static_cast<pw_matrix_format>(kFormat), static_cast<pw_dtype>(kActivation), kShape);
  static constexpr int kStrips = kShape.strips, kDepth = kShape.depth(), kRows = kShape.rows();
  static constexpr int kBlocks = kStrips * kDepth, kBlockBytes = kLayout.blockBytes();
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
  /// Codes that become whole numbers by masks.
  static constexpr bool kFields = kLayout.codeBits != 8 && kLayout.order == CodeOrder::Fields;
  /// Removing bias and offset from bf16 codes costs more than from f16; sums of activations do it where there are such
  /// anyway and, at the price of two more products per eight, where a tile has few tokens.
  static constexpr bool kBiased = kActivation == PW_BF16 && kFields && (kLayout.offset == 0 || kTokenTiles <= 4);
  /// Codes are subnormal f16 where there are sums of activations anyway, and where there are more bits than masks can
  /// make do with (W6K).
  static constexpr bool kSubnormal =
      kOperand == PW_F16 && !kIntegers && kFields && (kLayout.offset == 0 || kLayout.codeBits == 6);

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
  static constexpr int kTableCopies = pairTableCopies(kShape);
  static_assert(kStages * kStageBytes + sharedLevelBytes(static_cast<pw_matrix_format>(kFormat), kShape, kRowTables) ==
                    packedSharedBytes(static_cast<pw_matrix_format>(kFormat), static_cast<pw_dtype>(kActivation),
                                      kShape, kRowTables),
                "the launcher asks for as much");
  static_assert(kStages * kStageBytes <= kMostPackedSharedBytes, "every device gives a block as much");

  /// At the end of a tile a stage's memory serves for the warps' sums of four tokens.
  static constexpr int kSumStride = kStripRows + 4;  // floats per token
  static_assert(kWarps * 4 * kSumStride * 4 <= kBlocks * kBlockBytes, "the sums leave super headers alone");

  /// A stage's blocks, [depth][strip], are numbered: a warp multiplies number `warp` and every kBlockStep-th from
  /// there.
  static constexpr int kBlockStep = kRowParts == 1 ? kWarps : kStrips;
  __device__ static int firstBlock() { return static_cast<int>(threadIdx.x) / kLanes % kBlockStep; }

  __device__ static constexpr int blockOffset(int block) { return block * kBlockBytes; }
  __device__ static constexpr int superHeaderOffset(int strip) {
    return kBlocks * kBlockBytes + strip * kLayout.superHeaderBytes;
  }
  /// From the super header of a warp's first block to that of its block number `step`.
  __device__ static constexpr int superOffset(int step) {
    return kWarpStrips == 1 ? 0 : step * kBlockStep * kLayout.superHeaderBytes;
  }

  /// Activations of a stage lie [part][token], a part being the columns that an operand has: lanes that read at the
  /// same time, of four tokens (f32: two) next to each other, meet in no bank, and what a lane reads lies at the same
  /// distances for all.
  static constexpr int kPartColumns = kIntegers ? kBlockColumns : kSliceColumns;
  static constexpr int kPartBytes = kPartColumns * kElementBytes;
  /// Byte offset of part `part` for token `token` from the first one's.
  __device__ static constexpr int partOffset(int part, int token) { return (part * kTokens + token) * kPartBytes; }
};

/// Sums of a lane for a strip: [row tile of the warp's][token tile][row g: tokens 2t, 2t + 1; row g + 8: tokens 2t, 2t
/// + 1].
template <class T>
using Sums = float[T::kWarpTiles][T::kTokenTiles][4];

/// The same number, of which the compiler does not know how it came about: it keeps it where it would work it out anew
/// in each turn of a loop.
__device__ inline uint32_t kept(uint32_t x) {
  asm("" : "+r"(x));
  return x;
}

/// Where in a stage a lane finds what it multiplies of the first block that its warp takes: byte offsets, which stages
/// have in common.
template <class T>
struct LanePlace {
  int codes, tail;    ///< vectors of codes, and what follows them
  int halves, bytes;  ///< of the lane's first row: f16 numbers of scales, and what follows in bytes
  int activations;    ///< of the first part
  int sums;           ///< of int8 activations
  uint32_t levels;    ///< an address: the lane's table or copy of one

  /// @param superHalves the f16 numbers are in the super header
  /// @param tables address of the tables of levels
  __device__ LanePlace(bool superHalves, uint32_t tables) {
    const int lane = static_cast<int>(threadIdx.x) % kLanes, g = lane / 4, row = g * kLaneRows;
    const int block = T::firstBlock(), strip = block % T::kStrips, header = T::blockOffset(block);
    const int vectors = header + T::kLayout.headerBytes + lane * kVectorBytes;
    // Worked out anew for each of the blocks that two warps share it would be a large part of what a block takes.
    codes = T::kRowParts == 1 ? vectors : static_cast<int>(kept(static_cast<uint32_t>(vectors)));
    constexpr int kVectors = T::kLayout.laneVectors() * kLanes * kVectorBytes, kRest = T::kLayout.laneWords() % 4 * 4;
    tail = header + T::kLayout.headerBytes + kVectors + lane * kRest;
    halves = (superHalves ? T::superHeaderOffset(strip) : header) + 2 * row;
    bytes = header + row;
    constexpr int kParts = kBlockColumns / T::kPartColumns, kLaneBytes = T::kPartBytes / 4;
    activations = T::kActivationOffset + T::partOffset(block / T::kStrips * kParts, g) + lane % 4 * kLaneBytes;
    // Of tokens 2t, 2t + 1.
    sums = T::kSumOffset + (block / T::kStrips * T::kTokens + lane % 4 * 2) * static_cast<int>(sizeof(int32_t));
    constexpr int kCopies = rowTableCopies(T::kShape);
    levels = tables + (T::kRowTables ? strip * kLaneRows * rowTableBytes(T::kShape) + (g * kCopies + lane % kCopies) * 4
                                     : lane % T::kTableCopies * 8);
  }
};

/// Where super headers are: each is read once, with the first of the two or more stages that it covers, into the place
/// for one that a stage in memory has. Headers take these places by turns: when the next one is copied into a place,
/// the last stage that the previous one covers has been multiplied.
template <class T>
class SuperTurns {
 public:
  /// @param stages the first one's memory
  __device__ explicit SuperTurns(uint8_t* stages) : first_(stages) {}

  /// Goes on to stage number `stage` of a tile. Is it the first one of a header?
  __device__ bool enter(int stage) {
    constexpr int kCovered = kSuperColumns / T::kStageColumns;
    if (at_ && stage % kCovered != 0) return false;
    at_ = at_ && at_ != first_ + (T::kStages - 1) * T::kStageBytes ? at_ + T::kStageBytes : first_;
    return true;
  }
  /// The stage that has the header.
  __device__ uint8_t* stage() const { return at_; }

 private:
  uint8_t *first_, *at_ = nullptr;
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
  /// @param at the first stage to load
  /// @param stages memory of the first of them
  __device__ Loader(const pw_gpu_linear_packed_params& p, const Strips& strips, const Cursor& at, uint8_t* stages)
      : p_(p),
        strips_(strips),
        blocks_(static_cast<int>(blockCount(p.k))),
        policy_(p.token_blocks == 1 ? evictFirst() : evictNormal()),
        to_(kept(lane() * kVectorBytes + T::blockOffset(warp()))),
        superTo_(kept(lane() * kVectorBytes + T::superHeaderOffset(warp() % T::kStrips))),
        superTurns_(stages) {
    enter(at);
  }

  /// Stages are loaded in the order of a cursor.
  __device__ void load(uint8_t* stage, const Cursor& at) {
    if (at.stage == 0) enter(at);
    if constexpr (kSuperBytes > 0)
      if (superTurns_.enter(at.stage)) loadSuperHeaders(static_cast<uint32_t>(at.stage) * T::kDepth);
    loadWeights(sharedAddress(stage), static_cast<uint32_t>(at.stage) * T::kDepth);
    loadActivations(stage, at);
    if constexpr (T::kIntegers) loadSums(stage, at);
  }

 private:
  static constexpr PackedLayout kLayout = T::kLayout;
  static constexpr int kOwn = T::kBlocks / T::kWarps;
  static constexpr int kSuperBlocks = kSuperColumns / kBlockColumns, kBlockBytes = kLayout.blockBytes();
  static constexpr int kSuperBytes = kLayout.superHeaderBytes;

  __device__ static int warp() { return static_cast<int>(threadIdx.x) / kLanes; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kLanes; }

  /// Works out where the warp's blocks of a stage are.
  __device__ void enter(const Cursor& at) {
    constexpr PackedLayout layout = kLayout;
    const int depth = warp() / T::kStrips;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int number = at.column * T::kStrips + (warp() + i * T::kWarps) % T::kStrips;
      const bool exists = number < strips_.count();
      end_[i] = exists ? blocks_ - depth : 0;
      from_[i] = static_cast<const uint8_t*>(p_.weight) +
                 (exists ? blockOffset(layout, p_.k, strips_[number], at.stage * T::kDepth) : 0) + depth * kBlockBytes +
                 lane() * kVectorBytes;
    }
  }

  /// By warps whose blocks are a stage's first ones.
  /// @param first the stage's first block
  __device__ void loadSuperHeaders(uint32_t first) const {
    if (warp() >= T::kStrips || lane() >= kSuperBytes / kVectorBytes) return;
    const uint32_t to = superTo_ + sharedAddress(superTurns_.stage());
#pragma unroll
    for (int i = 0; i < kOwn; ++i)
      if (static_cast<int>(first) < end_[i])
        copyAsync16Hinted<0>(to + i * T::kWarps * kSuperBytes,
                             from_[i] - kSuperBytes - first % kSuperBlocks * kBlockBytes, policy_);
  }

  /// Blocks that the warp itself multiplies, where it multiplies whole ones.
  /// @param stage its address
  /// @param first its first block
  __device__ void loadWeights(uint32_t stage, uint32_t first) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      if (static_cast<int>(first) < end_[i]) copyBlock<0>(to_ + stage + T::blockOffset(i * T::kWarps), from_[i]);
      from_[i] += T::kDepth * kBlockBytes;
      if (kSuperBytes > 0 && (first + T::kDepth) % kSuperBlocks == 0) from_[i] += kSuperBytes;
    }
  }

  /// Vectors of a block from number kFirst on that the lane copies.
  template <int kFirst>
  __device__ void copyBlock(uint32_t to, const uint8_t* from) const {
    constexpr int kLeft = kBlockBytes / kVectorBytes - kFirst;
    if constexpr (kLeft >= kLanes) {
      copyAsync16Hinted<kFirst * kVectorBytes>(to, from, policy_);
      copyBlock<kFirst + kLanes>(to, from);
    } else if constexpr (kLeft > 0) {
      if (static_cast<int>(threadIdx.x) % kLanes < kLeft) copyAsync16Hinted<kFirst * kVectorBytes>(to, from, policy_);
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
      // In the order in which they lie.
      constexpr int kChunks = T::kPartColumns / T::kChunkColumns;
      const int token = i / kChunks % T::kTokens, chunk = i / (kChunks * T::kTokens) * kChunks + i % kChunks;
      const int column = firstColumn + chunk * T::kChunkColumns;
      const bool wanted = firstToken + token < p_.m && column < p_.k;
      const int64_t row = wanted ? (firstToken + token) * p_.x_stride : 0;
      const char* from = static_cast<const char*>(p_.x) + row * T::kElementBytes;
      uint8_t* to = stage + T::kActivationOffset + i * kVectorBytes;
      if (T::kIntegers || p_.x_aligned)
        copyAsync16(to, from + (wanted ? column : 0) * T::kElementBytes, wanted);
      else
        copyElements(to, from, column, wanted ? p_.k - column : 0);
    }
  }

  /// A chunk whose address is a multiple of the element only, or whose elements are not neighbours.
  __device__ void copyElements(uint8_t* to, const char* row, int column, int count) const {
#pragma unroll
    for (int j = 0; j < T::kChunkColumns; ++j) {
      const int i = j < count && p_.order ? p_.order[column + j] : column + j;
      using Element = std::conditional_t<T::kActivation == PW_F32, uint32_t, uint16_t>;
      reinterpret_cast<Element*>(to)[j] = j < count ? reinterpret_cast<const Element*>(row)[i] : Element{0};
    }
  }

  const pw_gpu_linear_packed_params& p_;
  const Strips& strips_;
  int blocks_;
  uint64_t policy_;
  uint32_t to_, superTo_;  ///< where a stage has the lane's part of the warp's first block, and of its super header
  SuperTurns<T> superTurns_;
  int end_[kOwn];              ///< first blocks of stages that have the warp's of a strip lie below
  const uint8_t* from_[kOwn];  ///< the lane's part of the warp's next blocks
};

}  // namespace pw::gpu
