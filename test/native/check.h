// SPDX-License-Identifier: Apache-2.0
/// @file The smallest test harness that does: TEST(name) { CHECK(condition); }. One main() runs every test of the
/// program.
#pragma once
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace check {

struct Test {
  const char* name;
  std::function<void()> body;
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int failures = 0;

struct Register {
  Register(const char* name, std::function<void()> body) { tests().push_back({name, std::move(body)}); }
};

inline void that(bool holds, const std::string& what, const char* file, int line) {
  if (holds) return;
  ++failures;
  std::printf("%s:%d: failed: %s\n", file, line, what.c_str());
}

}  // namespace check

#define TEST(name)                                                  \
  static void test_##name();                                        \
  static const check::Register register_##name(#name, test_##name); \
  static void test_##name()

#define CHECK(condition) check::that((condition), #condition, __FILE__, __LINE__)
