// SPDX-License-Identifier: Apache-2.0
// Libraries and kernels independent of a context, cuGetProcAddress, plain PTX with a JIT log, and errors by name.
#ifdef __CUDACC__
__device__ int bias = 3;
extern "C" __global__ void addBias(int* x) { x[threadIdx.x] += bias; }
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  CUlibrary library;
  CU(cuLibraryLoadData(&library, program.image.data(), nullptr, nullptr, 0, nullptr, nullptr, 0));
  CUkernel kernel;
  CU(cuLibraryGetKernel(&kernel, library, "addBias"));
  CUdeviceptr bias;
  size_t size;
  CU(cuLibraryGetGlobal(&bias, &size, library, "bias"));
  report.equal(size, size_t(4), "size of bias");
  harness::Buffer<int> x(std::vector<int>(32, 10));
  harness::Launch{reinterpret_cast<CUfunction>(kernel), {1}, {32}}(x);
  CUfunction function;
  CU(cuKernelGetFunction(&function, kernel));
  const int value = 100;
  CU(cuMemcpyHtoD(bias, &value, 4));
  harness::Launch{function, {1}, {32}}(x);
  report.equal(x.download(), std::vector<int>(32, 113), "x");
  CU(cuLibraryUnload(library));

  int (*version)(int*) = nullptr;
  CUdriverProcAddressQueryResult found;
  CU(cuGetProcAddress("cuDriverGetVersion", reinterpret_cast<void**>(&version), 12000, CU_GET_PROC_ADDRESS_DEFAULT,
                      &found));
  report.equal(int(found), int(CU_GET_PROC_ADDRESS_SUCCESS), "lookup");
  int number = 0;
  report.equal(version(&number), 0, "call through the pointer");
  report.is(number >= 12000, "driver version");
  void* missing = &number;
  cuGetProcAddress("cuNoSuchFunction", &missing, 12000, CU_GET_PROC_ADDRESS_DEFAULT, &found);
  report.is(missing == nullptr && found == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND, "unknown name");

  const char* good = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry nothing() { ret; }\n";
  CUmodule module;
  CU(cuModuleLoadData(&module, good));
  CU(cuModuleGetFunction(&function, module, "nothing"));
  CU(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr));
  CU(cuCtxSynchronize());
  report.equal(int(cuModuleGetFunction(&function, module, "absent")), int(CUDA_ERROR_NOT_FOUND), "unknown kernel");
  CU(cuModuleUnload(module));
  char log[512] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  const char* bad =
      ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry broken() { mov.u32 %nowhere, 1; ret; }\n";
  report.equal(int(cuModuleLoadDataEx(&module, bad, 2, options, values)), int(CUDA_ERROR_INVALID_PTX),
               "undeclared register");
  report.is(std::string(log).find("nowhere") != std::string::npos, "the log names the register");
  const char* later = ".version 9.0\n.target sm_120\n.address_size 64\n.visible .entry nothing() { ret; }\n";
  report.is(cuModuleLoadData(&module, later) != CUDA_SUCCESS, "PTX for a later device is refused");

  const char* name = nullptr;
  CU(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &name));
  report.is(std::string(name) == "CUDA_ERROR_ILLEGAL_ADDRESS", "error name");
  CU(cuGetErrorString(CUDA_ERROR_OUT_OF_MEMORY, &name));
  report.is(std::string(name) == "out of memory", "error string");
  CUdeviceptr huge;
  report.equal(int(cuMemAlloc(&huge, size_t(1) << 50)), int(CUDA_ERROR_OUT_OF_MEMORY), "oversized allocation");
  report.equal(int(cuDeviceGet(&number, 99)), int(CUDA_ERROR_INVALID_DEVICE), "device ordinal");
  return report.finish();
}
#endif
