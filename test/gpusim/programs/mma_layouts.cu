// SPDX-License-Identifier: Apache-2.0
// The compiler's own use of fragment layouts: nvcuda::wmma products, whose layout nvcc hides, against the same tiles
// through ldmatrix and mma.sync, and element-wise edits of fragments, in both storage orders, for f16, bf16, tf32 and
// int8.
#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>
using namespace nvcuda;

template <typename T, typename Fragment, typename C, int kM, int kN, int kK, typename OrderA, typename OrderB>
__device__ void product(const T* a, const T* b, C* c) {
  wmma::fragment<wmma::matrix_a, kM, kN, kK, Fragment, OrderA> left;
  wmma::fragment<wmma::matrix_b, kM, kN, kK, Fragment, OrderB> right;
  wmma::fragment<wmma::accumulator, kM, kN, kK, C> sum;
  constexpr bool rowA = std::is_same<OrderA, wmma::row_major>::value;
  constexpr bool rowB = std::is_same<OrderB, wmma::row_major>::value;
  wmma::load_matrix_sync(left, a, rowA ? kK : kM);
  wmma::load_matrix_sync(right, b, rowB ? kN : kK);
  wmma::fill_fragment(sum, C(0));
  wmma::mma_sync(sum, left, right, sum);
  wmma::store_matrix_sync(c, sum, kN, wmma::mem_row_major);
}

#define KERNEL(name, T, F, C, M, N, K, A, B)                                                    \
  extern "C" __global__ void name(const T* a, const T* b, C* c) {                               \
    product<T, F, C, M, N, K, wmma::A, wmma::B>(a + blockIdx.x * M * K, b + blockIdx.x * K * N, \
                                                c + blockIdx.x * M * N);                        \
  }
#define ORDERS(name, T, F, C, M, N, K)                      \
  KERNEL(name##_rc, T, F, C, M, N, K, row_major, col_major) \
  KERNEL(name##_rr, T, F, C, M, N, K, row_major, row_major) \
  KERNEL(name##_cc, T, F, C, M, N, K, col_major, col_major) \
  KERNEL(name##_cr, T, F, C, M, N, K, col_major, row_major)
ORDERS(half_16x16, half, half, float, 16, 16, 16)
ORDERS(half_32x8, half, half, float, 32, 8, 16)
ORDERS(half_8x32, half, half, float, 8, 32, 16)
ORDERS(bf16_16x16, __nv_bfloat16, __nv_bfloat16, float, 16, 16, 16)
ORDERS(bf16_32x8, __nv_bfloat16, __nv_bfloat16, float, 32, 8, 16)
ORDERS(bf16_8x32, __nv_bfloat16, __nv_bfloat16, float, 8, 32, 16)
ORDERS(tf32_16x16, float, wmma::precision::tf32, float, 16, 16, 8)
ORDERS(s8_16x16, signed char, signed char, int, 16, 16, 16)
ORDERS(s8_32x8, signed char, signed char, int, 32, 8, 16)
ORDERS(s8_8x32, signed char, signed char, int, 8, 32, 16)
ORDERS(u8_16x16, unsigned char, unsigned char, int, 16, 16, 16)
ORDERS(f64_8x8, double, double, double, 8, 8, 4)

/// The same 16x16x16 half product through ldmatrix (plain for A, transposed for a row-major B) and two mma.sync.
extern "C" __global__ void ldmatrix_16x16(const half* a, const half* b, float* c) {
  __shared__ __align__(16) half left[256], right[256];
  const int lane = threadIdx.x;
  a += blockIdx.x * 256, b += blockIdx.x * 256, c += blockIdx.x * 256;
  for (int i = lane; i < 256; i += 32) left[i] = a[i], right[i] = b[i];
  __syncwarp();
  unsigned x[4], y[4];
  const auto address = [](const half* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); };
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(address(left + lane % 16 * 16 + lane / 16 * 8)));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(y[0]), "=r"(y[1]), "=r"(y[2]), "=r"(y[3])
               : "r"(address(right + lane % 16 * 16 + lane / 16 * 8)));
  for (int j = 0; j < 2; ++j) {
    float d[4] = {};
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[2 * j]), "r"(y[2 * j + 1]));
    for (int i = 0; i < 4; ++i) c[(lane / 4 + i / 2 * 8) * 16 + j * 8 + lane % 4 * 2 + i % 2] = d[i];
  }
}
#else
#include "harness.h"

