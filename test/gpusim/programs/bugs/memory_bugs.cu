// SPDX-License-Identifier: Apache-2.0
// Planted memory bugs, each beside its correct twin. The test finds the line that must be reported by the marker on it.

extern "C" __global__ void over_bug(const int* in, int* out, int n) {
  const int i = threadIdx.x;
  out[i + (i == n - 1)] = in[i];  // BUG over
}
extern "C" __global__ void over_ok(const int* in, int* out, int n) {
  const int i = threadIdx.x;
  out[min(i + (i == n - 1), n - 1)] = in[i];
}

extern "C" __global__ void under_bug(const int* in, int* out, int n) {
  const int i = threadIdx.x;
  out[i] = in[i - 1];  // BUG under
}
extern "C" __global__ void under_ok(const int* in, int* out, int n) {
  const int i = threadIdx.x;
  out[i] = i > 0 ? in[i - 1] : 0;
}

extern "C" __global__ void null_bug(const int* in, int* out, int n) {
  const int* p = threadIdx.x == 5 ? reinterpret_cast<const int*>(size_t(n - 32)) : in;
  out[threadIdx.x] = p[threadIdx.x % 4];  // BUG null
}
extern "C" __global__ void null_ok(const int* in, int* out, int n) {
  const int* p = threadIdx.x == 5 ? in + 1 : in;
  out[threadIdx.x] = p[threadIdx.x % 4];
}

extern "C" __global__ void misaligned_bug(const char* in, int* out, int n) {
  out[threadIdx.x] = *reinterpret_cast<const int*>(in + threadIdx.x);  // BUG misaligned
}
extern "C" __global__ void misaligned_ok(const char* in, int* out, int n) {
  out[threadIdx.x] = *reinterpret_cast<const int*>(in + threadIdx.x / 4 * 4);
}

extern "C" __global__ void vector_bug(const float* in, float* out, int n) {
  const float4 v = *reinterpret_cast<const float4*>(in + threadIdx.x % 4 * 2);  // BUG vector
  out[threadIdx.x] = v.x + v.w;
}
extern "C" __global__ void vector_ok(const float* in, float* out, int n) {
  const float4 v = *reinterpret_cast<const float4*>(in + threadIdx.x % 4 * 4);
  out[threadIdx.x] = v.x + v.w;
}

// Both twins of this one run the same code: the buffer is uninitialised for the first and zero for the second.
extern "C" __global__ void uninitialised_global_bug(const int* in, int* out, int n) {
  out[threadIdx.x] = in[threadIdx.x] + 1;  // BUG uninitialised_global
}
extern "C" __global__ void uninitialised_global_ok(const int* in, int* out, int n) {
  out[threadIdx.x] = in[threadIdx.x] + 1;
}

