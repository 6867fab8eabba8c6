// SPDX-License-Identifier: Apache-2.0
// Architecture: sm_89
// fp8 conversions of cuda_fp8.h on sm_89, and an e4m3 product on the tensor cores.
#ifdef __CUDACC__
#include <cuda_fp16.h>
#include <cuda_fp8.h>

extern "C" __global__ void convert(const float2* in, unsigned short* e4m3, unsigned short* e5m2, float2* back, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  e4m3[i] = __nv_cvt_float2_to_fp8x2(in[i], __NV_SATFINITE, __NV_E4M3);
  e5m2[i] = __nv_cvt_float2_to_fp8x2(in[i], __NV_SATFINITE, __NV_E5M2);
  back[i] = __half22float2(half2(__nv_cvt_fp8x2_to_halfraw2(e4m3[i], __NV_E4M3)));
}

extern "C" __global__ void multiply(const unsigned* a, const unsigned* b, float* c) {
  const int lane = threadIdx.x;
  float d[4] = {};
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[lane / 4 * 8 + lane % 4]), "r"(a[(lane / 4 + 8) * 8 + lane % 4]), "r"(a[lane / 4 * 8 + lane % 4 + 4]),
        "r"(a[(lane / 4 + 8) * 8 + lane % 4 + 4]), "r"(b[lane / 4 * 8 + lane % 4]),
        "r"(b[lane / 4 * 8 + lane % 4 + 4]));
  for (int i = 0; i < 4; ++i) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}
#else
#include "harness.h"

/// The nearest of all 128 magnitudes, ties to the even code.
static unsigned nearest(float value, int fractionBits, int bias, int codes) {
  const auto decode = [&](int code) {
    const int exponent = code >> fractionBits, fraction = code & ((1 << fractionBits) - 1);
    return exponent ? std::ldexp(double(fraction + (1 << fractionBits)), exponent - bias - fractionBits)
                    : std::ldexp(double(fraction), 1 - bias - fractionBits);
  };
  int best = 0;
  for (int code = 1; code < codes; ++code) {
    const double now = std::abs(std::abs(double(value)) - decode(code)),
                 before = std::abs(std::abs(double(value)) - decode(best));
    if (now < before || (now == before && code % 2 == 0)) best = code;
  }
  return best | (std::signbit(value) ? 0x80 : 0);
}

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  const int n = 256;
  auto values = harness::randomFloats(2 * n, -20, 20);
  for (int i = 0; i < n; ++i) values[i] = std::ldexp(values[i], i % 40 - 20);
  harness::Buffer<float> in(values), back(2 * n);
  harness::Buffer<unsigned short> e4m3(n), e5m2(n);
  harness::Launch{program.kernel("convert"), {2}, {128}}(in, e4m3, e5m2, back, n);
  const auto p = e4m3.download(), q = e5m2.download();
  const auto wide = back.download();
  for (int i = 0; i < 2 * n; ++i) {
    const unsigned shift = i % 2 * 8;
    report.equal((p[i / 2] >> shift) & 255u, nearest(values[i], 3, 7, 0x7f), "e4m3", i);
    report.equal((q[i / 2] >> shift) & 255u, nearest(values[i], 2, 15, 0x7c), "e5m2", i);
    const float limited = std::min(448.0f, std::max(-448.0f, values[i]));
    report.near(wide[i], limited, std::max(std::abs(limited) / 16, 0x1p-10f), "round trip", i);
  }
  // Codes 0x38 + s are 1 + s / 8: exact products of small fractions.
  std::vector<unsigned> a(16 * 8), b(8 * 8);
  const auto code = [](int row, int k) { return (row * 5 + k * 3) % 8; };
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 32; ++k) a[row * 8 + k / 4] |= unsigned(0x38 + code(row, k)) << (k % 4 * 8);
  for (int column = 0; column < 8; ++column)
    for (int k = 0; k < 32; ++k) b[column * 8 + k / 4] |= unsigned(0x38 + code(column + 3, k * 7)) << (k % 4 * 8);
  harness::Buffer<unsigned> left(a), right(b);
  harness::Buffer<float> out(128);
  harness::Launch{program.kernel("multiply"), {1}, {32}}(left, right, out);
  const auto c = out.download();
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      double sum = 0;
      for (int k = 0; k < 32; ++k) sum += (1 + code(row, k) / 8.0) * (1 + code(column + 3, k * 7) / 8.0);
      report.near(c[row * 8 + column], sum, 1e-4, "product", row * 8 + column);
    }
  return report.finish();
}
#endif
