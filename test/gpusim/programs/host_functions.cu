// SPDX-License-Identifier: Apache-2.0
// Host functions on a stream run in order between device work, and see its results in pinned memory.
#ifdef __CUDACC__
extern "C" __global__ void twice(int* x) { x[threadIdx.x] *= 2; }
#else
#include <atomic>
#include <thread>

#include "harness.h"

struct State {
  int* pinned;
  std::vector<int> seen;
  std::thread::id caller = std::this_thread::get_id();
  std::atomic<bool> elsewhere{false};
};

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  State state;
  CU(cuMemAllocHost(reinterpret_cast<void**>(&state.pinned), 32 * sizeof(int)));
  for (int i = 0; i < 32; ++i) state.pinned[i] = i + 1;
  harness::Buffer<int> x(32);
  CUstream stream;
  CU(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  for (int round = 0; round < 5; ++round) {
    CU(cuMemcpyHtoDAsync(x.pointer(), state.pinned, 128, stream));
    harness::Launch{program.kernel("twice"), {1}, {32}, 0, stream}(x);
    CU(cuMemcpyDtoHAsync(state.pinned, x.pointer(), 128, stream));
    CU(cuLaunchHostFunc(
        stream,
        [](void* data) {
          auto& s = *static_cast<State*>(data);
          s.seen.push_back(s.pinned[31]);
          s.pinned[31] += 1;
          if (std::this_thread::get_id() != s.caller) s.elsewhere = true;
        },
        &state));
  }
  CU(cuStreamSynchronize(stream));
  int last = 32;
  report.equal(state.seen.size(), size_t(5), "calls");
  for (const int seen : state.seen) {
    report.equal(seen, last * 2, "value seen by the host function");
    last = last * 2 + 1;
  }
  report.equal(state.pinned[0], 32, "untouched lane");
  report.is(state.elsewhere, "host functions run on a driver thread");
  CU(cuMemFreeHost(state.pinned));
  CU(cuStreamDestroy(stream));
  return report.finish();
}
#endif