extern "C" __global__ void uninitialised_shared_bug(const int* in, int* out, int n) {
  __shared__ int cells[64];
  if (threadIdx.x < 31) cells[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = cells[31 - threadIdx.x];  // BUG uninitialised_shared
}
extern "C" __global__ void uninitialised_shared_ok(const int* in, int* out, int n) {
  __shared__ int cells[64];
  cells[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = cells[31 - threadIdx.x];
}

extern "C" __global__ void uninitialised_local_bug(const int* in, int* out, int n) {
  volatile int cells[16];
  for (int i = 0; i < n / 4; ++i) cells[i] = in[i];
  out[threadIdx.x] = cells[threadIdx.x % 16];  // BUG uninitialised_local
}
extern "C" __global__ void uninitialised_local_ok(const int* in, int* out, int n) {
  volatile int cells[16];
  for (int i = 0; i < n / 2; ++i) cells[i] = in[i];
  // a struct of a byte and an int is copied as one word, with its padding
  volatile long long pair;
  reinterpret_cast<volatile char*>(&pair)[0] = char(n);
  reinterpret_cast<volatile int*>(&pair)[1] = in[0];
  const long long copy = pair;
  out[threadIdx.x] = cells[threadIdx.x % 16] + int(copy >> 32);
}

extern "C" __global__ void shared_bounds_bug(const int* in, int* out, int n) {
  extern __shared__ int dynamic[];
  dynamic[threadIdx.x + (threadIdx.x == 31)] = in[threadIdx.x];  // BUG shared_bounds
  __syncthreads();
  out[threadIdx.x] = dynamic[threadIdx.x % 16];
}
extern "C" __global__ void shared_bounds_ok(const int* in, int* out, int n) {
  extern __shared__ int dynamic[];
  dynamic[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = dynamic[threadIdx.x % 16];
}

extern "C" __global__ void local_bounds_bug(const int* in, int* out, int n) {
  volatile int cells[8];
  for (int i = 0; i < 8; ++i) cells[i] = in[i];
  out[threadIdx.x] = cells[n * 1000 + threadIdx.x];  // BUG local_bounds
}
extern "C" __global__ void local_bounds_ok(const int* in, int* out, int n) {
  volatile int cells[8];
  for (int i = 0; i < 8; ++i) cells[i] = in[i];
  out[threadIdx.x] = cells[(n * 1000 + threadIdx.x) % 8];
}

__device__ __noinline__ int descend(int depth, int x) {
  volatile int frame[64];
  for (int i = 0; i < 64; ++i) frame[i] = x + i;
  if (depth == 0) return frame[x & 63];
  return descend(depth - 1, x + 1) + frame[depth & 63];
}
extern "C" __global__ void stack_bug(const int* in, int* out, int n) { out[threadIdx.x] = descend(n * 1000, in[0]); }
extern "C" __global__ void stack_ok(const int* in, int* out, int n) { out[threadIdx.x] = descend(1, in[0]); }

__constant__ int table[32] = {1, 2, 3};
extern "C" __global__ void const_write_bug(const int* in, int* out, int n) {
  int* p = n > 0 ? const_cast<int*>(table) : out;
  p[threadIdx.x] = in[threadIdx.x];  // BUG const_write
}
extern "C" __global__ void const_write_ok(const int* in, int* out, int n) {
  int* p = n > 0 ? out : const_cast<int*>(table);
  p[threadIdx.x] = in[threadIdx.x];
}

struct Block {
  int cells[8];
};
extern "C" __global__ void param_write_bug(const int* in, int* out, const __grid_constant__ Block block) {
  int* p = in[0] == 12345 ? out : const_cast<int*>(block.cells);
  p[threadIdx.x & 7] = 3;  // BUG param_write
}
extern "C" __global__ void param_write_ok(const int* in, int* out, const __grid_constant__ Block block) {
  int* p = in[0] != 12345 ? out : const_cast<int*>(block.cells);
  p[threadIdx.x] = block.cells[threadIdx.x & 7];
}

extern "C" __global__ void early_copy_bug(const int* in, int* out, int n) {
  __shared__ int cells[32];
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(cells + threadIdx.x));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4; cp.async.commit_group;" ::"r"(to), "l"(in + threadIdx.x));
  asm volatile("cp.async.wait_group 1;");
  out[threadIdx.x] = *(volatile int*)&cells[threadIdx.x];  // BUG early_copy
  asm volatile("cp.async.wait_all;");
}
extern "C" __global__ void early_copy_ok(const int* in, int* out, int n) {
  __shared__ int cells[32];
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(cells + threadIdx.x));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4; cp.async.commit_group;" ::"r"(to), "l"(in + threadIdx.x));
  asm volatile("cp.async.wait_group 0;");
  out[threadIdx.x] = *(volatile int*)&cells[threadIdx.x];
}

#include <cassert>
extern "C" __global__ void assert_bug(const int* in, int* out, int n) {
  assert(in[threadIdx.x] < n - 1);  // BUG assert
  out[threadIdx.x] = in[threadIdx.x];
}
extern "C" __global__ void assert_ok(const int* in, int* out, int n) {
  assert(in[threadIdx.x] < n);
  out[threadIdx.x] = in[threadIdx.x];
}
