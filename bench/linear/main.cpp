// SPDX-License-Identifier: Apache-2.0
/// @file Linear layers on one or more threads, beside the machine's own limits measured in the same minute.
///
///     linear-bench [threads = 1] [repeats = 7] [kernel = best] [format = 2 (GGUF type number, Q4_0)]
///
/// A chain of layers whose weights exceed the caches, so that they stream from memory, as in decoding. Each repeat runs
/// every m once and both probes; medians over repeats are printed, and the ratios are medians of ratios within a
/// repeat. The int8 peak is that of vector instructions, which kernels that use AMX tiles may exceed.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/aligned.h"
#include "core/ggml_type.h"
#include "core/matrix/block_formats.h"
#include "core/matrix/pack.h"
#include "cpu/linear/linear.h"
#include "pagewarp/matrix_layout.h"
#include "work.h"

using namespace pw;

namespace {

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

pw_tensor floats(std::vector<float>& data, int64_t rows, int64_t columns) {
  pw_tensor t{};
  t.data = data.data();
  t.rank = 2;
  t.shape[0] = rows;
  t.shape[1] = columns;
  t.strides[0] = columns;
  t.strides[1] = 1;
  return t;
}

using Kernel = void (*)(const pw_linear_args&, cpu::Context&);

/// A kernel by name; null where this processor cannot run it.
Kernel findKernel(const std::string& name) {
  const cpu::Isa isa = cpu::detectIsa();
  const cpu::Features features = cpu::detectFeatures();
  if (name == "best") return cpu::linear;
  if (name == "portable") return cpu::portable::linear;
#if defined(PW_CPU_X86)
  if (name == "avx2" && isa >= cpu::Isa::kAvx2) return cpu::avx2::linear;
  if (name == "avx512" && isa >= cpu::Isa::kAvx512) return cpu::avx512::linear;
  if (name == "avx512vnni" && features.vnni) return cpu::avx512vnni::linearPacked;
#endif
#if defined(PW_CPU_AMX)
  if (name == "amx" && isa >= cpu::Isa::kAmx) return cpu::avx512amx::linearPacked;
#endif
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1, repeats = argc > 2 ? std::atoi(argv[2]) : 7;
  const char* name = argc > 3 ? argv[3] : "best";
  const Kernel kernel = findKernel(name);
  if (!kernel) return std::fprintf(stderr, "no kernel \"%s\" on this processor\n", name), 1;
  const auto type = static_cast<uint32_t>(argc > 4 ? std::atoi(argv[4]) : 2);
  constexpr int64_t kN = 4096, kK = 4096;
  constexpr int kLayers = 24;
  const int tokenCounts[] = {1, 2, 4, 8, 16, 32, 128, 512};

  pw_matrix_format format;
  if (!matrixFormat(type, &format)) return 1;
  cpu::Context context(threads, cpu::detectIsa());
  const size_t bytes = static_cast<size_t>(matrixBytes(format, kN, kK));
  auto* memory = static_cast<uint8_t*>(alignedAllocate(bytes * kLayers));
  std::vector<uint8_t> source(static_cast<size_t>(kN * sourceRowBytes(type, kK)));
  std::mt19937 random(1);
  for (uint8_t& byte : source) byte = static_cast<uint8_t>(random() >> 9 & 0xbf);  // finite scales
  std::vector<pw_matrix> layers;
  const std::vector<float> levels(std::begin(kIq4NlLevels), std::end(kIq4NlLevels));
  std::vector<float> tables(static_cast<size_t>(levelBytes(PW_MATRIX_W4T, 1)) / sizeof(float));
  const bool table = format == PW_MATRIX_W4T;
  for (int l = 0; l < kLayers; ++l) {
    layers.push_back({memory + static_cast<size_t>(l) * bytes, format, kN, kK, table ? tables.data() : nullptr,
                      table ? 1 : 0, nullptr});
    packMatrix({type, {{source.data(), kN}}, layers.back(), {}, levels, {}}, context.pool());
  }

  std::vector<double> bandwidth, peak;
  std::vector<std::vector<double>> times(std::size(tokenCounts)), ratios(std::size(tokenCounts)),
      shares(std::size(tokenCounts));
  for (int r = 0; r < repeats; ++r) {
    std::vector<double> reads, ops;
    double one = 0;
    for (size_t i = 0; i < std::size(tokenCounts); ++i) {
      const int64_t m = tokenCounts[i];
      std::vector<float> x(static_cast<size_t>(m * kK)), y(static_cast<size_t>(m * kN));
      for (float& v : x) v = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
      const double read = bench::readBandwidth(memory, bytes * kLayers), rate = bench::int8Peak();
      // Large m is bound by arithmetic: few layers tell as much as many.
      const int count = m >= 128 ? 2 : m >= 16 ? 8 : kLayers;
      const double begin = threads == 1 ? bench::threadSeconds() : bench::wallSeconds();
      for (int l = 0; l < count; ++l) {
        pw_linear_args a{};
        a.x = floats(x, m, kK);
        a.out = floats(y, m, kN);
        a.weight = layers[static_cast<size_t>(l)];
        kernel(a, context);
      }
      const double time = ((threads == 1 ? bench::threadSeconds() : bench::wallSeconds()) - begin) / count;
      reads.push_back(read);
      ops.push_back(rate);
      if (m == 1) one = time;
      times[i].push_back(time);
      ratios[i].push_back(time / one);
      const double limit = static_cast<double>(bytes) / read;
      shares[i].push_back(m <= 8 ? limit / time : rate > 0 ? 2.0 * static_cast<double>(m * kN * kK) / time / rate : 0);
    }
    bandwidth.push_back(median(reads));
    peak.push_back(median(ops));
  }
  std::printf("%s, %s, %d thread(s), %s, %d layers of %lld x %lld, %.0f MB, %d repeats\n", cpu::cpuName().c_str(), name,
              threads, ggmlType(type)->name, kLayers, static_cast<long long>(kN), static_cast<long long>(kK),
              static_cast<double>(bytes) * kLayers * 1e-6, repeats);
  std::printf("time: %s\n", threads == 1 ? "of the thread on its processor" : "wall clock");
  std::printf("probe, one thread: read %.1f GB/s, int8 peak %.0f GOP/s\n", median(bandwidth) * 1e-9,
              median(peak) * 1e-9);
  std::printf("%6s %10s %9s %9s %8s  %s\n", "m", "ms/layer", "GB/s", "GOP/s", "x m=1", "share of one core's limit");
  for (size_t i = 0; i < std::size(tokenCounts); ++i) {
    const double time = median(times[i]);
    std::printf("%6d %10.3f %9.1f %9.0f %8.2f  %.0f %% of %s\n", tokenCounts[i], time * 1e3,
                static_cast<double>(bytes) / time * 1e-9, 2e-9 * tokenCounts[i] * static_cast<double>(kN * kK) / time,
                median(ratios[i]), 100 * median(shares[i]), tokenCounts[i] <= 8 ? "read bandwidth" : "int8 peak");
  }
  alignedFree(memory);
}
