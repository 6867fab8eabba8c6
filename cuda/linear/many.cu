// SPDX-License-Identifier: Apache-2.0
/// @file Dense linear layers for many rows of x: tiles in shared memory, with the sums of common.cuh's order.
#include "common/async_copy.cuh"
#include "common/mma.cuh"
#include "common/reduce.cuh"
#include "linear/common.cuh"

namespace pw {
namespace linear {
namespace {

/// Writes the block's tile, out[token][feature] with this pitch: threads of a warp write neighbours of one row.
template <int kFeatures, int kTokens, int kPitch>
__device__ void writeTile(const pw_gpu_linear_params& p, const float* tile, int firstToken, int firstFeature) {
  for (int i = static_cast<int>(threadIdx.x); i < kTokens * kFeatures; i += kThreads) {
    const int token = i / kFeatures, feature = i % kFeatures;
    if (firstToken + token < p.m && firstFeature + feature < p.n)
      writeOutput(p, firstToken + token, firstFeature + feature, tile[token * kPitch + feature]);
  }
}

/// 128 features x 64 tokens on the tensor cores; warps in four rows of 32 features by two columns of 32 tokens. A stage
/// is one block of columns: a row has 64 bytes there, so that the eight lanes that are served together (two rows of
/// four 16-byte pieces) read 128 bytes in a row, without bank conflicts.
template <int kType>
struct HalfTile {
  static constexpr int kFeatures = 128, kTokens = 64, kStages = 4, kPitch = kFeatures + 4;
  union Shared {
    struct {
      uint4 weights[kStages][kFeatures * 4], x[kStages][kTokens * 4];
    };
    float out[kTokens * kPitch];
  };

  const pw_gpu_linear_params& p;
  Shared& shared;
  int firstFeature, firstToken;
  const uint16_t* sources[3];  ///< rows of this thread's pieces: two of the weights, one of x

  __device__ HalfTile(const pw_gpu_linear_params& params, Shared& memory) : p(params), shared(memory) {
    firstToken = static_cast<int>(blockIdx.x) * kTokens;
    firstFeature = static_cast<int>(blockIdx.y) * kFeatures;
    const int row = static_cast<int>(threadIdx.x) / 4;
#pragma unroll
    for (int h = 0; h < 2; ++h)
      sources[h] = static_cast<const uint16_t*>(p.weight) +
                   static_cast<int64_t>(min(firstFeature + 64 * h + row, p.n - 1)) * p.k;
    sources[2] = reinterpret_cast<const uint16_t*>(rowAt(p.x, min(firstToken + row, p.m - 1)).data);
  }

  __device__ void loadPiece(uint4* to, const uint16_t* row, int column) const {
    copyAsync16(to, column < p.k ? row + column : row, column < p.k);
  }

  __device__ void loadStage(int stage, int block) const {
    const int piece = static_cast<int>(threadIdx.x), column = block + 8 * (piece % 4);
#pragma unroll
    for (int h = 0; h < 2; ++h) loadPiece(&shared.weights[stage][piece + kThreads * h], sources[h], column);
    loadPiece(&shared.x[stage][piece], sources[2], column);
  }

  __device__ void run() {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
    const int feature = warp / 2 * 32, token = warp % 2 * 32, g = lane / 4, t = lane % 4;
    const int blocks = (p.k + kBlock - 1) / kBlock, blocksPerSlice = p.sliceLength / kBlock;
    float sum[2][4][4] = {}, total[2][4][4] = {};
#pragma unroll
    for (int s = 0; s < kStages - 1; ++s) {
      if (s < blocks) loadStage(s, s * kBlock);
      commitCopies();
    }
    for (int b = 0; b < blocks; ++b) {
      waitForCopies<kStages - 2>();
      __syncthreads();
      const int next = b + kStages - 1, stage = b % kStages;
      if (next < blocks) loadStage(next % kStages, next * kBlock);
      commitCopies();
      uint4 x[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) x[j] = shared.x[stage][(token + 8 * j + g) * 4 + t];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint4 low = shared.weights[stage][(feature + 16 * i + g) * 4 + t];
        const uint4 high = shared.weights[stage][(feature + 16 * i + 8 + g) * 4 + t];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          mma16x8x16<kType>(sum[i][j], {low.x, high.x, low.y, high.y}, {x[j].x, x[j].y});
          mma16x8x16<kType>(sum[i][j], {low.z, high.z, low.w, high.w}, {x[j].z, x[j].w});
        }
      }
      if ((b + 1) % blocksPerSlice != 0 && b + 1 < blocks) continue;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            total[i][j][e] += sum[i][j][e];
            sum[i][j][e] = 0.0f;
          }
        }
      }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e)
          shared.out[(token + 8 * j + 2 * t + e % 2) * kPitch + feature + 16 * i + 8 * (e / 2) + g] = total[i][j][e];
      }
    }
    __syncthreads();
    writeTile<kFeatures, kTokens, kPitch>(p, shared.out, firstToken, firstFeature);
  }
};

/// 64 features x 64 tokens by f32 multiply-adds; warps in two rows of 32 features by four columns of 16 tokens. Lanes
/// with the same t take the same columns of a block, as in the kernels for few rows, and a lane 8 features x 8 tokens.
/// Both operands lie in shared memory as f32: of a row's eight 16-byte pieces, t and t + 4 are lane t's, exchanged in
/// odd rows so that the eight lanes that are served together never meet in a bank.
struct FloatTile {
  static constexpr int kSide = 64, kPitch = kSide + 1;
  union Shared {
    struct {
      float4 weights[2][kSide * 8], x[2][kSide * 8];
    };
    float out[kSide * kPitch];
  };

