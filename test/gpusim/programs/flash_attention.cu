// SPDX-License-Identifier: Apache-2.0
// Textbook flash attention on the tensor cores (Dao et al. 2022): causal, head size 64, f16 in, f32 out, four warps of
// 16 rows.
#ifdef __CUDACC__
#include <cuda_fp16.h>

__device__ unsigned sharedAddress(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }
__device__ half* chunk(half* tile, int row, int c) { return tile + row * 64 + ((c ^ (row & 7)) << 3); }

__device__ void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ void load(unsigned (&r)[4], const half* from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sharedAddress(from)));
}
__device__ void loadTransposed(unsigned (&r)[4], const half* from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sharedAddress(from)));
}
__device__ unsigned pack(float x, float y) {
  const half2 h = __floats2half2_rn(x, y);
  return *reinterpret_cast<const unsigned*>(&h);
}

/// q, k, v: [heads][length][64]; lengths are multiples of 64.
extern "C" __global__ void __launch_bounds__(128)
    attend(const half* q, const half* k, const half* v, float* out, int length, float scale) {
  __shared__ __align__(128) half tileQ[64 * 64], tileK[64 * 64], tileV[64 * 64];
  const int t = threadIdx.x, lane = t % 32, warp = t / 32, block = blockIdx.x;
  const size_t head = size_t(blockIdx.y) * length * 64;
  const auto fetch = [&](half* tile, const half* from) {
    for (int i = t; i < 512; i += 128)
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(sharedAddress(chunk(tile, i / 8, i % 8))),
                   "l"(from + size_t(i / 8) * 64 + i % 8 * 8));
    asm volatile("cp.async.commit_group;");
  };
  fetch(tileQ, q + head + size_t(block) * 64 * 64);
  asm volatile("cp.async.wait_group 0;");
  __syncthreads();
  unsigned queries[4][4];
  for (int p = 0; p < 4; ++p) load(queries[p], chunk(tileQ, warp * 16 + lane % 16, p * 2 + lane / 16));

  float sums[8][4] = {}, maximum[2] = {-INFINITY, -INFINITY}, total[2] = {};
  for (int base = 0; base <= block * 64; base += 64) {
    __syncthreads();
    fetch(tileK, k + head + size_t(base) * 64);
    fetch(tileV, v + head + size_t(base) * 64);
    asm volatile("cp.async.wait_group 1;");
    __syncthreads();
    float scores[8][4] = {};
    for (int p = 0; p < 4; ++p)
      for (int j = 0; j < 8; j += 2) {
        unsigned b[4];
        load(b, chunk(tileK, j * 8 + lane % 8 + lane / 16 * 8, p * 2 + lane / 8 % 2));
        multiply(scores[j], queries[p], b[0], b[1]);
        multiply(scores[j + 1], queries[p], b[2], b[3]);
      }
    for (int h = 0; h < 2; ++h) {
      const int row = block * 64 + warp * 16 + h * 8 + lane / 4;
      float most = maximum[h];
      for (int j = 0; j < 8; ++j)
        for (int e = 0; e < 2; ++e) {
          float& s = scores[j][2 * h + e];
          s = base + j * 8 + lane % 4 * 2 + e <= row ? s * scale : -INFINITY;
          most = fmaxf(most, s);
        }
      most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
      most = fmaxf(most, __shfl_xor_sync(~0u, most, 2));
      const float keep = exp2f(maximum[h] - most);
      maximum[h] = most;
      total[h] *= keep;
      for (int j = 0; j < 8; ++j)
        for (int e = 0; e < 2; ++e) {
          sums[j][2 * h + e] *= keep;
          float& s = scores[j][2 * h + e];
          s = exp2f(s - most);
          total[h] += s;
        }
    }
    asm volatile("cp.async.wait_group 0;");
    __syncthreads();
    for (int p = 0; p < 4; ++p) {
      const unsigned a[4] = {pack(scores[2 * p][0], scores[2 * p][1]), pack(scores[2 * p][2], scores[2 * p][3]),
                             pack(scores[2 * p + 1][0], scores[2 * p + 1][1]),
                             pack(scores[2 * p + 1][2], scores[2 * p + 1][3])};
      for (int j = 0; j < 8; j += 2) {
        unsigned b[4];
        loadTransposed(b, chunk(tileV, p * 16 + lane % 16, j + lane / 16));
        multiply(sums[j], a, b[0], b[1]);
        multiply(sums[j + 1], a, b[2], b[3]);
      }
    }
  }
  for (int h = 0; h < 2; ++h) {
    total[h] += __shfl_xor_sync(~0u, total[h], 1);
    total[h] += __shfl_xor_sync(~0u, total[h], 2);
    const int row = block * 64 + warp * 16 + h * 8 + lane / 4;
    for (int j = 0; j < 8; ++j)
      *reinterpret_cast<float2*>(out + head + size_t(row) * 64 + j * 8 + lane % 4 * 2) =
          make_float2(sums[j][2 * h] / total[h], sums[j][2 * h + 1] / total[h]);
  }
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int heads = 2, length = 128, size = heads * length * 64;
  const auto make = [&](unsigned seed) {
    std::vector<uint16_t> values;
    for (const float value : harness::randomFloats(size, -2, 2, seed)) values.push_back(harness::toHalf(value));
    return values;
  };
  const auto q = make(1), k = make(2), v = make(3);
  harness::Buffer<uint16_t> dq(q), dk(k), dv(v);
  harness::Buffer<float> out(size);
  harness::Launch{program.kernel("attend"), {length / 64, heads}, {128}}(dq, dk, dv, out, length,
                                                                         float(0.125 / std::log(2.0)));
  const auto result = out.download();
  harness::Report report;
  for (int head = 0; head < heads; ++head)
    for (int row = 0; row < length; ++row) {
      const auto at = [&](const std::vector<uint16_t>& x, int r, int c) {
        return double(harness::fromHalf(x[(head * length + r) * 64 + c]));
      };
      std::vector<double> weights;
      double sum = 0;
      for (int j = 0; j <= row; ++j) {
        double score = 0;
        for (int c = 0; c < 64; ++c) score += at(q, row, c) * at(k, j, c);
        weights.push_back(std::exp(score / 8));
        sum += weights.back();
      }
      for (int c = 0; c < 64; ++c) {
        double expected = 0;
        for (int j = 0; j <= row; ++j) expected += weights[j] / sum * at(v, j, c);
        report.near(result[(head * length + row) * 64 + c], expected, 2e-3, "o", (head * length + row) * 64 + c);
      }
    }
  return report.finish();
}
#endif
