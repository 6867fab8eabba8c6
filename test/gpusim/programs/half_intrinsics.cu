// SPDX-License-Identifier: Apache-2.0
// half and half2 intrinsics; results are exact in f16 or correctly rounded, so the reference is f64 rounded once.
#ifdef __CUDACC__
#include <cuda_fp16.h>

extern "C" __global__ void arithmetic(const half2* a, const half2* b, const half2* c, half2* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  out[0 * n + i] = __hadd2(a[i], b[i]);
  out[1 * n + i] = __hsub2(a[i], b[i]);
  out[2 * n + i] = __hmul2(a[i], b[i]);
  out[3 * n + i] = __hfma2(a[i], b[i], c[i]);
  out[4 * n + i] = __h2div(a[i], b[i]);
  out[5 * n + i] = h2sqrt(__habs2(a[i]));
  out[6 * n + i] = __hmax2(a[i], b[i]);
  out[7 * n + i] = __hmin2(a[i], b[i]);
  out[8 * n + i] = __float22half2_rn(make_float2(__low2float(a[i]) * 3, __high2float(b[i]) * 3));
  out[9 * n + i] = __lowhigh2highlow(__hneg2(a[i]));
  out[10 * n + i] = __hadd2_sat(a[i], b[i]);
}

extern "C" __global__ void scalar(const half* a, const half* b, int* compared, half* rounded, int n) {
  const int i = threadIdx.x;
  if (i >= n) return;
  compared[i] = __hlt(a[i], b[i]) | __heq(a[i], a[i]) << 1 | __hge(a[i], b[i]) << 2 | __hisnan(a[i]) << 3;
  rounded[i] = __int2half_rn(__half2int_rz(a[i]) + __half2int_rn(b[i]));
}
#else
#include "harness.h"
using harness::fromHalf;
using harness::toHalf;

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int n = 128;
  const auto make = [&](unsigned seed) {
    std::vector<uint16_t> values;
    for (const float value : harness::randomFloats(2 * n, -8, 8, seed)) values.push_back(toHalf(value));
    return values;
  };
  const auto a = make(1), b = make(2), c = make(3);
  harness::Buffer<uint16_t> x(a), y(b), z(c), out(11 * 2 * n), rounded(n);
  harness::Buffer<int> compared(n);
  harness::Launch{program.kernel("arithmetic"), {2}, {64}}(x, y, z, out, n);
  harness::Launch{program.kernel("scalar"), {1}, {n}}(x, y, compared, rounded, n);
  const auto results = out.download();
  harness::Report report;
  for (int i = 0; i < 2 * n; ++i) {
    const double p = fromHalf(a[i]), q = fromHalf(b[i]), r = fromHalf(c[i]);
    const double other = i % 2 ? q : p;
    const double expected[] = {p + q,
                               p - q,
                               p * q,
                               p * q + r,
                               0,
                               0,
                               std::max(p, q),
                               std::min(p, q),
                               other * 3,
                               -fromHalf(a[i ^ 1]),
                               std::min(1.0, std::max(0.0, p + q))};
    for (int f = 0; f < 11; ++f) {
      const double actual = fromHalf(results[f * 2 * n + i]);
      // Division and square root are two roundings of an f32 result; the others one rounding of an exact value.
      if (f == 4)
        report.near(actual, p / q, std::abs(p / q) * 0x1p-10, "quotient", i);
      else if (f == 5)
        report.near(actual, std::sqrt(std::abs(p)), std::sqrt(std::abs(p)) * 0x1p-10, "root", i);
      else
        report.equal(actual, double(fromHalf(toHalf(expected[f]))), "half2", f * 1000 + i);
    }
  }
  const auto flags = compared.download();
  const auto sums = rounded.download();
  for (int i = 0; i < n; ++i) {
    const double p = fromHalf(a[i]), q = fromHalf(b[i]);
    report.equal(flags[i], int(p < q) | 2 | int(p >= q) << 2, "comparison", i);
    report.equal(double(fromHalf(sums[i])), std::trunc(p) + std::nearbyint(q), "rounded", i);
  }
  return report.finish();
}
#endif
