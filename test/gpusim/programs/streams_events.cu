// SPDX-License-Identifier: Apache-2.0
// Streams and events: order across streams by events, queries, elapsed time, the legacy default stream's barrier.
#ifdef __CUDACC__
extern "C" __global__ void affine(int* x, int n, int a, int b) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = x[i] * a + b;
}
extern "C" __global__ void slow(int* x, int n, int rounds) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned state = i < n ? x[i] : 0;
  for (int round = 0; round < rounds; ++round) state = state * 1664525u + 1013904223u;
  if (i < n) x[i] = state;
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  const int n = 1000, rounds = 300;
  const auto values = harness::randomIntegers<int>(n, -100, 100);
  CUstream first, second, blocking;
  CU(cuStreamCreate(&first, CU_STREAM_NON_BLOCKING));
  CU(cuStreamCreateWithPriority(&second, CU_STREAM_NON_BLOCKING, 0));
  CU(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
  CUevent start, ready, end;
  for (CUevent* event : {&start, &ready, &end}) CU(cuEventCreate(event, CU_EVENT_DEFAULT));
  harness::Buffer<int> x(values);
  int* pinned;
  CU(cuMemHostAlloc(reinterpret_cast<void**>(&pinned), n * sizeof(int), 0));

  CU(cuEventRecord(start, first));
  harness::Launch{program.kernel("slow"), {8}, {128}, 0, first}(x, n, rounds);
  CU(cuEventRecord(ready, first));
  CU(cuStreamWaitEvent(second, ready, 0));
  harness::Launch{program.kernel("affine"), {8}, {128}, 0, second}(x, n, 3, 5);
  CU(cuMemcpyDtoHAsync(pinned, x.pointer(), n * sizeof(int), second));
  CU(cuEventRecord(end, second));
  CU(cuEventSynchronize(end));
  report.equal(int(cuEventQuery(ready)), int(CUDA_SUCCESS), "earlier event");
  report.equal(int(cuStreamQuery(second)), int(CUDA_SUCCESS), "drained stream");
  float milliseconds = -1;
  CU(cuEventElapsedTime(&milliseconds, start, end));
  report.is(milliseconds >= 0, "elapsed time");
  for (int i = 0; i < n; ++i) {
    unsigned state = values[i];
    for (int round = 0; round < rounds; ++round) state = state * 1664525u + 1013904223u;
    report.equal(pinned[i], int(state * 3 + 5), "two streams", i);
  }

  // A blocking stream and the legacy default stream wait for each other without events.
  x.upload(values);
  harness::Launch{program.kernel("slow"), {8}, {128}, 0, blocking}(x, n, rounds);
  harness::Launch{program.kernel("affine"), {8}, {128}}(x, n, 7, 1);
  harness::Launch{program.kernel("affine"), {8}, {128}, 0, blocking}(x, n, 1, 2);
  CU(cuStreamSynchronize(blocking));
  const auto result = x.download();
  for (int i = 0; i < n; ++i) {
    unsigned state = values[i];
    for (int round = 0; round < rounds; ++round) state = state * 1664525u + 1013904223u;
    report.equal(result[i], int(state * 7 + 3), "default stream", i);
  }
  CU(cuMemFreeHost(pinned));
  for (CUevent event : {start, ready, end}) CU(cuEventDestroy(event));
  for (CUstream stream : {first, second, blocking}) CU(cuStreamDestroy(stream));
  return report.finish();
}
#endif
