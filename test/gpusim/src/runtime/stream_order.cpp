// SPDX-License-Identifier: Apache-2.0
// Order within and between streams; capture. Compiled twice, see stream_launch.cpp.
#include "runtime_api.h"

using namespace cudart;

extern "C" {

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return inContext([&] { return cuStreamSynchronize(stream); });
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return inContext([&] { return cuStreamQuery(stream); });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags) {
  return inContext([&] { return cuStreamWaitEvent(stream, event, flags); });
}
cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void* data, unsigned int flags) {
  return inContext(
      [&] { return cuStreamAddCallback(stream, reinterpret_cast<CUstreamCallback>(callback), data, flags); });
}
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  return inContext([&] { return cuStreamGetPriority(stream, priority); });
}
cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned int* flags) {
  return inContext([&] { return cuStreamGetFlags(stream, flags); });
}
cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long* id) {
  return inContext([&] { return cuStreamGetId(stream, id); });
}
cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  return inContext([&] { return cuStreamGetDevice(stream, device); });
}
cudaError_t cudaStreamAttachMemAsync(cudaStream_t stream, void* pointer, size_t bytes, unsigned int flags) {
  return inContext([&] { return cuStreamAttachMemAsync(stream, address(pointer), bytes, flags); });
}

cudaError_t cudaStreamGetAttribute(cudaStream_t stream, cudaStreamAttrID attribute, cudaStreamAttrValue* value) {
  static_assert(sizeof(cudaStreamAttrValue) == sizeof(CUstreamAttrValue));
  return inContext([&] {
    return cuStreamGetAttribute(stream, static_cast<CUstreamAttrID>(attribute),
                                reinterpret_cast<CUstreamAttrValue*>(value));
  });
}
cudaError_t cudaStreamSetAttribute(cudaStream_t stream, cudaStreamAttrID attribute, const cudaStreamAttrValue* value) {
  return inContext([&] {
    return cuStreamSetAttribute(stream, static_cast<CUstreamAttrID>(attribute),
                                reinterpret_cast<const CUstreamAttrValue*>(value));
  });
}
cudaError_t cudaStreamCopyAttributes(cudaStream_t to, cudaStream_t from) {
  return inContext([&] { return cuStreamCopyAttributes(to, from); });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return inContext([&] { return cuEventRecord(event, stream); });
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned int flags) {
  return inContext([&] { return cuEventRecordWithFlags(event, stream, flags); });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return inContext([&] { return cuStreamBeginCapture(stream, static_cast<CUstreamCaptureMode>(mode)); });
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return inContext([&] { return cuStreamEndCapture(stream, graph); });
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return inContext([&] { return cuStreamIsCapturing(stream, reinterpret_cast<CUstreamCaptureStatus*>(status)); });
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph, const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, size_t* count) {
  static_assert(sizeof(cudaGraphEdgeData) == sizeof(CUgraphEdgeData));
  return inContext([&] {
    cuuint64_t number = 0;
    const CUresult result =
        cuStreamGetCaptureInfo(stream, reinterpret_cast<CUstreamCaptureStatus*>(status), &number, graph, dependencies,
                               reinterpret_cast<const CUgraphEdgeData**>(edges), count);
    if (id) *id = number;
    return result;
  });
}

}  // extern "C"
