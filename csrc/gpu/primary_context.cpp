// SPDX-License-Identifier: Apache-2.0
#include "gpu/primary_context.h"

#include <algorithm>

#include "core/error.h"
#include "gpu/journal.h"

namespace pw::gpu {

PrimaryContext::PrimaryContext(const DeviceProperties& properties) : properties_(properties) {
  CUresult result = driver().deviceGet(&device_, properties.index);
  if (result == kCudaSuccess) result = driver().primaryContextRetain(&context_, device_);
  if (result == kCudaSuccess) {
    // It may be one that a fault has broken and that somebody still holds.
    const Scope scope(*this);
    size_t free = 0, total = 0;
    result = driver().memoryInfo(&free, &total);
    if (result == kCudaSuccess) return;
    driver().primaryContextRelease(device_);
  }
  // NVIDIA promises CUDA after such a fault to new processes only.
  const char* advice = isSticky(result)
                           ? "; a fault has broken CUDA in this process: dispose what is left of the device "
                             "that it hit, or start a new process"
                           : "";
  throw Error(PW_DEVICE_UNAVAILABLE, "CUDA device " + std::to_string(properties.index) + " (" + properties.name +
                                         ") could not be opened: " + driver().describe(result) + advice);
}

PrimaryContext::~PrimaryContext() { driver().primaryContextRelease(device_); }

void PrimaryContext::makeCurrent() const { check(driver().contextSetCurrent(context_), "cuCtxSetCurrent"); }

PrimaryContext::Scope::Scope(const PrimaryContext& primary) noexcept
    : pushed_(driver().contextPush(primary.context_) == kCudaSuccess) {}

PrimaryContext::Scope::~Scope() {
  CUcontext popped = nullptr;
  if (pushed_) driver().contextPop(&popped);
}

bool PrimaryContext::isSticky(CUresult result) noexcept {
  switch (result) {
    case 214:  // CUDA_ERROR_ECC_UNCORRECTABLE
    case 220:  // CUDA_ERROR_NVLINK_UNCORRECTABLE
    case 226:  // CUDA_ERROR_CONTAINED
    case 700:  // CUDA_ERROR_ILLEGAL_ADDRESS
    case 702:  // CUDA_ERROR_LAUNCH_TIMEOUT
    case 709:  // CUDA_ERROR_CONTEXT_IS_DESTROYED
    case 710:  // CUDA_ERROR_ASSERT
    case 714:  // CUDA_ERROR_HARDWARE_STACK_ERROR
    case 715:  // CUDA_ERROR_ILLEGAL_INSTRUCTION
    case 716:  // CUDA_ERROR_MISALIGNED_ADDRESS
    case 717:  // CUDA_ERROR_INVALID_ADDRESS_SPACE
    case 718:  // CUDA_ERROR_INVALID_PC
    case 719:  // CUDA_ERROR_LAUNCH_FAILED
    case 721:  // CUDA_ERROR_TENSOR_MEMORY_LEAK
    case 810:  // CUDA_ERROR_MPS_CLIENT_TERMINATED
    case 911:  // CUDA_ERROR_EXTERNAL_DEVICE
    case 999:  // CUDA_ERROR_UNKNOWN
      return true;
    default:
      return false;
  }
}

void PrimaryContext::lose(CUresult result, const std::string& during) const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (lost_.load(std::memory_order_relaxed)) return;
  message_ =
      "the GPU failed during " + during + " (" + driver().describe(result) +
      "); this device cannot be used any more: dispose it and what is on it, and open it again, in a new process if "
      "the driver refuses";
  lost_.store(true, std::memory_order_release);
}

void PrimaryContext::watch(const Journal* journal) const {
  std::lock_guard<std::mutex> lock(mutex_);
  journals_.push_back(journal);
}

void PrimaryContext::forget(const Journal* journal) const {
  std::lock_guard<std::mutex> lock(mutex_);
  journals_.erase(std::remove(journals_.begin(), journals_.end(), journal), journals_.end());
}

std::string PrimaryContext::suspects(const std::string& otherwise) const {
  std::vector<std::string> names;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const Journal* journal : journals_) journal->addSuspects(&names);
  }
  if (names.empty()) return otherwise;
  std::string list = names[0];
  size_t different = 1;
  for (size_t i = 1; i < names.size(); ++i) {
    if (std::find(names.data(), names.data() + i, names[i]) != names.data() + i) continue;
    list += ", " + names[i];
    ++different;
  }
  return different == 1 ? list : "one of " + list + " (PAGEWARP_CUDA_SYNC=1 finds out which)";
}

void PrimaryContext::throwLost() const {
  std::lock_guard<std::mutex> lock(mutex_);
  throw Error(PW_DEVICE_LOST, message_);
}

void PrimaryContext::requireUsable() const {
  if (isLost()) throwLost();
}

void PrimaryContext::check(CUresult result, const char* what) const {
  if (result == kCudaSuccess) return;
  requireUsable();
  if (isSticky(result)) {
    lose(result, suspects(what));
    throwLost();
  }
  const pw_status status = result == kCudaOutOfMemory ? PW_OUT_OF_MEMORY : PW_INTERNAL;
  throw Error(status, std::string(what) + ": " + driver().describe(result));
}

}  // namespace pw::gpu
