// SPDX-License-Identifier: Apache-2.0
/// @file Linear kernels called one by one, also those that the dispatcher would not choose on this machine (AVX-512
/// without VNNI), against float64 emulation of the same integer algorithm; and packers against the layout's definition.
#include "cpu/linear/linear.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "core/matrix/block_formats.h"
#include "core/matrix/dequantize.h"
#include "core/matrix/pack.h"
#include "pagewarp/matrix_layout.h"
#include "plan/linear.h"

using namespace pw;

namespace {

int failures = 0;
int checks = 0;

void check(bool ok, const char* what, const char* where, int64_t a, int64_t b) {
  ++checks;
  if (ok) return;
  if (++failures <= 20)
    std::printf("FAILED: %s (%s, %lld, %lld)\n", what, where, static_cast<long long>(a), static_cast<long long>(b));
}

pw_matrix_format formatOf(uint32_t type) {
  pw_matrix_format format = PW_MATRIX_F32;
  matrixFormat(type, &format);
  return format;
}

std::vector<uint8_t> randomBlocks(uint32_t type, int64_t rows, int64_t k, std::mt19937& random) {
  std::vector<uint8_t> bytes(static_cast<size_t>(rows * sourceRowBytes(type, k)));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() >> 9);
  // Scales between 2^-8 and 2^-6 in place of random bits, which would include NaN.
  const auto scale = [&](size_t at) {
    const uint16_t half = static_cast<uint16_t>((random() & 1) << 15 | 0x1c00 | (random() & 0x7ff));
    std::memcpy(bytes.data() + at, &half, 2);
  };
  const size_t block = static_cast<size_t>(sourceRowBytes(type, columnMultiple(formatOf(type))));
  for (size_t at = 0; at < bytes.size(); at += block) {
    if (type == kGgmlMXFP4) {
      bytes[at] = static_cast<uint8_t>(119 + bytes[at] % 4);
      continue;
    }
    scale(type == kGgmlQ6_K ? at + 208 : at);
    if (type == kGgmlQ4_1 || type == kGgmlQ5_1 || type == kGgmlQ4_K || type == kGgmlQ5_K || type == kBlockInt4G16)
      scale(at + 2);
    if (type == kBlockInt4Zp) bytes[at + 2] = static_cast<uint8_t>(bytes[at + 2] % 17);
  }
  return bytes;
}

struct Packed {
  std::vector<uint8_t> storage;
  pw_matrix view{};
};

Packed pack(uint32_t type, int64_t n, int64_t k, const std::vector<uint8_t>& blocks, ThreadPool& pool) {
  Packed p;
  p.view.format = formatOf(type);
  p.view.n = n;
  p.view.k = k;
  // Integer levels, which kernels have exactly: one table for IQ4_NL, one for each row of LUT4.
  std::vector<float> levels;
  if (type == kGgmlIQ4_NL) levels.assign(std::begin(kIq4NlLevels), std::end(kIq4NlLevels));
  if (type == kBlockLut4)
    for (int64_t i = 0; i < kLevels * n; ++i) levels.push_back(static_cast<float>(i * 37 % 255 - 127));
  p.view.level_tables = type == kBlockLut4 ? stripCount(n) * kStripRows : type == kGgmlIQ4_NL ? 1 : 0;
  const auto data = static_cast<size_t>(matrixBytes(p.view.format, n, k));
  p.storage.resize(data + static_cast<size_t>(levelBytes(p.view.format, p.view.level_tables)) + 64);
  p.view.data = p.storage.data();
  if (p.view.level_tables > 0) p.view.levels = reinterpret_cast<const float*>(p.storage.data() + data);
  // Two sources, so that a strip crosses their border.
  const int64_t first = n / 3;
  packMatrix({type,
              {{blocks.data(), first}, {blocks.data() + first * sourceRowBytes(type, k), n - first}},
              p.view,
              {},
              levels,
              {}},
             pool);
  return p;
}

/// The code at (row, column) by the definition of the layout.
int codeAt(const pw_matrix& m, int64_t row, int64_t column) {
  const PackedLayout layout = packedLayout(m.format);
  const auto* bytes = static_cast<const uint8_t*>(m.data);
  const auto field = [&](CodePosition p) { return bytes[p.byte] >> p.shift & ((1 << p.width) - 1); };
  int code = field(codePosition(layout, m.k, row, column));
  if (layout.codeBits == 5 || layout.codeBits == 6) code |= field(highCodePosition(layout, m.k, row, column)) << 4;
  return code;
}

