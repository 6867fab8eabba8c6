// SPDX-License-Identifier: Apache-2.0
// Function pointers, recursion, local arrays indexed at run time, virtual calls and structs by value.
#ifdef __CUDACC__
struct Operation {
  __device__ virtual int apply(int x, int y) const = 0;
};
struct Add : Operation {
  __device__ int apply(int x, int y) const override { return x + y; }
};
struct Multiply : Operation {
  int bias;
  __device__ explicit Multiply(int b) : bias(b) {}
  __device__ int apply(int x, int y) const override { return x * y + bias; }
};

typedef int (*Function)(int);
__device__ __noinline__ int triple(int x) { return 3 * x; }
__device__ __noinline__ int negate(int x) { return -x; }
__device__ __noinline__ int squared(int x) { return x * x; }
__device__ Function functions[3] = {triple, negate, squared};

__device__ __noinline__ int ackermann(int m, int n) {
  if (m == 0) return n + 1;
  return n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

struct Big {
  int cells[10];
};
__device__ __noinline__ Big reverse(Big in) {
  Big out;
  for (int i = 0; i < 10; ++i) out.cells[i] = in.cells[9 - i];
  return out;
}

extern "C" __global__ void run(int* out) {
  const int i = threadIdx.x;
  int* to = out + i * 5;
  to[0] = functions[i % 3](i);
  to[1] = ackermann(2, i % 4);
  int stack[16];
  for (int j = 0; j < 16; ++j) stack[j] = j * i;
  for (int j = 0; j < 16; ++j) stack[(j * 5 + i) % 16] += stack[j];
  int sum = 0;
  for (int j = 0; j < 16; ++j) sum = sum * 3 + stack[j];
  to[2] = sum;
  const Add add;
  const Multiply multiply(i);
  const Operation* operation = i % 2 ? static_cast<const Operation*>(&add) : &multiply;
  to[3] = operation->apply(i, 7);
  Big big;
  for (int j = 0; j < 10; ++j) big.cells[j] = i + j;
  to[4] = reverse(big).cells[i % 10];
}
#else
#include "harness.h"

static int ackermann(int m, int n) {
  return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

int main(int, char** argv) {
  harness::Program program(argv[0]);
  CU(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 4096));
  harness::Buffer<int> out(64 * 5);
  harness::Launch{program.kernel("run"), {1}, {64}}(out);
  const auto result = out.download();
  harness::Report report;
  for (int i = 0; i < 64; ++i) {
    int stack[16], sum = 0;
    for (int j = 0; j < 16; ++j) stack[j] = j * i;
    for (int j = 0; j < 16; ++j) stack[(j * 5 + i) % 16] += stack[j];
    for (int j = 0; j < 16; ++j) sum = int(unsigned(sum) * 3u + unsigned(stack[j]));
    const int expected[] = {i % 3 == 0   ? 3 * i
                            : i % 3 == 1 ? -i
                                         : i * i,
                            ackermann(2, i % 4), sum, i % 2 ? i + 7 : i * 7 + i, i + 9 - i % 10};
    for (int j = 0; j < 5; ++j) report.equal(result[i * 5 + j], expected[j], "thread", i * 10 + j);
  }
  return report.finish();
}
#endif
