// SPDX-License-Identifier: Apache-2.0
// Streams: creation, queries, synchronisation, host functions, memory operations.
#include <algorithm>

#include "api.h"
#include "capture.h"
#include "copy.h"
#include "event.h"

using namespace gpusim;

namespace {

CUresult createStream(CUstream* out, unsigned flags, int priority) {
  return inContext([&](const auto& context) {
    if (!out || (flags & ~static_cast<unsigned>(CU_STREAM_NON_BLOCKING))) return CUDA_ERROR_INVALID_VALUE;
    const int kept = std::clamp(priority, kGreatestStreamPriority, kLeastStreamPriority);
    *out = asHandle<CUstream>(handles<Stream>().add(context->createStream(flags, kept)));
    return CUDA_SUCCESS;
  });
}

// Synchronising or querying a capturing stream is an error that ends the capture.
CUresult forbidWhileCapturing(const Stream& stream) {
  if (!anyCapture()) return CUDA_SUCCESS;
  std::lock_guard lock(captureLock());
  if (!stream.capture) return CUDA_SUCCESS;
  stream.capture->invalid = true;
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

// The other streams whose work comes before anything in the legacy stream.
std::vector<std::shared_ptr<Stream>> orderedBefore(const StreamUse& use) {
  std::vector<std::shared_ptr<Stream>> found;
  if (use.stream != use.context->legacyStream()) return found;
  for (auto& stream : use.context->streams())
    if (stream != use.stream && stream->blocking()) found.push_back(std::move(stream));
  return found;
}

template <class Value>
CUresult reportOf(CUstream stream, Value* out, Value (*get)(const StreamUse&)) {
  return onStream(stream, [&](const StreamUse& use) {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = get(use);
    return CUDA_SUCCESS;
  });
}

bool validValueAddress(CUdeviceptr address, unsigned bytes) {
  const MemoryPlace place = placeOf(address);
  return address % bytes == 0 && place != MemoryPlace::kInvalid && place != MemoryPlace::kPageable;
}

CUresult waitValue(const StreamUse& use, CUdeviceptr address, uint64_t value, unsigned bytes, unsigned flags) {
  constexpr unsigned known = 3u | CU_STREAM_WAIT_VALUE_FLUSH;
  if ((flags & ~known) || !validValueAddress(address, bytes)) return CUDA_ERROR_INVALID_VALUE;
  return submit(use.context, use.stream, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, WaitValueWork{address, value, bytes, flags});
}

CUresult writeValue(const StreamUse& use, CUdeviceptr address, uint64_t value, unsigned bytes, unsigned flags) {
  if (flags > 1 || !validValueAddress(address, bytes)) return CUDA_ERROR_INVALID_VALUE;
  return submit(use.context, use.stream, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, WriteValueWork{address, value, bytes});
}

CUresult memoryOperation(const StreamUse& use, const CUstreamBatchMemOpParams& params) {
  const CUstreamMemOpValueParams& value = params.waitValue;
  switch (params.operation) {
    case CU_STREAM_MEM_OP_WAIT_VALUE_32:
      return waitValue(use, value.address, value.value, 4, value.flags);
    case CU_STREAM_MEM_OP_WAIT_VALUE_64:
      return waitValue(use, value.address, value.value64, 8, value.flags);
    case CU_STREAM_MEM_OP_WRITE_VALUE_32:
      return writeValue(use, value.address, value.value, 4, value.flags);
    case CU_STREAM_MEM_OP_WRITE_VALUE_64:
      return writeValue(use, value.address, value.value64, 8, value.flags);
    case CU_STREAM_MEM_OP_BARRIER:
    case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES:
      return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

CUresult cuStreamCreate(CUstream* phStream, unsigned int flags) { return createStream(phStream, flags, 0); }

CUresult cuStreamCreateWithPriority(CUstream* phStream, unsigned int flags, int priority) {
  return createStream(phStream, flags, priority);
}

CUresult cuStreamDestroy_v2(CUstream hStream) {
  return initialised([&] {
    if (const auto context = currentContext(); context && context->fault() != CUDA_SUCCESS) return context->fault();
    const auto stream = handles<Stream>().remove(hStream);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    abandonCapture(stream);
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamQuery(CUstream hStream) {
  return onStream(hStream, [&](const StreamUse& use) -> CUresult {
    if (const CUresult status = forbidWhileCapturing(*use.stream); status != CUDA_SUCCESS) return status;
    const auto busy = [](const std::shared_ptr<Stream>& stream) { return !stream->idle(); };
    const auto others = orderedBefore(use);
    if (busy(use.stream) || std::any_of(others.begin(), others.end(), busy)) return CUDA_ERROR_NOT_READY;
    return use.context->fault();
  });
}

CUresult cuStreamSynchronize(CUstream hStream) {
  return onStream(hStream, [&](const StreamUse& use) -> CUresult {
    if (const CUresult status = forbidWhileCapturing(*use.stream); status != CUDA_SUCCESS) return status;
    if (use.stream == use.context->legacyStream() && invalidateCapturesOf(*use.context))
      return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    for (const auto& other : orderedBefore(use))
      if (const CompletionPtr last = other->last()) last->wait();
    if (const CompletionPtr last = use.stream->last()) last->wait();
    return use.context->fault();
  });
}

CUresult cuStreamWaitEvent(CUstream hStream, CUevent hEvent, unsigned int flags) {
  return onStream(hStream, [&](const StreamUse& use) -> CUresult {
    const auto event = fromHandle<Event>(hEvent);
    if (!event) return CUDA_ERROR_INVALID_HANDLE;
    if (flags > CU_EVENT_WAIT_EXTERNAL) return CUDA_ERROR_INVALID_VALUE;
    CUresult status = CUDA_SUCCESS;
    if (captureWait(use.stream, event, flags == CU_EVENT_WAIT_EXTERNAL, status)) return status;
    if (event->captured()) return CUDA_ERROR_CAPTURED_EVENT;
    if (CompletionPtr completion = event->completion(); completion && !completion->done())
      use.context->enqueue(*use.stream, EmptyWork{}, {std::move(completion)});
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamAddCallback(CUstream hStream, CUstreamCallback callback, void* userData, unsigned int flags) {
  return onStream(hStream, [&](const StreamUse& use) -> CUresult {
    if (!callback || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult status = forbidWhileCapturing(*use.stream); status != CUDA_SUCCESS) return status;
    use.context->enqueue(*use.stream, CallbackWork{callback, hStream, userData});
    return CUDA_SUCCESS;
  });
}

CUresult cuLaunchHostFunc(CUstream hStream, CUhostFn fn, void* userData) {
  return onStream(hStream, [&](const StreamUse& use) -> CUresult {
    if (!fn) return CUDA_ERROR_INVALID_VALUE;
    return submit(use.context, use.stream, CU_GRAPH_NODE_TYPE_HOST, HostWork{fn, userData});
  });
}

CUresult cuStreamGetPriority(CUstream hStream, int* priority) {
  return reportOf<int>(hStream, priority, [](const StreamUse& use) { return use.stream->priority; });
}
CUresult cuStreamGetFlags(CUstream hStream, unsigned int* flags) {
  return reportOf<unsigned>(hStream, flags, [](const StreamUse& use) { return use.stream->flags; });
}
CUresult cuStreamGetId(CUstream hStream, unsigned long long* streamId) {
  return reportOf<unsigned long long>(hStream, streamId,
                                      [](const StreamUse& use) -> unsigned long long { return use.stream->id; });
}
CUresult cuStreamGetCtx(CUstream hStream, CUcontext* pctx) {
  return reportOf<CUcontext>(hStream, pctx,
                             [](const StreamUse& use) { return asHandle<CUcontext>(use.context.get()); });
}
CUresult cuStreamGetDevice(CUstream hStream, CUdevice* device) {
  return reportOf<CUdevice>(hStream, device, [](const StreamUse& use) { return use.context->device.ordinal; });
}

CUresult cuStreamGetAttribute(CUstream hStream, CUstreamAttrID attr, CUstreamAttrValue* value) {
  return onStream(hStream, [&](const StreamUse& use) {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    *value = {};
    switch (attr) {
      case CU_LAUNCH_ATTRIBUTE_PRIORITY:
        value->priority = use.stream->priority;
        return CUDA_SUCCESS;
      case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
      case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
        return CUDA_SUCCESS;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  });
}

CUresult cuStreamSetAttribute(CUstream hStream, CUstreamAttrID attr, const CUstreamAttrValue* value) {
  return onStream(hStream, [&](const StreamUse& use) {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    switch (attr) {
      case CU_LAUNCH_ATTRIBUTE_PRIORITY:
        use.stream->priority = std::clamp(value->priority, kGreatestStreamPriority, kLeastStreamPriority);
        return CUDA_SUCCESS;
      case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:  // a cache hint
      case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
        return CUDA_SUCCESS;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  });
}

CUresult cuStreamCopyAttributes(CUstream dst, CUstream src) {
  return onStream(dst, [&](const StreamUse& to) {
    return onStream(src, [&](const StreamUse& from) {
      to.stream->priority = from.stream->priority;
      return CUDA_SUCCESS;
    });
  });
}

CUresult cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return onStream(stream, [&](const StreamUse& use) { return waitValue(use, addr, value, 4, flags); });
}
CUresult cuStreamWaitValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return onStream(stream, [&](const StreamUse& use) { return waitValue(use, addr, value, 8, flags); });
}
CUresult cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return onStream(stream, [&](const StreamUse& use) { return writeValue(use, addr, value, 4, flags); });
}
CUresult cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return onStream(stream, [&](const StreamUse& use) { return writeValue(use, addr, value, 8, flags); });
}

CUresult cuStreamBatchMemOp_v2(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* paramArray,
                               unsigned int flags) {
  return onStream(stream, [&](const StreamUse& use) -> CUresult {
    if (flags != 0 || count > 256 || (count > 0 && !paramArray)) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; ++i)
      if (const CUresult status = memoryOperation(use, paramArray[i]); status != CUDA_SUCCESS) return status;
    return CUDA_SUCCESS;
  });
}
