// SPDX-License-Identifier: Apache-2.0
// Philox 4x32-10 (Salmon et al., SC 2011): the device's words equal the host's, and the paper's known answers.
#ifdef __CUDACC__
#define HOST_DEVICE __device__
#else
#include "harness.h"
#define HOST_DEVICE
#endif

struct Words {
  unsigned x[4];
};

HOST_DEVICE inline unsigned high(unsigned a, unsigned b) { return unsigned((unsigned long long)(a)*b >> 32); }

HOST_DEVICE inline Words philox(Words counter, unsigned key0, unsigned key1) {
  for (int round = 0; round < 10; ++round) {
    const unsigned a = counter.x[0], c = counter.x[2];
    counter = {{high(0xCD9E8D57u, c) ^ counter.x[1] ^ key0, 0xCD9E8D57u * c, high(0xD2511F53u, a) ^ counter.x[3] ^ key1,
                0xD2511F53u * a}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

#ifdef __CUDACC__
extern "C" __global__ void generate(Words* out, unsigned key0, unsigned key1, int n) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = philox({{i, i * 3, 0, 7}}, key0, key1);
}
#else
int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int n = 1000;
  harness::Buffer<Words> out(n);
  harness::Launch{program.kernel("generate"), {8}, {128}}(out, 0x12345678u, 0x9abcdef0u, n);
  harness::Report report;
  const auto words = out.download();
  for (unsigned i = 0; i < n; ++i) {
    const Words expected = philox({{i, i * 3, 0, 7}}, 0x12345678u, 0x9abcdef0u);
    for (int j = 0; j < 4; ++j) report.equal(words[i].x[j], expected.x[j], "word", i * 4 + j);
  }
  const Words zeros = philox({{0, 0, 0, 0}}, 0, 0);
  report.equal(zeros.x[0], 0x6627e8d5u, "known answer");
  return report.finish();
}
#endif
