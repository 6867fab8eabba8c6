// SPDX-License-Identifier: Apache-2.0
// Events. Elapsed times are host wall-clock times of the simulation and say nothing about a GPU.
#include "api.h"
#include "capture.h"
#include "event.h"

using namespace gpusim;

namespace {

template <class Body>
CUresult withEvent(CUevent handle, Body&& body) {
  return initialised([&]() -> CUresult {
    const auto event = fromHandle<Event>(handle);
    return event ? body(event) : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult record(CUevent hEvent, CUstream hStream, unsigned flags) {
  return onStream(hStream, [&](const StreamUse& use) -> CUresult {
    const auto event = fromHandle<Event>(hEvent);
    if (!event || event->context != use.context) return CUDA_ERROR_INVALID_HANDLE;
    if (flags > CU_EVENT_RECORD_EXTERNAL) return CUDA_ERROR_INVALID_VALUE;
    CUresult status = CUDA_SUCCESS;
    if (captureRecord(use.stream, event, flags == CU_EVENT_RECORD_EXTERNAL, status)) return status;
    CompletionPtr done;
    status = submit(use.context, use.stream, CU_GRAPH_NODE_TYPE_EMPTY, EmptyWork{}, &done);
    if (status == CUDA_SUCCESS) event->record(std::move(done));
    return status;
  });
}

// Asking after an event that was recorded in a capture is an error that ends the capture.
CUresult forbidCaptured(const Event& event) {
  if (!event.captured()) return CUDA_SUCCESS;
  std::lock_guard lock(captureLock());
  if (const auto capture = event.capture()) capture->invalid = true;
  return CUDA_ERROR_CAPTURED_EVENT;
}

}  // namespace

CUresult cuEventCreate(CUevent* phEvent, unsigned int flags) {
  return inContext([&](const auto& context) {
    constexpr unsigned known = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
    if (!phEvent || (flags & ~known)) return CUDA_ERROR_INVALID_VALUE;
    if ((flags & CU_EVENT_INTERPROCESS) && !(flags & CU_EVENT_DISABLE_TIMING)) return CUDA_ERROR_INVALID_VALUE;
    *phEvent = asHandle<CUevent>(handles<Event>().add(std::make_shared<Event>(context, flags)));
    return CUDA_SUCCESS;
  });
}

CUresult cuEventDestroy_v2(CUevent hEvent) {
  return initialised([&] { return handles<Event>().remove(hEvent) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; });
}

CUresult cuEventRecord(CUevent hEvent, CUstream hStream) { return record(hEvent, hStream, CU_EVENT_RECORD_DEFAULT); }

CUresult cuEventRecordWithFlags(CUevent hEvent, CUstream hStream, unsigned int flags) {
  return record(hEvent, hStream, flags);
}

CUresult cuEventQuery(CUevent hEvent) {
  return withEvent(hEvent, [](const auto& event) -> CUresult {
    if (const CUresult status = forbidCaptured(*event); status != CUDA_SUCCESS) return status;
    const CompletionPtr completion = event->completion();
    if (completion && !completion->done()) return CUDA_ERROR_NOT_READY;
    return event->context->fault();
  });
}

CUresult cuEventSynchronize(CUevent hEvent) {
  return withEvent(hEvent, [](const auto& event) -> CUresult {
    if (const CUresult status = forbidCaptured(*event); status != CUDA_SUCCESS) return status;
    if (const CompletionPtr completion = event->completion()) completion->wait();
    return event->context->fault();
  });
}

CUresult cuEventElapsedTime_v2(float* pMilliseconds, CUevent hStart, CUevent hEnd) {
  return withEvent(hStart, [&](const auto& start) {
    return withEvent(hEnd, [&](const auto& end) -> CUresult {
      if (!pMilliseconds) return CUDA_ERROR_INVALID_VALUE;
      const CompletionPtr from = start->completion();
      const CompletionPtr to = end->completion();
      const bool timed = !((start->flags | end->flags) & CU_EVENT_DISABLE_TIMING);
      if (!timed || !from || !to || start->context != end->context) return CUDA_ERROR_INVALID_HANDLE;
      if (!from->done() || !to->done()) return CUDA_ERROR_NOT_READY;
      *pMilliseconds = std::chrono::duration<float, std::milli>(to->time() - from->time()).count();
      return start->context->fault();
    });
  });
}

CUresult cuEventElapsedTime(float* pMilliseconds, CUevent hStart, CUevent hEnd) {
  return cuEventElapsedTime_v2(pMilliseconds, hStart, hEnd);
}
