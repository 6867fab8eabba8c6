// SPDX-License-Identifier: Apache-2.0
#include "runtime.h"

#include <cstdlib>

#include "context.h"
#include "findings.h"
#include "log.h"
#include "pool.h"
#include "stream.h"

namespace gpusim {
namespace {

struct Runtime {
  std::mutex mutex;
  std::atomic<bool> ready{false};
  CUresult status = CUDA_ERROR_NOT_INITIALIZED;
  std::vector<std::unique_ptr<Device>> devices;
};

// Never destroyed: stream threads and other libraries' exit handlers may outlive it otherwise.
Runtime& runtime() {
  static auto* instance = new Runtime;
  return *instance;
}

void endOfProcess() {
  quiesceStreams();
  reportRepeated();
  for (const auto& device : runtime().devices) reportLeaks(*device, "the process ended");
}

CUresult createDevices(Runtime& target) {
  const char* list = std::getenv("GPUSIM_DEVICE");
  if (!list || !*list) list = "a100";
  if (std::string(list) == "none") return CUDA_ERROR_NO_DEVICE;
  std::string problem;
  CheckOptions::fromEnvironment(&problem);
  if (!problem.empty()) {
    logText(problem);
    return CUDA_ERROR_NO_DEVICE;
  }
  try {
    int ordinal = 0;
    for (DeviceDescription& description : loadDevices(list))
      target.devices.push_back(std::make_unique<Device>(ordinal++, std::move(description)));
  } catch (const DeviceError& error) {
    target.devices.clear();
    logText(error.what());
    return CUDA_ERROR_NO_DEVICE;
  }
  std::atexit(endOfProcess);
  return CUDA_SUCCESS;
}

}  // namespace

Device::Device(int ordinal, DeviceDescription description)
    : ordinal(ordinal), description(std::move(description)), state(this->description.model) {}

CUresult initialiseRuntime() {
  Runtime& target = runtime();
  std::lock_guard lock(target.mutex);
  if (target.ready) return CUDA_SUCCESS;
  if (target.status == CUDA_ERROR_NOT_INITIALIZED) target.status = createDevices(target);
  target.ready = target.status == CUDA_SUCCESS;
  return target.status;
}

bool runtimeInitialised() { return runtime().ready; }

const std::vector<std::unique_ptr<Device>>& devices() { return runtime().devices; }

Device* deviceByOrdinal(int ordinal) {
  const auto& all = devices();
  return ordinal >= 0 && static_cast<size_t>(ordinal) < all.size() ? all[ordinal].get() : nullptr;
}

Device* deviceOfAddress(uint64_t address, Allocation& allocation) {
  Device* registered = nullptr;
  for (const auto& device : devices()) {
    Allocation found;
    if (!device->state.memory.find(address, found)) continue;
    // Pinned memory is known to every device, but only its owner's entry has the memory.
    if (found.ownsHost || !registered) {
      registered = device.get();
      allocation = found;
      if (found.ownsHost) break;
    }
  }
  return registered;
}

std::vector<std::shared_ptr<Context>>& contextStack() {
  thread_local std::vector<std::shared_ptr<Context>> stack;
  return stack;
}

std::shared_ptr<Context> currentContext() {
  const auto& stack = contextStack();
  return stack.empty() ? nullptr : stack.back();
}

void setCurrentContext(std::shared_ptr<Context> context) {
  auto& stack = contextStack();
  if (!stack.empty()) stack.pop_back();
  if (context) stack.push_back(std::move(context));
}

CUstreamCaptureMode& threadCaptureMode() {
  thread_local CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  return mode;
}

}  // namespace gpusim
