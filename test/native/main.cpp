// SPDX-License-Identifier: Apache-2.0
#include <exception>

#include "check.h"

int main() {
  int failed = 0;
  for (const check::Test& test : check::tests()) {
    const int before = check::failures;
    try {
      test.body();
    } catch (const std::exception& error) {
      check::that(false, std::string("unexpected exception: ") + error.what(), test.name, 0);
    }
    if (check::failures != before) {
      ++failed;
      std::printf("FAILED %s\n", test.name);
    }
  }
  std::printf("%zu passed, %d failed\n", check::tests().size() - static_cast<size_t>(failed), failed);
  return failed == 0 && !check::tests().empty() ? 0 : 1;
}
