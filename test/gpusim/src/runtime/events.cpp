// SPDX-License-Identifier: Apache-2.0
// Streams and events: making, destroying, and what does not depend on which stream 0 is meant.
#include "runtime_api.h"

using namespace cudart;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return inContext([&] { return cuStreamCreate(stream, CU_STREAM_DEFAULT); });
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags) {
  return inContext([&] { return cuStreamCreate(stream, flags); });
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned int flags, int priority) {
  return inContext([&] { return cuStreamCreateWithPriority(stream, flags, priority); });
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return inContext([&] { return cuStreamDestroy(stream); });
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return inContext([&] { return cuThreadExchangeStreamCaptureMode(reinterpret_cast<CUstreamCaptureMode*>(mode)); });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return inContext([&] { return cuEventCreate(event, CU_EVENT_DEFAULT); });
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  return inContext([&] { return cuEventCreate(event, flags); });
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return inContext([&] { return cuEventDestroy(event); });
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return inContext([&] { return cuEventQuery(event); });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return inContext([&] { return cuEventSynchronize(event); });
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return inContext([&] { return cuEventElapsedTime(milliseconds, start, end); });
}

}  // extern "C"
