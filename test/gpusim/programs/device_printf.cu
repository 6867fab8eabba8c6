// SPDX-License-Identifier: Apache-2.0
// printf from the device, read back from standard output after synchronisation.
#ifdef __CUDACC__
#include <cstdio>

extern "C" __global__ void speak(int base) {
  if (threadIdx.x % 16 == 3)
    printf("thread %d says %s %5.2f 0x%llx %c%%\n", base + int(threadIdx.x), "hello", threadIdx.x * 0.5,
           0x123456789abcull, 'z');
}
#else
#include <unistd.h>

#include <set>

#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  std::FILE* file = std::tmpfile();
  std::fflush(stdout);
  const int saved = dup(1);
  dup2(fileno(file), 1);
  harness::Launch{program.kernel("speak"), {1}, {64}}(1000);
  CU(cuCtxSynchronize());
  std::fflush(stdout);
  dup2(saved, 1);
  std::rewind(file);
  std::multiset<std::string> lines, expected;
  char line[256];
  while (std::fgets(line, sizeof line, file)) lines.insert(line);
  for (int t = 3; t < 64; t += 16) {
    std::snprintf(line, sizeof line, "thread %d says %s %5.2f 0x%llx %c%%\n", 1000 + t, "hello", t * 0.5,
                  0x123456789abcull, 'z');
    expected.insert(line);
  }
  harness::Report report;
  report.is(lines == expected, "printed lines");
  return report.finish();
}
#endif
