// SPDX-License-Identifier: Apache-2.0
// f16 GEMM by mma.sync: cp.async double buffering, XOR-swizzled tiles, ldmatrix for A and transposed ldmatrix for B.
#ifdef __CUDACC__
#include <cuda_fp16.h>

__device__ unsigned sharedAddress(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }
__device__ void copy16(void* to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(sharedAddress(to)), "l"(from));
}
__device__ void commit() { asm volatile("cp.async.commit_group;"); }
template <int kPending>
__device__ void wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending));
}

/// Tiles are rows of 64 halves; 16-byte chunk c of row r lies at chunk c ^ (r % 8).
__device__ half* chunk(half* tile, int row, int c) { return tile + row * 64 + ((c ^ (row & 7)) << 3); }

/// C[m][n] = A[m][k] B[k][n]; a block of four warps makes 64x64, a warp 32x32. m, n, k are multiples of 64.
extern "C" __global__ void __launch_bounds__(128) gemm(const half* a, const half* b, float* c, int n, int k) {
  __shared__ __align__(128) half left[2][64 * 64], right[2][64 * 64];
  const int t = threadIdx.x, lane = t % 32, warp = t / 32;
  const int row0 = blockIdx.y * 64, column0 = blockIdx.x * 64;
  const int warpRow = warp / 2 * 32, warpColumn = warp % 2 * 32;
  const auto fetch = [&](int stage, int base) {
    for (int i = t; i < 512; i += 128) {
      const int row = i / 8, column = i % 8;
      copy16(chunk(left[stage], row, column), a + size_t(row0 + row) * k + base + column * 8);
      copy16(chunk(right[stage], row, column), b + size_t(base + row) * n + column0 + column * 8);
    }
    commit();
  };
  float sum[2][4][4] = {};
  fetch(0, 0);
  for (int base = 0, stage = 0; base < k; base += 64, stage ^= 1) {
    if (base + 64 < k) {
      fetch(stage ^ 1, base + 64);
      wait<1>();
    } else {
      wait<0>();
    }
    __syncthreads();
    for (int p = 0; p < 64; p += 16) {
      unsigned x[2][4], y[4][2];
      for (int i = 0; i < 2; ++i) {
        const half* from = chunk(left[stage], warpRow + i * 16 + lane % 16, p / 8 + lane / 16);
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(x[i][0]), "=r"(x[i][1]), "=r"(x[i][2]), "=r"(x[i][3])
                     : "r"(sharedAddress(from)));
      }
      for (int j = 0; j < 4; j += 2) {
        const half* from = chunk(right[stage], p + lane % 16, (warpColumn + j * 8) / 8 + lane / 16);
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(y[j][0]), "=r"(y[j][1]), "=r"(y[j + 1][0]), "=r"(y[j + 1][1])
                     : "r"(sharedAddress(from)));
      }
      for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 4; ++j)
          asm volatile(
              "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
              : "+f"(sum[i][j][0]), "+f"(sum[i][j][1]), "+f"(sum[i][j][2]), "+f"(sum[i][j][3])
              : "r"(x[i][0]), "r"(x[i][1]), "r"(x[i][2]), "r"(x[i][3]), "r"(y[j][0]), "r"(y[j][1]));
    }
    __syncthreads();
  }
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 4; ++j)
      for (int h = 0; h < 2; ++h) {
        const int row = row0 + warpRow + i * 16 + h * 8 + lane / 4,
                  column = column0 + warpColumn + j * 8 + lane % 4 * 2;
        *reinterpret_cast<float2*>(c + size_t(row) * n + column) = make_float2(sum[i][j][2 * h], sum[i][j][2 * h + 1]);
      }
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int m = 64, n = 128, k = 192;
  const auto a = harness::randomFloats(m * k, -1, 1, 1), b = harness::randomFloats(k * n, -1, 1, 2);
  std::vector<uint16_t> halfA, halfB;
  for (const float value : a) halfA.push_back(harness::toHalf(value));
  for (const float value : b) halfB.push_back(harness::toHalf(value));
  harness::Buffer<uint16_t> left(halfA), right(halfB);
  harness::Buffer<float> out(m * n);
  harness::Launch{program.kernel("gemm"), {n / 64, m / 64}, {128}}(left, right, out, n, k);
  const auto c = out.download();
  harness::Report report;
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int p = 0; p < k; ++p)
        sum += double(harness::fromHalf(halfA[i * k + p])) * harness::fromHalf(halfB[p * n + j]);
      report.near(c[i * n + j], sum, 1e-4, "c", i * n + j);
    }
  return report.finish();
}
#endif
