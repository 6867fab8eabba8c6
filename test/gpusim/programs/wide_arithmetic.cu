// SPDX-License-Identifier: Apache-2.0
// 64-bit integers (division, high products, shifts) and doubles with the math library, against the host.
#ifdef __CUDACC__
extern "C" __global__ void integers(const long long* a, const long long* b, long long* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const unsigned long long u = a[i], v = b[i];
  out[0 * n + i] = a[i] / b[i];
  out[1 * n + i] = a[i] % b[i];
  out[2 * n + i] = u / v;
  out[3 * n + i] = __mul64hi(a[i], b[i]);
  out[4 * n + i] = __umul64hi(u, v);
  out[5 * n + i] = (a[i] >> (b[i] & 63)) ^ (u << (v & 63));
  out[6 * n + i] = __clzll(a[i]) * 1000 + __popcll(b[i]) * 10 + __ffsll(a[i]);
  out[7 * n + i] = __brevll(u);
}

extern "C" __global__ void doubles(const double* a, const double* b, double* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  out[0 * n + i] = a[i] / b[i];
  out[1 * n + i] = sqrt(fabs(a[i]));
  out[2 * n + i] = exp(a[i]);
  out[3 * n + i] = log(fabs(a[i]));
  out[4 * n + i] = sin(a[i]) * cos(b[i]);
  out[5 * n + i] = pow(fabs(a[i]), b[i]);
  out[6 * n + i] = tanh(a[i]);
  out[7 * n + i] = fma(a[i], b[i], 1.0);
}

extern "C" __global__ void singles(const double* a, const double* b, double* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float x = a[i], y = b[i];
  out[0 * n + i] = x / y;
  out[1 * n + i] = sqrtf(fabsf(x));
  out[2 * n + i] = expf(x);
  out[3 * n + i] = logf(fabsf(x));
  out[4 * n + i] = sinf(x) * cosf(y);
  out[5 * n + i] = powf(fabsf(x), y);
  out[6 * n + i] = tanhf(x);
  out[7 * n + i] = fmaf(x, y, 1.0f);
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int n = 500;
  auto a = harness::randomIntegers<long long>(n, INT64_MIN, INT64_MAX, 1),
       b = harness::randomIntegers<long long>(n, INT64_MIN, INT64_MAX, 2);
  for (int i = 0; i < n; ++i) {
    a[i] >>= i % 61;
    b[i] >>= (i * 7) % 61;
    if (b[i] == 0 || b[i] == -1) b[i] = 3;
  }
  harness::Report report;
  {
    harness::Buffer<long long> x(a), y(b), out(8 * n);
    harness::Launch{program.kernel("integers"), {4}, {128}}(x, y, out, n);
    const auto result = out.download();
    for (int i = 0; i < n; ++i) {
      const auto u = uint64_t(a[i]), v = uint64_t(b[i]);
      uint64_t reversed = 0;
      for (int bit = 0; bit < 64; ++bit) reversed |= ((u >> bit) & 1) << (63 - bit);
      const int zeros = u ? __builtin_clzll(u) : 64;
      const long long expected[] = {a[i] / b[i],
                                    a[i] % b[i],
                                    (long long)(u / v),
                                    (long long)((__int128(a[i]) * b[i]) >> 64),
                                    (long long)((unsigned __int128)(u)*v >> 64),
                                    (long long)((a[i] >> (b[i] & 63)) ^ (long long)(u << (v & 63))),
                                    zeros * 1000ll + __builtin_popcountll(v) * 10 + __builtin_ffsll(a[i]),
                                    (long long)reversed};
      for (int f = 0; f < 8; ++f) report.is(result[f * n + i] == expected[f], "64-bit integer");
    }
  }
  const auto floats = harness::randomFloats(2 * n, -6, 6, 5);
  const std::vector<double> p(floats.begin(), floats.begin() + n), q(floats.begin() + n, floats.end());
  harness::Buffer<double> x(p), y(q), out(8 * n);
  for (const char* name : {"doubles", "singles"}) {
    harness::Launch{program.kernel(name), {4}, {128}}(x, y, out, n);
    const auto result = out.download();
    const double tolerance = name[0] == 'd' ? 4e-15 : 2e-6;
    for (int i = 0; i < n; ++i) {
      const double expected[] = {p[i] / q[i],
                                 std::sqrt(std::abs(p[i])),
                                 std::exp(p[i]),
                                 std::log(std::abs(p[i])),
                                 std::sin(p[i]) * std::cos(q[i]),
                                 std::pow(std::abs(p[i]), q[i]),
                                 std::tanh(p[i]),
                                 std::fma(p[i], q[i], 1.0)};
      for (int f = 0; f < 8; ++f)
        report.near(result[f * n + i], expected[f], tolerance * std::max(1.0, std::abs(expected[f])), name,
                    f * 1000 + i);
    }
  }
  return report.finish();
}
#endif
