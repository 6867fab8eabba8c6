// SPDX-License-Identifier: Apache-2.0
#include "runner.h"

#include <cstdlib>

#include "driver/api.h"
#include "driver/ownership.h"

namespace gpusim::tool {

// The device buffers of one launch; freed at its end even when the context is at fault.
class Runner::Buffers {
 public:
  ~Buffers() {
    GlobalMemory& memory = devices().front()->state.memory;
    for (const CUdeviceptr address : addresses_) {
      forgetAllocation(address);
      memory.free(address);
    }
  }
  CUresult add(const Argument& argument, CUdeviceptr& address) {
    const CUresult status = cuMemAlloc_v2(&address, argument.size);
    if (status != CUDA_SUCCESS) return status;
    addresses_.push_back(address);
    return argument.initialised ? cuMemcpyHtoD_v2(address, argument.bytes.data(), argument.size) : CUDA_SUCCESS;
  }

 private:
  std::vector<CUdeviceptr> addresses_;
};

std::string nameOf(CUresult status) {
  const char* name = nullptr;
  cuGetErrorName(status, &name);
  return name ? name : std::to_string(status);
}

Runner::Runner() {
  const CUresult status = cuInit(0);
  if (status != CUDA_SUCCESS) throw std::runtime_error("cuInit: " + nameOf(status));
  cuDevicePrimaryCtxRetain(&context_, 0);
  cuCtxSetCurrent(context_);
  defaultSeeds_ = devices().front()->state.seeds;
  defaultChecks_ = devices().front()->state.checks;
}

Runner::~Runner() { cuDevicePrimaryCtxRelease_v2(0); }

CUresult Runner::load(const std::string& path, CUmodule& module, std::string& log) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(path, error);
  const auto size = std::filesystem::file_size(path, error);
  if (error) throw UsageError("cannot read " + path);
  CachedModule& cached = modules_[path];
  if (cached.module && cached.time == time && cached.size == size) {
    module = cached.module;
    return CUDA_SUCCESS;
  }
  if (cached.module) cuModuleUnload(cached.module);
  cached = {};
  std::vector<uint8_t> image = readFile(path);
  image.push_back(0);
  std::vector<char> errors(1 << 16), notes(1 << 20);
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, CU_JIT_INFO_LOG_BUFFER,
                            CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {errors.data(), reinterpret_cast<void*>(errors.size()), notes.data(),
                    reinterpret_cast<void*>(notes.size())};
  const CUresult status = cuModuleLoadDataEx(&module, image.data(), 4, options, values);
  log = status == CUDA_SUCCESS ? notes.data() : errors.data();
  if (status == CUDA_SUCCESS) cached = {module, time, size};
  return status;
}

CUfunction Runner::findKernel(CUmodule module, const RunOptions& options) const {
  CUfunction function = nullptr;
  if (!options.kernel.empty()) {
    if (cuModuleGetFunction(&function, module, options.kernel.c_str()) != CUDA_SUCCESS)
      throw UsageError(options.file + " has no kernel " + options.kernel);
    return function;
  }
  unsigned count = 0;
  cuModuleGetFunctionCount(&count, module);
  if (count != 1) throw UsageError(options.file + " has " + std::to_string(count) + " kernels: give --kernel");
  cuModuleEnumerateFunctions(&function, 1, module);
  return function;
}

CUresult Runner::launch(const RunOptions& options, CUmodule module, Buffers& buffers, RunResult& result) {
  CUfunction function = findKernel(module, options);
  std::vector<CUdeviceptr> addresses(options.arguments.size());
  std::vector<void*> pointers;
  size_t offset = 0, size = 0, parameters = 0;
  while (cuFuncGetParamInfo(function, parameters, &offset, &size) == CUDA_SUCCESS) ++parameters;
  if (parameters != options.arguments.size())
    throw UsageError("the kernel takes " + std::to_string(parameters) + " arguments, not " +
                     std::to_string(options.arguments.size()));
  for (size_t i = 0; i < options.arguments.size(); ++i) {
    const Argument& argument = options.arguments[i];
    const bool isBuffer = argument.kind == Argument::Kind::kBuffer;
    cuFuncGetParamInfo(function, i, &offset, &size);
    if (size != (isBuffer ? sizeof(CUdeviceptr) : argument.bytes.size()))
      throw UsageError("argument " + std::to_string(i) + " must have " + std::to_string(size) + " bytes");
    if (isBuffer) {
      if (const CUresult status = buffers.add(argument, addresses[i]); status != CUDA_SUCCESS) return status;
    }
    pointers.push_back(isBuffer ? static_cast<void*>(&addresses[i]) : const_cast<uint8_t*>(argument.bytes.data()));
  }
  int dynamicLimit = 0;
  cuFuncGetAttribute(&dynamicLimit, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, function);
  if (options.shared > static_cast<uint32_t>(dynamicLimit))
    cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, static_cast<int>(options.shared));
  CUlaunchAttribute cooperative{};
  cooperative.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
  cooperative.value.cooperative = 1;
  const CUlaunchConfig config{
      options.grid.x,  options.grid.y, options.grid.z, options.block.x, options.block.y,
      options.block.z, options.shared, nullptr,        &cooperative,    options.cooperative ? 1u : 0u};
  CUresult status = cuLaunchKernelEx(&config, function, pointers.data(), nullptr);
  if (status != CUDA_SUCCESS) return status;
  status = cuCtxSynchronize();
  if (status != CUDA_SUCCESS) return status;
  for (size_t i = 0; i < options.arguments.size(); ++i) {
    const Argument& argument = options.arguments[i];
    if (argument.writeTo.empty() && !argument.show) continue;
    std::vector<uint8_t> bytes(argument.size);
    status = cuMemcpyDtoH_v2(bytes.data(), addresses[i], bytes.size());
    if (status != CUDA_SUCCESS) return status;
    if (argument.show) result.shown.push_back(toHex(bytes));
    if (!argument.writeTo.empty()) writeFile(argument.writeTo, bytes);
  }
  return CUDA_SUCCESS;
}

RunResult Runner::fail(CUresult status, const std::string& message) {
  const auto context = currentContext();
  RunResult result{status, message.empty() ? context->faultMessage() : message, message.empty(), {}};
  if (context->fault() != CUDA_SUCCESS) {
    cuDevicePrimaryCtxReset_v2(0);
    modules_.clear();
  }
  return result;
}

RunResult Runner::run(const RunOptions& options) {
  DeviceState& state = devices().front()->state;
  state.seeds = options.seed ? std::vector<uint64_t>{*options.seed} : defaultSeeds_;
  state.launches = 0;  // the number of the launch is part of its random order: a line of a batch runs as it would alone
  state.checks = defaultChecks_;
  if (options.check) {
    setenv("GPUSIM_CHECK", options.check->c_str(), 1);
    std::string problem;
    state.checks = CheckOptions::fromEnvironment(&problem);
    if (!problem.empty()) throw UsageError(problem);
  }
  state.checks.strict |= options.strict;
  CUmodule module = nullptr;
  std::string log;
  if (const CUresult status = load(options.file, module, log); status != CUDA_SUCCESS) return fail(status, log);
  RunResult result;
  CUresult status = CUDA_SUCCESS;
  {
    Buffers buffers;
    status = launch(options, module, buffers, result);
  }
  return status == CUDA_SUCCESS ? result : fail(status, "");
}

}  // namespace gpusim::tool