  const pw_gpu_linear_params& p;
  Shared& shared;
  int firstFeature, firstToken;
  const char* weights;
  const float* x;

  __device__ FloatTile(const pw_gpu_linear_params& params, Shared& memory) : p(params), shared(memory) {
    firstToken = static_cast<int>(blockIdx.x) * kSide;
    firstFeature = static_cast<int>(blockIdx.y) * kSide;
    const int row = static_cast<int>(threadIdx.x) / 4;
    weights = floatAt(p.weight, p.weightType, static_cast<int64_t>(min(firstFeature + row, p.n - 1)) * p.k);
    x = reinterpret_cast<const float*>(rowAt(p.x, min(firstToken + row, p.m - 1)).data);
  }

  __device__ void load(int block, float (&w)[8], float (&v)[8]) const {
    const int t = static_cast<int>(threadIdx.x) % 4;
    if (p.weightType == PW_F32) {
      loadWeights<PW_F32>(weights, block, t, p.k, w);
      loadColumns<PW_F32>(x, block, t, p.k, v);
      return;
    }
    if (p.weightType == PW_F16)
      loadWeights<PW_F16>(weights, block, t, p.k, w);
    else
      loadWeights<PW_BF16>(weights, block, t, p.k, w);
    loadColumns<PW_F16>(x, block, t, p.k, v);
  }

  __device__ void store(int buffer, const float (&w)[8], const float (&v)[8]) const {
    const int row = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int at = row * 8 + ((t + 4 * h) ^ (row % 2 * 4));
      shared.weights[buffer][at] = make_float4(w[4 * h], w[4 * h + 1], w[4 * h + 2], w[4 * h + 3]);
      shared.x[buffer][at] = make_float4(v[4 * h], v[4 * h + 1], v[4 * h + 2], v[4 * h + 3]);
    }
  }

  __device__ void run() {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp, t = lane % 4;
    const int odd = lane / 4 % 2;  // this lane takes even or odd tokens of the warp's 16
    const int feature = warp / 4 * 32 + lane / 8 * 8, token = warp % 4 * 16 + odd;
    const int blocks = (p.k + kBlock - 1) / kBlock, blocksPerSlice = p.sliceLength / kBlock;
    float sum[8][8] = {}, total[16] = {}, nextWeights[8], nextX[8];
    load(0, nextWeights, nextX);
    for (int b = 0; b < blocks; ++b) {
      const int buffer = b % 2;
      store(buffer, nextWeights, nextX);
      __syncthreads();
      if (b + 1 < blocks) load((b + 1) * kBlock, nextWeights, nextX);
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float4 w[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) w[i] = shared.weights[buffer][(feature + i) * 8 + ((t + 4 * h) ^ (i % 2 * 4))];
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          const float4 v = shared.x[buffer][(token + 2 * j) * 8 + ((t + 4 * h) ^ (odd * 4))];
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            sum[i][j] = fmaf(w[i].x, v.x, sum[i][j]);
            sum[i][j] = fmaf(w[i].y, v.y, sum[i][j]);
            sum[i][j] = fmaf(w[i].z, v.z, sum[i][j]);
            sum[i][j] = fmaf(w[i].w, v.w, sum[i][j]);
          }
        }
      }
      if ((b + 1) % blocksPerSlice == 0 || b + 1 == blocks) addSlice(sum, total, t);
    }
    __syncthreads();
#pragma unroll
    for (int q = 0; q < 16; ++q) shared.out[(token + 2 * (q % 2 * 4 + t)) * kPitch + feature + q / 2] = total[q];
    __syncthreads();
    writeTile<kSide, kSide, kPitch>(p, shared.out, firstToken, firstFeature);
  }

  /// Ends a slice: the four lanes' sums are added, and lane t keeps every fourth one, [i][4 q + t].
  static __device__ void addSlice(float (&sum)[8][8], float (&total)[16], int t) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        float all = sum[i][j];
        all += __shfl_xor_sync(kAllLanes, all, 1);
        all += __shfl_xor_sync(kAllLanes, all, 2);
        if (j % 4 == t) total[2 * i + j / 4] += all;
        sum[i][j] = 0.0f;
      }
    }
  }
};

template <class Tile>
__device__ void multiplyTile(const pw_gpu_linear_params& p) {
  __shared__ typename Tile::Shared shared;
  Tile(p, shared).run();
}

}  // namespace
}  // namespace linear
}  // namespace pw

/// Activations of f32 over weights of any type.
extern "C" __global__ void __launch_bounds__(pw::linear::kThreads)
    pw_linear_many_x32(const __grid_constant__ pw_gpu_linear_params p) {
  pw::linear::multiplyTile<pw::linear::FloatTile>(p);
}

// Activations and weights of one 16-bit type.
extern "C" __global__ void __launch_bounds__(pw::linear::kThreads)
    pw_linear_many_f16(const __grid_constant__ pw_gpu_linear_params p) {
  pw::linear::multiplyTile<pw::linear::HalfTile<PW_F16>>(p);
}
extern "C" __global__ void __launch_bounds__(pw::linear::kThreads)
    pw_linear_many_bf16(const __grid_constant__ pw_gpu_linear_params p) {
  pw::linear::multiplyTile<pw::linear::HalfTile<PW_BF16>>(p);
}