/// Codes of the source, read by its own definition.
int sourceCode(uint32_t type, const uint8_t* row, int64_t column) {
  switch (type) {
    case kGgmlQ8_0:
      return static_cast<int8_t>(row[column / 32 * 34 + 2 + column % 32]) + 128;
    case kGgmlQ4_K:
    case kGgmlQ5_K: {
      const int64_t c = column % 256;
      const bool high = type == kGgmlQ5_K;
      const uint8_t* b = row + column / 256 * (high ? 176 : 144);
      const int low = b[(high ? 48 : 16) + c / 64 * 32 + c % 32] >> (c % 64 / 32 * 4) & 15;
      return high ? low | (b[16 + c % 32] >> (c / 32) & 1) << 4 : low;
    }
    case kGgmlQ5_0:
    case kGgmlQ5_1: {
      const int64_t block = type == kGgmlQ5_0 ? 22 : 24;
      const uint8_t* b = row + column / 32 * block;
      const int low = b[block - 16 + column % 16] >> (column % 32 / 16 * 4) & 15;
      return low | static_cast<int>(loadWord(b + block - 20) >> (column % 32) & 1) << 4;
    }
    default: {
      const int64_t block = sourceRowBytes(type, kGroup), header = block - 16;
      return row[column / 32 * block + header + column % 16] >> (column % 32 / 16 * 4) & 15;
    }
    case kGgmlQ6_K: {
      const int64_t c = column % 256, half = c / 128, quarter = c % 128 / 32, i = c % 32;
      const uint8_t* b = row + column / 256 * 210;
      const int low = b[64 * half + 32 * (quarter & 1) + i] >> (quarter / 2 * 4) & 15;
      return low | (b[128 + 32 * half + i] >> (2 * quarter) & 3) << 4;
    }
  }
}

/// x as the kernels see it: int8 codes times a scale per 32 columns.
std::vector<double> roundedActivations(const float* x, int64_t k) {
  std::vector<double> rounded(static_cast<size_t>(k));
  for (int64_t g = 0; g < k; g += 32) {
    float largest = 0;
    for (int64_t i = g; i < g + 32; ++i) largest = std::fmax(largest, std::fabs(x[i]));
    const float inverse = largest > 0 ? 127.0f / largest : 0.0f, scale = largest / 127.0f;
    for (int64_t i = g; i < g + 32; ++i)
      rounded[static_cast<size_t>(i)] =
          static_cast<double>(std::nearbyint(x[i] * inverse)) * static_cast<double>(scale);
  }
  return rounded;
}

pw_tensor floats(float* data, int64_t rows, int64_t columns, int64_t stride) {
  pw_tensor t{};
  t.data = data;
  t.rank = 2;
  t.shape[0] = rows;
  t.shape[1] = columns;
  t.strides[0] = stride;
  t.strides[1] = 1;
  return t;
}

using Kernel = void (*)(const pw_linear_args&, cpu::Context&);
struct Version {
  const char* name;
  Kernel kernel;
  bool sameBits = false;  ///< as the version before it
};

std::vector<Version> versions() {
  std::vector<Version> v = {{"portable", cpu::portable::linear}};
#if defined(PW_CPU_X86)
  if (cpu::detectIsa() >= cpu::Isa::kAvx2) v.push_back({"avx2", cpu::avx2::linear});
  if (cpu::detectIsa() >= cpu::Isa::kAvx512) v.push_back({"avx512", cpu::avx512::linear});
  if (cpu::detectFeatures().vnni) v.push_back({"avx512vnni", cpu::avx512vnni::linearPacked});
#endif
#if defined(PW_CPU_AMX)
  if (cpu::detectIsa() >= cpu::Isa::kAmx) v.push_back({"amx", cpu::avx512amx::linearPacked, true});
#endif
  return v;
}

