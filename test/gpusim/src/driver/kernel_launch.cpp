// SPDX-License-Identifier: Apache-2.0
#include "kernel_launch.h"

#include <cstring>

namespace gpusim {
namespace {

// The `extra` form: a list of (what, value) pairs that ends with kLaunchParamEnd.
CUresult copyExtra(void** extra, const Kernel& kernel, std::vector<uint8_t>& buffer) {
  const void* source = nullptr;
  const size_t* size = nullptr;
  for (size_t i = 0; reinterpret_cast<uintptr_t>(extra[i]) != kLaunchParamEnd; i += 2) {
    switch (reinterpret_cast<uintptr_t>(extra[i])) {
      case kLaunchParamBufferPointer:
        source = extra[i + 1];
        break;
      case kLaunchParamBufferSize:
        size = static_cast<const size_t*>(extra[i + 1]);
        break;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  }
  if (!source || !size || *size < kernel.parameterBytes) return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(buffer.data(), source, buffer.size());
  return CUDA_SUCCESS;
}

CUresult copyParameters(const LaunchRequest& request, const Kernel& kernel, std::vector<uint8_t>& buffer) {
  buffer.assign(kernel.parameterBytes, 0);
  if (request.kernelParams && request.extra) return CUDA_ERROR_INVALID_VALUE;
  if (request.extra) return copyExtra(request.extra, kernel, buffer);
  if (kernel.parameters.empty()) return CUDA_SUCCESS;
  if (!request.kernelParams) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < kernel.parameters.size(); ++i) {
    const KernelParameter& parameter = kernel.parameters[i];
    if (!request.kernelParams[i]) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(buffer.data() + parameter.offset, request.kernelParams[i], parameter.size);
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult prepareLaunch(const std::shared_ptr<Context>& context, const void* functionHandle,
                       const LaunchRequest& request, KernelWork& work) {
  if (const CUresult status = resolveFunction(context, functionHandle, work.function); status != CUDA_SUCCESS)
    return status;
  if (work.function->module->context != context) return CUDA_ERROR_INVALID_HANDLE;
  const Kernel& kernel = *work.function->kernel;
  work.config.grid = request.grid;
  work.config.block = request.block;
  work.config.dynamicShared = request.sharedBytes;
  work.config.cooperative = request.cooperative;
  work.config.maxDynamicShared = work.function->raised ? static_cast<uint32_t>(work.function->maxDynamicShared) : 0;
  work.priority = request.priority;
  if (const CUresult status = copyParameters(request, kernel, work.config.parameters); status != CUDA_SUCCESS) {
    logRefusal(kernel.name + ": the launch does not give all " + std::to_string(kernel.parameters.size()) +
               " parameters (" + std::to_string(kernel.parameterBytes) + " bytes)");
    return status;
  }
  std::string why;
  const Status status = validateLaunch(context->device.state, kernel, work.config, why);
  if (status != Status::Success) logRefusal(why);
  return static_cast<CUresult>(status);
}

CUresult readAttributes(const CUlaunchAttribute* attributes, unsigned count, LaunchRequest& request) {
  if (count > 0 && !attributes) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    const CUlaunchAttributeValue& value = attributes[i].value;
    switch (attributes[i].id) {
      case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
        request.cooperative = value.cooperative != 0;
        break;
      case CU_LAUNCH_ATTRIBUTE_PRIORITY:
        request.priority = value.priority;
        break;
      case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
      case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
        if (value.clusterDim.x * value.clusterDim.y * value.clusterDim.z > 1) return CUDA_ERROR_NOT_SUPPORTED;
        break;
      case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
      case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
      case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
        return CUDA_ERROR_NOT_SUPPORTED;
      // Full serialisation is a legal way to honour programmatic serialisation; the rest are hints.
      case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
      case CU_LAUNCH_ATTRIBUTE_IGNORE:
      case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
      case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
      case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
      case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
      case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        break;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace gpusim
