// SPDX-License-Identifier: Apache-2.0
// Planted data races, each beside its correct twin. Blocks have two warps unless the test says otherwise.

extern "C" __global__ void write_write_bug(int* out) {
  __shared__ int cells[64];
  cells[threadIdx.x % 32] = threadIdx.x;  // BUG write_write
  __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = cells[threadIdx.x % 32];
}
extern "C" __global__ void write_write_ok(int* out) {
  __shared__ int cells[64];
  cells[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = cells[threadIdx.x % 32];
}

extern "C" __global__ void read_after_write_bug(int* out) {
  __shared__ int cells[64];
  cells[threadIdx.x] = threadIdx.x;                              // BUG read_after_write: one of the two accesses
  out[blockIdx.x * 64 + threadIdx.x] = cells[63 - threadIdx.x];  // BUG read_after_write
}
extern "C" __global__ void read_after_write_ok(int* out) {
  __shared__ int cells[64];
  cells[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = cells[63 - threadIdx.x];
}

extern "C" __global__ void write_after_read_bug(int* out) {
  __shared__ int cells[64];
  cells[threadIdx.x] = threadIdx.x;
  int sum = 0;
  for (int round = 0; round < 3; ++round) {
    __syncthreads();
    sum += cells[(threadIdx.x + 32) % 64];  // BUG write_after_read
    if (round == 2) break;
    cells[threadIdx.x] = round;  // BUG write_after_read
  }
  out[blockIdx.x * 64 + threadIdx.x] = sum;
}
extern "C" __global__ void write_after_read_ok(int* out) {
  __shared__ int cells[64];
  cells[threadIdx.x] = threadIdx.x;
  int sum = 0;
  for (int round = 0; round < 3; ++round) {
    __syncthreads();
    sum += cells[(threadIdx.x + 32) % 64];
    if (round == 2) break;
    __syncthreads();
    cells[threadIdx.x] = round;
  }
  out[blockIdx.x * 64 + threadIdx.x] = sum;
}

extern "C" __global__ void global_write_bug(int* out) {
  out[threadIdx.x] = blockIdx.x;  // BUG global_write
}
extern "C" __global__ void global_write_ok(int* out) { atomicMax(&out[threadIdx.x], int(blockIdx.x)); }

extern "C" __global__ void global_read_bug(int* out) {
  out[blockIdx.x * 64 + threadIdx.x] = 1;  // BUG global_read
  __syncthreads();
  out[256 + blockIdx.x * 64 + threadIdx.x] = out[(blockIdx.x ^ 1) * 64 + threadIdx.x];  // BUG global_read
}
extern "C" __global__ void global_read_ok(int* out) {
  out[blockIdx.x * 64 + threadIdx.x] = 1;
  __syncthreads();
  out[256 + blockIdx.x * 64 + threadIdx.x] = out[blockIdx.x * 64 + (threadIdx.x ^ 1)];
}

// A shared counter that is read and written without an atomic.
extern "C" __global__ void counter_bug(int* out) {
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  if (threadIdx.x % 32 == 0) count = *(volatile int*)&count + 1;  // BUG counter
  __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = count > 0;
}
extern "C" __global__ void counter_ok(int* out) {
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  if (threadIdx.x % 32 == 0) atomicAdd(&count, 1);
  __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = count > 0;
}

// A volatile read does not wait for the plain write of another warp; two volatile accesses are a legal handshake.
extern "C" __global__ void volatile_read_bug(int* out) {
  __shared__ int value;
  if (threadIdx.x == 0) value = 1;                                  // BUG volatile_read
  if (threadIdx.x == 32) out[blockIdx.x] = *(volatile int*)&value;  // BUG volatile_read
}
extern "C" __global__ void volatile_read_ok(int* out) {
  __shared__ int value, flag;
  if (threadIdx.x == 0) flag = 0;
  __syncthreads();
  if (threadIdx.x == 0) {
    value = 1;
    __threadfence_block();
    *(volatile int*)&flag = 1;
  }
  if (threadIdx.x == 32) {
    while (*(volatile int*)&flag == 0) {
    }
    __threadfence_block();
    out[blockIdx.x] = value;
  }
}

// Every thread waits for its own copies, but reads what another warp copied: that takes a barrier too.
extern "C" __global__ void copied_by_another_bug(int* out) {
  __shared__ int cells[64];
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(cells + threadIdx.x));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4; cp.async.wait_all;" ::"r"(to), "l"(out + 256 + threadIdx.x));
  out[blockIdx.x * 64 + threadIdx.x] = *(volatile int*)&cells[63 - threadIdx.x];  // BUG copied_by_another
}
extern "C" __global__ void copied_by_another_ok(int* out) {
  __shared__ int cells[64];
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(cells + threadIdx.x));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4; cp.async.wait_all;" ::"r"(to), "l"(out + 256 + threadIdx.x));
  __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = *(volatile int*)&cells[63 - threadIdx.x];
}