static harness::Report report;

/// One-hot A against a numbered B for every element of A, then the other way round.
template <typename T, typename C, typename Encode>
void run(harness::Program& program, const std::string& name, int m, int n, int k, bool rowA, bool rowB, Encode encode) {
  const int tests = m * k + k * n;
  std::vector<T> a(size_t(tests) * m * k), b(size_t(tests) * k * n);
  std::vector<int> expected(size_t(tests) * m * n);
  for (int test = 0; test < tests; ++test) {
    const auto left = [&](int i, int p) { return test < m * k ? int(i * k + p == test) : (i * 7 + p * 3) % 11; };
    const auto right = [&](int p, int j) {
      return test < m * k ? (p * 5 + j * 3) % 13 : int(p * n + j == test - m * k);
    };
    for (int i = 0; i < m; ++i)
      for (int p = 0; p < k; ++p) a[size_t(test) * m * k + (rowA ? i * k + p : p * m + i)] = encode(left(i, p));
    for (int p = 0; p < k; ++p)
      for (int j = 0; j < n; ++j) b[size_t(test) * k * n + (rowB ? p * n + j : j * k + p)] = encode(right(p, j));
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < n; ++j)
        for (int p = 0; p < k; ++p) expected[(size_t(test) * m + i) * n + j] += left(i, p) * right(p, j);
  }
  harness::Buffer<T> deviceA(a), deviceB(b);
  harness::Buffer<C> deviceC(expected.size());
  harness::Launch{program.kernel(name.c_str()), {unsigned(tests)}, {32}}(deviceA, deviceB, deviceC);
  const auto c = deviceC.download();
  for (size_t i = 0; i < c.size(); ++i) report.equal(double(c[i]), double(expected[i]), name.c_str(), i);
}

template <typename T, typename C, typename Encode>
void orders(harness::Program& program, const std::string& name, int m, int n, int k, Encode encode) {
  run<T, C>(program, name + "_rc", m, n, k, true, false, encode);
  run<T, C>(program, name + "_rr", m, n, k, true, true, encode);
  run<T, C>(program, name + "_cc", m, n, k, false, false, encode);
  run<T, C>(program, name + "_cr", m, n, k, false, true, encode);
}

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const auto half = [](int v) { return harness::toHalf(v); };
  const auto bfloat = [](int v) { return harness::toBf16(float(v)); };
  const auto plain = [](auto zero) { return [zero](int v) { return static_cast<decltype(zero)>(v); }; };
  const int shapes[3][2] = {{16, 16}, {32, 8}, {8, 32}};
  for (const auto& [m, n] : shapes) {
    const std::string shape = "_" + std::to_string(m) + "x" + std::to_string(n);
    orders<uint16_t, float>(program, "half" + shape, m, n, 16, half);
    orders<uint16_t, float>(program, "bf16" + shape, m, n, 16, bfloat);
    orders<signed char, int>(program, "s8" + shape, m, n, 16, plain(static_cast<signed char>(0)));
  }
  orders<unsigned char, int>(program, "u8_16x16", 16, 16, 16, plain(static_cast<unsigned char>(0)));
  orders<float, float>(program, "tf32_16x16", 16, 16, 8, plain(0.0f));
  orders<double, double>(program, "f64_8x8", 8, 8, 4, plain(0.0));
  run<uint16_t, float>(program, "ldmatrix_16x16", 16, 16, 16, true, true, half);
  return report.finish();
}
#endif
