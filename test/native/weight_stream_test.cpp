// SPDX-License-Identifier: Apache-2.0
/// The order in which the CPU's linear kernels ask for weights. Addresses only: nothing is read.
#include "cpu/linear/weight_stream.h"

#include <algorithm>
#include <vector>

#include "check.h"

namespace {

std::vector<uintptr_t> asked;
void remember(const void* line) { asked.push_back(reinterpret_cast<uintptr_t>(line)); }
using Stream = pw::cpu::WeightStream<remember>;

constexpr uintptr_t kWindow = Stream::kPages * Stream::kPageBytes;
const uint8_t* at(uintptr_t address) { return reinterpret_cast<const uint8_t*>(address); }

}  // namespace

TEST(weights_are_asked_for_once_and_before_they_are_read) {
  for (const uintptr_t begin : {uintptr_t{1} << 30, (uintptr_t{1} << 30) + 192, (uintptr_t{1} << 30) + 4032})
    for (const uintptr_t bytes : {2 * kWindow, 3 * kWindow + 64, 5 * kWindow - 4160, 9 * kWindow + 1152})
      for (const uintptr_t step : {uintptr_t{64}, uintptr_t{288}, uintptr_t{2304}}) {
        const uintptr_t end = begin + bytes, first = begin / Stream::kPageBytes * Stream::kPageBytes;
        asked.clear();
        Stream stream(at(begin), at(end));
        // Reading by blocks, and again what the second-level cache holds.
        bool inTime = true;
        for (uintptr_t i = begin; i + step <= end; i += step) {
          const uintptr_t line = i / Stream::kLineBytes * Stream::kLineBytes;
          inTime = inTime && std::find(asked.begin(), asked.end(), line) != asked.end();
          stream.advance(at(i + step));
          stream.advance(at(std::max(begin + step, i) - step));
        }
        CHECK(inTime);
        stream.advance(at(end));
        std::sort(asked.begin(), asked.end());
        CHECK(std::adjacent_find(asked.begin(), asked.end()) == asked.end());
        CHECK(asked.front() == first && asked.back() < end);
        CHECK(asked.size() == (end - first + Stream::kLineBytes - 1) / Stream::kLineBytes);
      }
}

TEST(pages_of_weights_are_asked_for_in_turn) {
  const uintptr_t begin = uintptr_t{1} << 30;
  asked.clear();
  Stream stream(at(begin), at(begin + 4 * kWindow));
  CHECK(asked.size() == kWindow / Stream::kLineBytes);
  asked.clear();
  stream.advance(at(begin + 1));
  CHECK(asked.size() == Stream::kPages);
  for (size_t page = 0; page < asked.size(); ++page) CHECK(asked[page] == begin + kWindow + page * Stream::kPageBytes);
}

TEST(few_weights_are_not_asked_for_at_once) {
  const uintptr_t begin = uintptr_t{1} << 30;
  asked.clear();
  Stream stream(at(begin), at(begin + 2 * kWindow - 64));
  CHECK(asked.empty());
  stream.advance(at(begin + kWindow));
  CHECK(asked.size() == kWindow / Stream::kLineBytes - 1);
}
