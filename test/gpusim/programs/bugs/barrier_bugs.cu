// SPDX-License-Identifier: Apache-2.0
// Planted misuse of barriers and of warp-synchronous instructions, each beside its correct twin.

extern "C" __global__ void divergent_bug(int* out) {
  out[threadIdx.x] = threadIdx.x;
  if (threadIdx.x % 32 < 16) {
    __syncthreads();  // BUG divergent
    out[threadIdx.x] += 1;
  } else {
    out[threadIdx.x] += 2;
    __syncthreads();  // BUG divergent
    out[threadIdx.x] += 3;
  }
}
extern "C" __global__ void divergent_ok(int* out) {
  out[threadIdx.x] = threadIdx.x;
  if (threadIdx.x < 32) {
    out[threadIdx.x] += 1;
  } else {
    out[threadIdx.x] += 2;
  }
  __syncthreads();
  out[threadIdx.x] += 3;
}

extern "C" __global__ void counts_bug(int* out) {
  if (threadIdx.x < 32)
    asm volatile("bar.sync 1, 64;" ::: "memory");  // BUG counts
  else
    asm volatile("bar.sync 1, 96;" ::: "memory");  // BUG counts
  out[threadIdx.x] = 1;
}
extern "C" __global__ void counts_ok(int* out) {
  if (threadIdx.x < 32)
    asm volatile("bar.sync 1, 64;" ::: "memory");
  else
    asm volatile("bar.sync 1, 64;" ::: "memory");
  out[threadIdx.x] = 1;
}

extern "C" __global__ void deadlock_bug(int* out) {
  if (threadIdx.x < 32)
    asm volatile("bar.sync 2, 64;" ::: "memory");  // BUG deadlock
  else
    asm volatile("bar.sync 3, 64;" ::: "memory");  // BUG deadlock
  out[threadIdx.x] = 1;
}
extern "C" __global__ void deadlock_ok(int* out) {
  if (threadIdx.x < 32)
    asm volatile("bar.sync 2, 32;" ::: "memory");
  else
    asm volatile("bar.sync 3, 32;" ::: "memory");
  out[threadIdx.x] = 1;
}

extern "C" __global__ void shuffle_bug(int* out) {
  int value = threadIdx.x;
  if (threadIdx.x % 32 < 16) value = __shfl_xor_sync(0xffffffff, value, 1);  // BUG shuffle
  out[threadIdx.x] = value;
}
extern "C" __global__ void shuffle_ok(int* out) {
  int value = threadIdx.x;
  if (threadIdx.x % 32 < 16) value = __shfl_xor_sync(0x0000ffff, value, 1);
  out[threadIdx.x] = value;
}

extern "C" __global__ void caller_bug(int* out) {
  int value = threadIdx.x;
  if (threadIdx.x % 32 < 16) value = __shfl_sync(0x000000ff, value, 2);  // BUG caller
  out[threadIdx.x] = value;
}
extern "C" __global__ void caller_ok(int* out) {
  int value = threadIdx.x;
  if (threadIdx.x % 32 < 8) value = __shfl_sync(0x000000ff, value, 2);
  out[threadIdx.x] = value;
}

extern "C" __global__ void vote_bug(int* out) {
  int value = 0;
  if (threadIdx.x & 1) value = __ballot_sync(0xffffffff, threadIdx.x > 7);  // BUG vote
  out[threadIdx.x] = value;
}
extern "C" __global__ void vote_ok(int* out) {
  int value = 0;
  if (threadIdx.x & 1) value = __ballot_sync(0xaaaaaaaa, threadIdx.x > 7);
  out[threadIdx.x] = value;
}

extern "C" __global__ void warp_barrier_bug(int* out) {
  if (threadIdx.x % 32 < 20) {
    out[threadIdx.x] = 1;
    __syncwarp();  // BUG warp_barrier
    out[threadIdx.x] += 1;
  } else {
    out[threadIdx.x] = __popc(__activemask());
  }
}
extern "C" __global__ void warp_barrier_ok(int* out) {
  if (threadIdx.x % 32 < 20) {
    out[threadIdx.x] = 1;
    __syncwarp(0x000fffff);
    out[threadIdx.x] += 1;
  } else {
    out[threadIdx.x] = __popc(__activemask());
  }
}

__device__ void product(float (&d)[4], unsigned x) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(x), "r"(x), "r"(x));
}
extern "C" __global__ void matrix_bug(int* out) {
  float d[4] = {};
  if (threadIdx.x % 32 != 9) product(d, 0x3c003c00);  // BUG matrix
  out[threadIdx.x] = int(d[0]);
}
extern "C" __global__ void matrix_ok(int* out) {
  float d[4] = {};
  product(d, 0x3c003c00);
  out[threadIdx.x] = int(d[0]);
}

// ldmatrix reads rows that other lanes wrote, which takes a __syncwarp; what follows it comes after it for all lanes.
__device__ void loadRows(const int* rows, int* out) {
  int a, b;
  const unsigned row = static_cast<unsigned>(__cvta_generic_to_shared(rows + threadIdx.x % 16 * 4));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(a), "=r"(b)
               : "r"(row));  // BUG matrix_read
  out[threadIdx.x] = a + b;
}
extern "C" __global__ void matrix_read_bug(int* out) {
  __shared__ alignas(16) int rows[64];
  rows[threadIdx.x] = rows[threadIdx.x + 32] = 1;
  loadRows(rows, out);
}
extern "C" __global__ void matrix_read_ok(int* out) {
  __shared__ alignas(16) int rows[64];
  rows[threadIdx.x] = rows[threadIdx.x + 32] = 1;
  __syncwarp();
  loadRows(rows, out);
  rows[threadIdx.x] = 2;
}
