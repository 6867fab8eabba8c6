// SPDX-License-Identifier: Apache-2.0
// bfloat16 intrinsics as nvcc makes them for sm_80.
#ifdef __CUDACC__
#include <cuda_bf16.h>

extern "C" __global__ void arithmetic(const __nv_bfloat162* a, const __nv_bfloat162* b, const __nv_bfloat162* c,
                                      __nv_bfloat162* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  out[0 * n + i] = __hadd2(a[i], b[i]);
  out[1 * n + i] = __hmul2(a[i], b[i]);
  out[2 * n + i] = __hfma2(a[i], b[i], c[i]);
  out[3 * n + i] = __hmax2(a[i], b[i]);
  const float2 wide = __bfloat1622float2(a[i]);
  out[4 * n + i] = __floats2bfloat162_rn(wide.x * 1.7f, wide.y * 1.7f);
  out[5 * n + i] = __hneg2(__habs2(b[i]));
}
#else
#include "harness.h"
using harness::fromBf16;
using harness::toBf16;

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int n = 128;
  const auto make = [&](unsigned seed) {
    std::vector<uint16_t> values;
    for (const float value : harness::randomFloats(2 * n, -8, 8, seed)) values.push_back(toBf16(value));
    return values;
  };
  const auto a = make(1), b = make(2), c = make(3);
  harness::Buffer<uint16_t> x(a), y(b), z(c), out(6 * 2 * n);
  harness::Launch{program.kernel("arithmetic"), {2}, {64}}(x, y, z, out, n);
  const auto results = out.download();
  harness::Report report;
  for (int i = 0; i < 2 * n; ++i) {
    const float p = fromBf16(a[i]), q = fromBf16(b[i]), r = fromBf16(c[i]);
    // Sums, products and fused products of these bf16 values are exact in f64; f32 keeps them but for a double
    // rounding.
    const float expected[] = {p + q, p * q, 0, std::max(p, q), p * 1.7f, -std::abs(q)};
    for (int f = 0; f < 6; ++f) {
      const float actual = fromBf16(results[f * 2 * n + i]);
      const double fused = double(p) * q + r;
      if (f == 2)
        report.near(actual, fused, std::abs(fused) * 0x1p-8, "fma", i);
      else
        report.equal(actual, fromBf16(toBf16(expected[f])), "bf16", f * 1000 + i);
    }
  }
  return report.finish();
}
#endif
