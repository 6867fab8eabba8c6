// SPDX-License-Identifier: Apache-2.0
// Planted misuse of the driver API by the host, chosen by the first argument; `ok` appended is the correct twin.
#ifdef __CUDACC__
extern "C" __global__ void increment(int* x) {
  x[threadIdx.x] += 1;  // BUG increment
}
extern "C" __global__ void slow(int* x) {
  unsigned state = x[threadIdx.x];
  for (int i = 0; i < 20000; ++i) state = state * 1664525u + 1013904223u;
  x[threadIdx.x] = state | 1;
}
#else
#include <cstring>
#include <string>

#include "harness.h"

int main(int argc, char** argv) {
  harness::Program program(argv[0]);
  const std::string mode = argc > 1 ? argv[1] : "";
  const bool ok = mode.size() > 3 && mode.substr(mode.size() - 3) == "_ok";
  const std::string bug = ok ? mode.substr(0, mode.size() - 3) : mode;
  const int zeros[32] = {};
  CUdeviceptr x;
  CU(cuMemAlloc(&x, sizeof zeros));
  CU(cuMemcpyHtoD(x, zeros, sizeof zeros));
  CUresult result = CUDA_SUCCESS;
  const auto launch = [&](const char* name, CUstream stream) {
    void* args[] = {&x};
    CU(cuLaunchKernel(program.kernel(name), 1, 1, 1, 32, 1, 1, 0, stream, args, nullptr));
  };

  if (bug == "use_after_free") {
    if (!ok) CU(cuMemFree(x));
    launch("increment", nullptr);
    result = cuCtxSynchronize();
    if (ok) CU(cuMemFree(x));
    // The context is lost after the error, as it is on a device.
    if (!ok) std::_Exit(result == CUDA_SUCCESS ? 0 : 3);
  } else if (bug == "use_after_async_free") {
    CUstream stream;
    CU(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CU(cuMemFree(x));
    CU(cuMemAllocAsync(&x, sizeof zeros, stream));
    CU(cuMemsetD32Async(x, 5, 32, stream));
    if (!ok) CU(cuMemFreeAsync(x, stream));
    launch("increment", stream);
    if (ok) CU(cuMemFreeAsync(x, stream));
    result = cuStreamSynchronize(stream);
    if (!ok) std::_Exit(result == CUDA_SUCCESS ? 0 : 3);
    CU(cuStreamDestroy(stream));
  } else if (bug == "double_free") {
    CU(cuMemFree(x));
    if (!ok) result = cuMemFree(x);
  } else if (bug == "invalid_free") {
    result = cuMemFree(ok ? x : x + 4);
    if (!ok) CU(cuMemFree(x));
  } else if (bug == "leak") {
    if (ok) CU(cuMemFree(x));
  } else if (bug == "host_touch") {
    int value = 1;
    if (ok)
      CU(cuMemcpyDtoH(&value, x, 4));
    else
      value = *reinterpret_cast<volatile int*>(x);
    CU(cuMemFree(x));
    return value;
  } else if (bug == "stale_result") {
    CUstream stream;
    CU(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    int* pinned;
    CU(cuMemAllocHost(reinterpret_cast<void**>(&pinned), sizeof zeros));
    std::memset(pinned, 0, sizeof zeros);
    launch("slow", stream);
    CU(cuMemcpyDtoHAsync(pinned, x, sizeof zeros, stream));
    if (ok) CU(cuStreamSynchronize(stream));
    const int seen = *reinterpret_cast<volatile int*>(pinned);
    CU(cuStreamSynchronize(stream));
    CU(cuMemFreeHost(pinned));
    CU(cuStreamDestroy(stream));
    CU(cuMemFree(x));
    return seen == 0 ? 3 : 0;
  } else if (bug == "host_bounds") {
    result = cuMemcpyHtoD(x + (ok ? 0 : 4), zeros, sizeof zeros);
    CU(cuMemFree(x));
  } else {
    harness::die("unknown mode", __FILE__, __LINE__);
  }
  return result == CUDA_SUCCESS ? 0 : 3;
}
#endif
