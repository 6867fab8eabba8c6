// SPDX-License-Identifier: Apache-2.0
// Kernel launches.
#include "api.h"
#include "capture.h"
#include "kernel_launch.h"

using namespace gpusim;

namespace {

CUresult launchInto(CUfunction f, const LaunchRequest& request, CUstream stream) {
  return onStream(stream, [&](const StreamUse& use) -> CUresult {
    KernelWork work;
    const CUresult status = prepareLaunch(use.context, f, request, work);
    if (status != CUDA_SUCCESS) return status;
    return submit(use.context, use.stream, CU_GRAPH_NODE_TYPE_KERNEL, std::move(work));
  });
}

}  // namespace

CUresult cuLaunchKernel(CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ,
                        unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ,
                        unsigned int sharedMemBytes, CUstream hStream, void** kernelParams, void** extra) {
  return launchInto(f,
                    {{gridDimX, gridDimY, gridDimZ},
                     {blockDimX, blockDimY, blockDimZ},
                     sharedMemBytes,
                     false,
                     0,
                     kernelParams,
                     extra},
                    hStream);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction f, void** kernelParams, void** extra) {
  if (!config) return CUDA_ERROR_INVALID_VALUE;
  LaunchRequest request{{config->gridDimX, config->gridDimY, config->gridDimZ},
                        {config->blockDimX, config->blockDimY, config->blockDimZ},
                        config->sharedMemBytes,
                        false,
                        0,
                        kernelParams,
                        extra};
  if (const CUresult status = readAttributes(config->attrs, config->numAttrs, request); status != CUDA_SUCCESS)
    return status;
  return launchInto(f, request, config->hStream);
}

CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ,
                                   unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ,
                                   unsigned int sharedMemBytes, CUstream hStream, void** kernelParams) {
  return launchInto(f,
                    {{gridDimX, gridDimY, gridDimZ},
                     {blockDimX, blockDimY, blockDimZ},
                     sharedMemBytes,
                     true,
                     0,
                     kernelParams,
                     nullptr},
                    hStream);
}
