// SPDX-License-Identifier: Apache-2.0
// nvcuda::wmma products of f16, bf16, tf32 and int8, in the fragments' every storage order.
#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>
using namespace nvcuda;

/// One warp a 16x16 tile of C (row-major); A row-major, B column-major, so that k is contiguous in both.
template <typename T, typename Fragment, typename C, int kDepth>
__device__ void gemm(const T* a, const T* b, C* c, int n, int k) {
  wmma::fragment<wmma::matrix_a, 16, 16, kDepth, Fragment, wmma::row_major> left;
  wmma::fragment<wmma::matrix_b, 16, 16, kDepth, Fragment, wmma::col_major> right;
  wmma::fragment<wmma::accumulator, 16, 16, kDepth, C> sum;
  wmma::fill_fragment(sum, C(0));
  const int row = blockIdx.y * 16, column = blockIdx.x * 16;
  for (int p = 0; p < k; p += kDepth) {
    wmma::load_matrix_sync(left, a + row * k + p, k);
    wmma::load_matrix_sync(right, b + column * k + p, k);
    wmma::mma_sync(sum, left, right, sum);
  }
  for (int i = 0; i < sum.num_elements; ++i) sum.x[i] = sum.x[i] * C(2);
  wmma::store_matrix_sync(c + row * n + column, sum, n, wmma::mem_row_major);
}
extern "C" __global__ void gemmHalf(const half* a, const half* b, float* c, int n, int k) {
  gemm<half, half, float, 16>(a, b, c, n, k);
}
extern "C" __global__ void gemmHalfHalf(const half* a, const half* b, half* c, int n, int k) {
  gemm<half, half, half, 16>(a, b, c, n, k);
}
extern "C" __global__ void gemmBf16(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c, int n, int k) {
  gemm<__nv_bfloat16, __nv_bfloat16, float, 16>(a, b, c, n, k);
}
extern "C" __global__ void gemmTf32(const float* a, const float* b, float* c, int n, int k) {
  gemm<float, wmma::precision::tf32, float, 8>(a, b, c, n, k);
}
extern "C" __global__ void gemmInt8(const signed char* a, const signed char* b, int* c, int n, int k) {
  gemm<signed char, signed char, int, 16>(a, b, c, n, k);
}
#else
#include "harness.h"

const int m = 32, n = 48, k = 64;

template <typename T, typename C, typename Encode, typename Decode>
void run(harness::Program& program, const char* name, Encode encode, Decode decode, harness::Report& report) {
  const auto a = harness::randomIntegers<int>(m * k, -8, 8, 3), b = harness::randomIntegers<int>(n * k, -8, 8, 4);
  std::vector<T> left, right;
  for (const int value : a) left.push_back(encode(value));
  for (const int value : b) right.push_back(encode(value));
  harness::Buffer<T> deviceA(left), deviceB(right);
  harness::Buffer<C> deviceC(m * n);
  harness::Launch{program.kernel(name), {n / 16, m / 16}, {32}}(deviceA, deviceB, deviceC, n, k);
  const auto c = deviceC.download();
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      int sum = 0;
      for (int p = 0; p < k; ++p) sum += a[i * k + p] * b[j * k + p];
      // Sums of small integers are exact but in the f16 accumulator, which keeps 11 bits.
      report.near(decode(c[i * n + j]), 2.0 * sum, std::string(name) == "gemmHalfHalf" ? 4 : 0, name, i * n + j);
    }
}

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  const auto same = [](auto value) { return double(value); };
  run<uint16_t, float>(
      program, "gemmHalf", [](int v) { return harness::toHalf(v); }, same, report);
  run<uint16_t, uint16_t>(
      program, "gemmHalfHalf", [](int v) { return harness::toHalf(v); },
      [](uint16_t v) { return double(harness::fromHalf(v)); }, report);
  run<uint16_t, float>(
      program, "gemmBf16", [](int v) { return harness::toBf16(float(v)); }, same, report);
  run<float, float>(
      program, "gemmTf32", [](int v) { return float(v); }, same, report);
  run<signed char, int>(
      program, "gemmInt8", [](int v) { return static_cast<signed char>(v); }, same, report);
  return report.finish();
}
#endif
