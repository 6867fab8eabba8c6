// SPDX-License-Identifier: Apache-2.0
/// @file Drives LLVMFuzzerTestOneInput without libFuzzer: the corpus as it is, every truncation of it, then seeded
/// random mutations until the time is up.
///   gguf_fuzz [seconds] [seed]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>

#include "gguf_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::vector<uint8_t>;

/// Runs on a heap copy of exactly this size, so that a read past the end is seen. True: the input was accepted.
bool runOne(const Input& input) {
  const std::unique_ptr<uint8_t[]> copy(new uint8_t[input.size()]);
  if (!input.empty()) std::memcpy(copy.get(), input.data(), input.size());
  return LLVMFuzzerTestOneInput(copy.get(), input.size()) == 0;
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  size_t below(size_t n) { return n == 0 ? 0 : static_cast<size_t>(random_() % n); }

  Input mutate(Input input, const std::vector<Input>& corpus) {
    for (size_t i = 0, n = 1 + below(4); i < n; ++i) step(input, corpus);
    return input;
  }

 private:
  void step(Input& input, const std::vector<Input>& corpus) {
    if (input.empty()) input.push_back(static_cast<uint8_t>(random_()));
    const size_t at = below(input.size());
    switch (below(7)) {
      case 0:
        input[at] ^= static_cast<uint8_t>(1u << below(8));
        break;
      case 1:
        input[at] = static_cast<uint8_t>(random_());
        break;
      case 2:
        overwrite(input, at, interesting(input.size()), 8);
        break;
      case 3:
        overwrite(input, at, interesting(input.size()), 4);
        break;
      case 4:
        input.resize(at);
        break;
      case 5: {  // repeat a stretch
        const Input stretch(input.begin() + static_cast<std::ptrdiff_t>(at),
                            input.begin() + static_cast<std::ptrdiff_t>(at + below(input.size() - at)));
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(below(input.size())), stretch.begin(), stretch.end());
        break;
      }
      default: {  // go on with the tail of another file
        const Input& other = corpus[below(corpus.size())];
        input.resize(at);
        input.insert(input.end(), other.begin() + static_cast<std::ptrdiff_t>(below(other.size())), other.end());
      }
    }
  }

  uint64_t interesting(size_t size) {
    static constexpr uint64_t kValues[] = {0,
                                           1,
                                           2,
                                           4,
                                           5,
                                           8,
                                           9,
                                           12,
                                           13,
                                           31,
                                           32,
                                           0x7f,
                                           0xff,
                                           0x7fff,
                                           0xffff,
                                           0x10000,
                                           0x100000,
                                           0x100001,
                                           0x7fffffff,
                                           0x80000000,
                                           0xffffffff,
                                           0x100000000,
                                           0x3fffffffffffffff,
                                           0x7fffffffffffffff,
                                           0x8000000000000000,
                                           0xfffffffffffffff8,
                                           0xffffffffffffffff};
    constexpr size_t kCount = sizeof kValues / sizeof kValues[0];
    const size_t pick = below(kCount + 3);
    if (pick < kCount) return kValues[pick];
    return size + below(17) - 8;
  }

  static void overwrite(Input& input, size_t at, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes && at + i < input.size(); ++i) input[at + i] = static_cast<uint8_t>(value >> 8 * i);
  }

  std::mt19937_64 random_;
};

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 3;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 0) : 1;
  std::vector<Input> corpus = {gguf_bytes::rich(), gguf_bytes::small(), gguf_bytes::metadataOnly()};
  for (const Input& input : corpus) {
    if (!runOne(input)) {
      std::printf("a valid file of the corpus was refused\n");
      return 1;
    }
    // Cut anywhere before its tensor data, a file is refused; inside the data too, unless no known tensor reaches
    // there.
    for (size_t length = 0; length < input.size(); ++length)
      runOne(Input(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(length)));
  }
  Mutator mutator(seed);
  uint64_t runs = 0, accepted = 0;
  const size_t kMaxCorpus = 512;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (runs % 256 != 0 || std::chrono::steady_clock::now() < end) {
    ++runs;
    Input input = mutator.mutate(corpus[mutator.below(corpus.size())], corpus);
    if (input.size() > 1 << 16) continue;
    if (!runOne(input)) continue;
    ++accepted;  // mutations of what was accepted reach deeper than those of what was refused
    if (corpus.size() < kMaxCorpus)
      corpus.push_back(std::move(input));
    else
      corpus[3 + mutator.below(kMaxCorpus - 3)] = std::move(input);
  }
  std::printf("%llu inputs (seed %llu), %llu accepted, %llu refused\n", static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(seed), static_cast<unsigned long long>(accepted),
              static_cast<unsigned long long>(runs - accepted));
  return accepted > 0 && accepted < runs ? 0 : 1;
}
