// SPDX-License-Identifier: Apache-2.0
#include "work.h"

#include <chrono>
#include <thread>

#include "copy.h"
#include "event.h"
#include "findings.h"
#include "graph.h"
#include "log.h"
#include "module.h"
#include "pool.h"

namespace gpusim {
namespace {

thread_local bool hostFunctionRuns = false;

struct HostFunctionScope {
  HostFunctionScope() { hostFunctionRuns = true; }
  ~HostFunctionScope() { hostFunctionRuns = false; }
};

// Memory that was valid when the work was enqueued and is not any more: what a GPU does to an access to it.
CUresult asAccessFault(CUresult status, Context& context, const char* what) {
  if (status == CUDA_SUCCESS) return status;
  const std::string text =
      std::string(what) + ": its memory was freed or is too small by the time the stream reached it";
  logText(text);
  context.setFault(CUDA_ERROR_ILLEGAL_ADDRESS, text);
  return CUDA_ERROR_ILLEGAL_ADDRESS;
}

bool satisfied(const WaitValueWork& wait, uint64_t current) {
  const uint64_t mask = wait.bytes == 4 ? 0xffffffffu : ~uint64_t{0};
  const uint64_t value = wait.value & mask;
  switch (wait.flags & 3) {
    case CU_STREAM_WAIT_VALUE_GEQ:
      return wait.bytes == 4 ? static_cast<int32_t>(current - value) >= 0 : static_cast<int64_t>(current - value) >= 0;
    case CU_STREAM_WAIT_VALUE_EQ:
      return current == value;
    case CU_STREAM_WAIT_VALUE_AND:
      return (current & value) != 0;
    default:
      return (~(current | value) & mask) != 0;
  }
}

struct Performer {
  Context& context;
  const std::function<void()>& stalled;

  CUresult operator()(const EmptyWork&) const { return CUDA_SUCCESS; }

  CUresult operator()(const KernelWork& work) const {
    DeviceState& device = work.function->module->context->device.state;
    LaunchConfig watched;
    if (stalled) watched = work.config, watched.stalled = stalled;
    const LaunchResult result = launch(device, *work.function->kernel, stalled ? watched : work.config);
    std::string text;
    for (const Report& report : result.reports)
      if (result.status != Status::Success || isNews(report)) text += report.format();
    if (result.status != Status::Success && text.empty()) text = result.message;
    if (!text.empty()) logText(text);
    const auto status = static_cast<CUresult>(result.status);
    if (status != CUDA_SUCCESS) context.setFault(status, text);
    return status;
  }

  CUresult operator()(const CopyWork& work) const { return asAccessFault(performCopy(work), context, "copy"); }
  CUresult operator()(const FillWork& work) const { return asAccessFault(performFill(work), context, "memset"); }

  CUresult operator()(const HostWork& work) const {
    const HostFunctionScope scope;
    work.function(work.userData);
    return CUDA_SUCCESS;
  }

  CUresult operator()(const CallbackWork& work) const {
    const HostFunctionScope scope;
    work.function(work.stream, context.fault(), work.userData);
    return CUDA_SUCCESS;
  }

  CUresult operator()(const EventRecordWork& work) const {
    if (work.pending) {
      work.pending->finish();
    } else {
      work.event->record(PendingRecord().completion);
    }
    return CUDA_SUCCESS;
  }

  CUresult operator()(const EventWaitWork& work) const {
    if (const CompletionPtr completion = work.event->completion()) completion->wait();
    return CUDA_SUCCESS;
  }

  CUresult operator()(const WriteValueWork& work) const {
    return asAccessFault(moveBytes(work.address, reinterpret_cast<uint64_t>(&work.value), work.bytes), context,
                         "cuStreamWriteValue");
  }

  CUresult operator()(const WaitValueWork& work) const {
    using namespace std::chrono_literals;
    while (!shuttingDown() && context.fault() == CUDA_SUCCESS) {
      uint64_t current = 0;
      const CUresult status = moveBytes(reinterpret_cast<uint64_t>(&current), work.address, work.bytes);
      if (status != CUDA_SUCCESS) return asAccessFault(status, context, "cuStreamWaitValue");
      if (satisfied(work, current)) break;
      std::this_thread::sleep_for(20us);
    }
    return CUDA_SUCCESS;
  }

  CUresult operator()(const FreeWork& work) const {
    if (work.pool) return work.pool->release(work.address, work.size);
    return static_cast<CUresult>(context.device.state.memory.free(work.address));
  }

  CUresult operator()(const GraphWork& work) const { return work.graph->run(context, work.salt, stalled); }
};

}  // namespace

CUresult perform(const Work& work, Context& context, const std::function<void()>& stalled) {
  return std::visit(Performer{context, stalled}, work);
}

bool inHostFunction() { return hostFunctionRuns; }

}  // namespace gpusim