void testMatrix(uint32_t type, int64_t n, int64_t k, cpu::Context& one, cpu::Context& two, std::mt19937& random) {
  const std::vector<uint8_t> blocks = randomBlocks(type, n, k, random);
  const Packed matrix = pack(type, n, k, blocks, one.pool());
  std::vector<float> dense(static_cast<size_t>(n * k));
  for (int64_t r = 0; r < n; ++r) {
    dequantizeRow(matrix.view, r, dense.data() + r * k);
    for (int64_t c = 0; c < k; ++c)
      check(codeAt(matrix.view, r, c) == sourceCode(type, blocks.data() + r * sourceRowBytes(type, k), c),
            "packed code", "pack", r, c);
  }
  for (int64_t m : {1, 2, 3, 5, 8, 9, 16, 21, 40}) {
    const int64_t stride = k + 7, outStride = n + 3;
    std::vector<float> x(static_cast<size_t>(m * stride));
    for (float& v : x) v = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
    std::vector<double> expected(static_cast<size_t>(m * n)), magnitude(static_cast<size_t>(m * n));
    for (int64_t t = 0; t < m; ++t) {
      const std::vector<double> rounded = roundedActivations(x.data() + t * stride, k);
      for (int64_t r = 0; r < n; ++r)
        for (int64_t c = 0; c < k; ++c) {
          const double product =
              rounded[static_cast<size_t>(c)] * static_cast<double>(dense[static_cast<size_t>(r * k + c)]);
          expected[static_cast<size_t>(t * n + r)] += product;
          magnitude[static_cast<size_t>(t * n + r)] += std::fabs(product);
        }
    }
    std::vector<float> before;
    for (const Version& version : versions()) {
      std::vector<float> out(static_cast<size_t>(m * outStride), NAN), again(out);
      pw_linear_args a{};
      a.x = floats(x.data(), m, k, stride);
      a.weight = matrix.view;
      a.out = floats(out.data(), m, n, outStride);
      version.kernel(a, one);
      a.out = floats(again.data(), m, n, outStride);
      version.kernel(a, two);
      check(std::memcmp(out.data(), again.data(), out.size() * sizeof(float)) == 0, "same with two threads",
            version.name, type, m);
      if (version.sameBits)
        check(std::memcmp(out.data(), before.data(), out.size() * sizeof(float)) == 0, "bits", version.name, type, m);
      before = out;
      for (int64_t t = 0; t < m; ++t)
        for (int64_t c = 0; c < outStride; ++c) {
          const float value = out[static_cast<size_t>(t * outStride + c)];
          if (c >= n) {
            check(std::isnan(value), "nothing written past a row", version.name, type, c);
            continue;
          }
          const auto i = static_cast<size_t>(t * n + c);
          check(std::fabs(value - expected[i]) <= 4e-6 * magnitude[i] + 1e-12, "value", version.name, type, m);
        }
      // A row alone gives the bits that it gives in the batch.
      std::vector<float> single(static_cast<size_t>(n), NAN);
      const int64_t row = m / 2;
      a.x = floats(x.data() + row * stride, 1, k, stride);
      a.out = floats(single.data(), 1, n, n);
      version.kernel(a, one);
      check(std::memcmp(single.data(), out.data() + row * outStride, static_cast<size_t>(n) * sizeof(float)) == 0,
            "batch invariance", version.name, type, m);
      // One bad value reaches its whole row and no other.
      for (float bad : {NAN, INFINITY, -INFINITY}) {
        std::vector<float> poisoned(x), result(static_cast<size_t>(m * n), 0.0f);
        poisoned[static_cast<size_t>(row * stride + k / 2)] = bad;
        a.x = floats(poisoned.data(), m, k, stride);
        a.out = floats(result.data(), m, n, n);
        version.kernel(a, one);
        for (int64_t t = 0; t < m; ++t)
          for (int64_t c = 0; c < n; ++c) {
            const float value = result[static_cast<size_t>(t * n + c)],
                        clean = out[static_cast<size_t>(t * outStride + c)];
            check(t == row ? !std::isfinite(value) : std::memcmp(&value, &clean, 4) == 0, "non-finite rows",
                  version.name, type, m);
          }
      }
    }
  }
}

/// Tasks cover tokens x strips exactly once, in whole token tiles, and are neither too few nor too small for the
/// threads.
void testPlan() {
  for (int64_t tokens : {0, 1, 2, 7, 16, 17, 100, 512, 4096})
    for (int64_t strips : {0, 1, 3, 256, 8016})
      for (int threads : {1, 2, 16}) {
        constexpr int64_t kTile = 16, kTokenBytes = 6144, kStripBytes = 36864;
        for (const plan::LinearTiling& tiling : {plan::LinearTiling{kTile}, plan::LinearTiling{kTile, 4, 1 << 20}}) {
          const plan::LinearPlan p = plan::planLinear(tokens, strips, kStripBytes, kTokenBytes, threads, tiling);
          if (tokens == 0 || strips == 0) {
            check(p.tasks() == 0, "no work, no tasks", "plan", tokens, strips);
            continue;
          }
          check(p.tokensPerBlock % kTile == 0, "whole tiles", "plan", tokens, strips);
          check((p.tokenBlocks - 1) * p.tokensPerBlock < tokens && tokens <= p.tokenBlocks * p.tokensPerBlock,
                "covers the tokens", "plan", tokens, p.tokensPerBlock);
          check((p.stripTasks - 1) * p.stripsPerTask < strips && strips <= p.stripTasks * p.stripsPerTask,
                "covers the strips", "plan", strips, p.stripsPerTask);
          check(p.stripTasks == 1 || p.stripsPerTask % tiling.strips == 0, "whole sets of strips", "plan", strips,
                p.stripsPerTask);
          check(p.tokensPerBlock * kTokenBytes <= tiling.cacheBytes, "activations fit the cache", "plan", tokens,
                p.tokensPerBlock);
          check(threads == 1 ? p.stripTasks == 1 : strips < 256 || p.stripTasks >= 4 * threads, "enough tasks", "plan",
                strips, threads);
        }
      }
}

}  // namespace

int main() {
  testPlan();
  std::mt19937 random(7);
  cpu::Context one(1, cpu::detectIsa()), two(2, cpu::detectIsa());
  for (uint32_t type : {kGgmlQ4_0, kGgmlQ4_1, kGgmlQ5_0, kGgmlQ5_1, kGgmlQ8_0, kGgmlQ4_K, kGgmlQ5_K, kGgmlQ6_K,
                        kGgmlIQ4_NL, kGgmlMXFP4, kBlockInt4Zp, kBlockInt4G16, kBlockLut4}) {
    testMatrix(type, 37, 256, one, two, random);
    testMatrix(type, 48, 512, one, two, random);
    if (columnMultiple(formatOf(type)) == kGroup) testMatrix(type, 24, 96, one, two, random);
    if (type == kGgmlQ4_0) testMatrix(type, 83, 288, one, two, random);  // more strips than are taken together
  }
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
