// SPDX-License-Identifier: Apache-2.0
#include "api.h"

namespace gpusim {
namespace {

thread_local bool nullIsPerThread = false;

}  // namespace

PerThreadDefaultStream::PerThreadDefaultStream() : previous_(nullIsPerThread) { nullIsPerThread = true; }
PerThreadDefaultStream::~PerThreadDefaultStream() { nullIsPerThread = previous_; }

std::shared_ptr<Stream> defaultStream(const std::shared_ptr<Context>& context) {
  return nullIsPerThread ? context->perThreadStream() : context->legacyStream();
}

CUresult findStream(CUstream handle, StreamUse& use) {
  if (handle == nullptr || handle == kStreamLegacy || handle == kStreamPerThread) {
    use.context = currentContext();
    if (const CUresult status = usable(use.context); status != CUDA_SUCCESS) return status;
    use.stream = handle == nullptr         ? defaultStream(use.context)
                 : handle == kStreamLegacy ? use.context->legacyStream()
                                           : use.context->perThreadStream();
    return CUDA_SUCCESS;
  }
  use.stream = fromHandle<Stream>(handle);
  if (!use.stream) return CUDA_ERROR_INVALID_HANDLE;
  use.context = use.stream->context.lock();
  return usable(use.context);
}

}  // namespace gpusim
