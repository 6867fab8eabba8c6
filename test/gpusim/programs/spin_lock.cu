// SPDX-License-Identifier: Apache-2.0
// A ticket lock and a test-and-set lock between blocks guard a plain counter and a linked list.
#ifdef __CUDACC__
struct Shared {
  unsigned lock, next, serving;
  int counter, head;
};

extern "C" __global__ void append(Shared* shared, int* links, int rounds) {
  if (threadIdx.x != 0) return;
  volatile Shared* s = shared;
  for (int round = 0; round < rounds; ++round) {
    while (atomicCAS(&shared->lock, 0u, 1u) != 0u) __nanosleep(20);
    __threadfence();
    s->counter = s->counter + 1;
    __threadfence();
    atomicExch(&shared->lock, 0u);

    const unsigned ticket = atomicAdd(&shared->next, 1u);
    while (*(volatile unsigned*)&shared->serving != ticket) __nanosleep(20);
    __threadfence();
    const int node = blockIdx.x * rounds + round;
    ((volatile int*)links)[node] = s->head;
    s->head = node;
    __threadfence();
    atomicAdd(&shared->serving, 1u);
  }
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int blocks = 6, rounds = 9;
  harness::Buffer<int> shared(std::vector<int>{0, 0, 0, 0, -1}), links(blocks * rounds);
  harness::Launch{program.kernel("append"), {blocks}, {32}}(shared, links, rounds);
  const auto state = shared.download(), next = links.download();
  harness::Report report;
  report.equal(state[3], blocks * rounds, "counter");
  std::vector<int> seen(blocks * rounds);
  int length = 0;
  for (int node = state[4]; node >= 0 && length <= blocks * rounds; node = next[node], ++length) ++seen[node];
  report.equal(length, blocks * rounds, "list length");
  report.equal(seen, std::vector<int>(blocks * rounds, 1), "visits");
  return report.finish();
}
#endif
